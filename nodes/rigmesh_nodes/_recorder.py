"""What recorders have in common: capture flat while the run goes on, seal it at the end."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from rigmesh import recording
from rigmesh.errors import RecordingError
from rigmesh.node import Input, Node, Seconds, param
from rigmesh.recording import Capture, Produced
from rigmesh.streams import Chunk, Frames, Markers, Signal

__all__ = ["Recorder"]


class Recorder(Node):
    """Records streams of any kind; a subclass says into which format.

    While it records, everything is in the folder ``PATH.capture``; the file is made of it at the
    end. A recorder that is restarted in the same run goes on where the last one had come to.
    """

    detached: ClassVar[str] = "record"
    file_format: ClassVar[str]
    """Name of the format, as `rigmesh.recording.formats` knows it."""

    streams = Input(Signal, Markers, Frames, many=True, lossless=True)

    path: str = param(
        doc="The file; may contain {date}, {time}, {run} and the names of the run's metadata. "
        "Taken at the start.",
        min_length=1,
        examples=["{subject}/{date}_{time}.h5"],
    )
    commit_interval: Seconds = param(
        default=0.25, gt=0, le=0.5, doc="How often samples are brought to the disk."
    )
    seal: Literal["now", "later"] = param(
        default="now", doc="Make the file when the run ends, or later by `rigmesh recover`."
    )
    _capture: Capture | None = None

    def format_options(self) -> Mapping[str, Any]:
        """Return how the file is to be written, in JSON types; the format knows the keys."""
        return {}

    def open(self) -> None:
        """See that the file can be made, or go on with what a killed recorder has left."""
        # `close` may come, at a forced stop, while a chunk is being stored.
        self._using = threading.Lock()
        self._has_timer = False
        context = self.runtime.context
        self._run_id = str(context.get("run_id") or uuid.uuid4().hex)
        self._target = recording.resolve_path(self.path, self.runtime.recording_root, context)
        for link in self.streams.links:
            link.start, link.start_epoch = "now", -1
        if recording.capture_folder(self._target).exists():
            self._resume()
        else:
            recording.check_target(self._target)

    def prepare(self) -> None:
        """Begin the capture; later, take note of streams that came or changed."""
        if self._capture is None:
            self._capture = Capture.create(
                self._target,
                self._run_id,
                self.runtime.context,
                self.file_format,
                self.format_options(),
            )
        self.report["path"] = str(self._target)
        self._use(self._take_note_of_streams)
        if not self._has_timer:
            self._has_timer = True
            self.call_every(self.commit_interval, self._commit)

    def process(self, chunk: Chunk) -> None:
        """Append a chunk."""
        self._use(lambda capture: capture.append(chunk))

    def on_journal(self, entry: Mapping[str, Any]) -> None:
        """Keep parameter changes and annotations."""
        self._use(lambda capture: capture.note(entry))

    def close(self) -> None:
        """Finish the capture, make the file of it, and say how it went."""
        with self._using:
            capture, self._capture = self._capture, None
        if capture is None:
            return
        capture.finish(self._produced())
        self.streams.release()
        if self.seal == "now":
            recording.seal(capture)
        found = recording.read_info(self._target)
        self.report["verdict"] = found.verdict
        level = logging.INFO if found.verdict == "OK" else logging.WARNING
        self.log.log(level, "recorded %s: %s", found.path, found.verdict)

    def _resume(self) -> None:
        """Read on from what the recorder before us has left, before any stream is opened."""
        self._capture = Capture.resume(self._target, self._run_id)
        for link in self.streams.links:
            position = self._capture.positions.get(link.stream)
            if position is not None:
                link.start_epoch, link.start = position
        self.log.warning("goes on with %s, which a recorder left unfinished", self._capture.folder)

    def _take_note_of_streams(self, capture: Capture) -> None:
        for link in self.streams.links:
            if link.info is not None:
                capture.describe(link.info)
        capture.account(self._produced())

    def _commit(self) -> None:
        self._use(Capture.commit)
        # Also what the disk did not take: nobody will ask for it again.
        self.streams.release()

    def _use(self, act: Callable[[Capture], None]) -> None:
        """Do something with the capture, if it is still open.

        A full disk does not end the recording: it may get room again, and the gap is noted.
        """
        with self._using:
            capture = self._capture
            if capture is None:
                return
            try:
                act(capture)
            except RecordingError as error:
                if error is not capture.failure:
                    raise
                self.log.error("%s", error)

    def _produced(self) -> Produced:
        """Return how many samples there were in epochs that are over.

        The end of an epoch that goes on without us is nobody's fault.
        """
        counts = {link.stream: (link.ended, dict(link.produced)) for link in self.streams.links}
        return {
            stream: {
                epoch: count for epoch, count in epochs.items() if ended or epoch != max(epochs)
            }
            for stream, (ended, epochs) in counts.items()
        }

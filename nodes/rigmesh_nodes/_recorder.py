"""What recorders have in common: capture flat while the run goes on, seal it at the end."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from rigmesh.errors import RecordingError, StateError
from rigmesh.graph.spec import GroupSpec
from rigmesh.node import Input, MegaBytes, Node, Seconds, command, param, state
from rigmesh.recording.linking import LINK, data_folder
from rigmesh.recording.sealing import can_link
from rigmesh.streams import Chunk, Frames, Markers, Signal
from rigmesh_nodes._recorder_ledger import BANDS, Ledger
from rigmesh_nodes._recorder_parts import Parts
from rigmesh_nodes._recorder_sealing import Sealer
from rigmesh_nodes._recorder_session import Session
from rigmesh_nodes._recorder_watches import DiskWatch, SilenceWatch, required_streams

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
        doc="The file; may contain {date}, {time}, {run}, {part} and the names of the metadata. "
        "Taken at the start.",
        min_length=1,
        examples=["{subject}/{date}_{time}.h5"],
    )
    commit_interval: Seconds = param(
        default=0.25, gt=0, le=0.5, doc="How often samples are brought to the disk."
    )
    seal: Literal["now", "later", "link"] = param(
        default="now",
        doc="Make the file when the run ends, or later by `rigmesh recover`; link: make one that "
        "refers to the captured samples, which stay beside it in PATH.data (HDF5 only).",
    )
    wait_sealed: bool = param(
        default=True,
        doc="Whether the recorder stops only once its file is made; else that goes on by itself.",
        live=True,
    )
    metadata: dict[str, str] = param(
        default={}, doc="Of this recording, beside those of the graph: subject, session, task."
    )
    require: Literal["all"] | list[str] = param(
        default=[],
        doc="Streams that must come (node.port, node, or a pattern with *), or all: one that is "
        "not linked refuses the start; one with a rate that falls silent raises an alarm.",
        examples=["all", ["eeg.signal", "camera*"]],
    )
    silent_after: Seconds = param(
        default=2.0, ge=1, doc="A required stream is silent after so long, at most.", live=True
    )
    split_size: MegaBytes = param(
        default=0, ge=0, doc="Go on in another file once one has so much; 0: never.", live=True
    )
    split_duration: Seconds = param(
        default=0, ge=0, doc="Go on in another file after so long; 0: never.", live=True
    )
    min_free: MegaBytes = param(
        default=500, ge=0, doc="Do not start unless so much is free on the disk."
    )
    warn_before: Seconds = param(
        default=600, ge=0, doc="Warn so long before the disk is full.", live=True
    )
    stop_before: MegaBytes = param(
        default=200,
        ge=0,
        doc="End the recording when only so much is free; 0: never, what does not fit is a gap.",
        live=True,
    )

    phase: str = state(default="idle", doc="recording, paused, stopped, sealing or idle.")
    part: int = state(default=0, doc="Which file of the recording is being written, from 1.")
    files: list[str] = state(default=[], doc="All of them, in order.")
    written_mb: float = state(default=0.0, doc="Written into all files, in MB.")
    free_seconds: float = state(
        default=-1.0, doc="How long the disk lasts, in s; -1: nothing is written."
    )
    lag: float = state(default=0.0, doc="How far it is behind its sources, in s.")
    lag_samples: int = state(default=0, doc="The same in samples, of the stream with most.")
    fill_5: int = state(default=0, doc="How often a ring was fuller than 5 % when it was read.")
    fill_20: int = state(default=0, doc="The same for 20 %.")
    fill_40: int = state(default=0, doc="The same for 40 %.")
    fill_95: int = state(default=0, doc="The same for 95 %.")
    alarms: list[str] = state(default=[], doc="Required streams that are silent; disk.")
    sealing: float = state(default=1.0, doc="How much of what is to be sealed is, 0 to 1.")

    def format_options(self) -> Mapping[str, Any]:
        """Return how the file is to be written, in JSON types; the format knows the keys."""
        return {}

    def open(self) -> None:
        """See that the file can be made, or go on with what a killed recorder has left."""
        self._session: Session | None = None
        self._has_timer = self._cannot_split = False
        self._ledger, self._silence = Ledger(), SilenceWatch()
        self._sealer = Sealer(self._show_sealing)
        self._opened_at = self._part_since = self.runtime.now
        self._learn_links()
        self._required = required_streams(self.require, self._links)
        options = dict(self.format_options())
        if self.seal == "link":
            if not can_link(self.file_format):
                raise RecordingError(
                    f"{type(self).__name__}: seal: link asks for a file that refers to the "
                    f"captured samples, which {self.file_format} cannot; use now or later, or an "
                    "HDF5Recorder"
                )
            options[LINK] = True
        context = self.runtime.context
        run_id = str(context.get("run_id") or uuid.uuid4().hex)
        root = self.runtime.recording_root
        session = Session(
            Parts(self.path, root, context, run_id, self.metadata),
            (self.file_format, options),
            self.streams,
            self._ledger,
            None if self.seal == "later" else self._sealer,
            self.log,
            self._counters,
        )
        for link in self.streams.links:
            link.start, link.start_epoch = "now", -1
        positions = session.go_on()
        for stream, position in positions.items():
            if stream in self._links:
                self._links[stream].start_epoch, self._links[stream].start = position
        self._disk = DiskWatch(session.path.parent)
        if not session.is_open:
            if LINK in options and data_folder(session.path).exists():
                raise RecordingError(
                    f"{data_folder(session.path)} exists, where the samples are to stay; move it "
                    "away, or choose another path"
                )
            self._disk.check(1e6 * max(self.min_free, self.stop_before))
        self._session = session

    def prepare(self) -> None:
        """Begin the capture; later, take note of streams that came or changed."""
        session = self._running
        self._learn_links()
        if self.phase == "idle":
            session.begin()
            self.phase = "paused" if session.is_paused else "recording"
            self._tell_files(session)
        session.describe()
        if not self._has_timer:
            self._has_timer = True
            self.call_every(self.commit_interval, self._tick)

    def process(self, chunk: Chunk) -> None:
        """Append a chunk."""
        session = self._running
        if chunk.info is not None and (link := self._links.get(chunk.info.name)) is not None:
            self._ledger.take(chunk, link, self._buffers[link.stream])
        if not session.is_paused:
            session.append(chunk)

    def on_journal(self, entry: Mapping[str, Any]) -> None:
        """Keep parameter changes and annotations."""
        self._running.note(entry)

    def close(self) -> None:
        """Finish the capture, make the file of it, and say how it went."""
        session = self._session
        if session is None:
            return
        apart = not self.wait_sealed
        self._sealer.try_again(apart=apart)
        if session.end():
            session.make_file(apart=apart)
        self.streams.release()
        self.phase = "sealing"
        if self.wait_sealed:
            self._sealer.wait()
        else:
            self._sealer.leave()
        if session.ended:
            self._report(session)
        self.phase = "idle"
        if self._sealer.failures:
            raise RecordingError("; ".join(self._sealer.failures.values()))

    # --- said by people ----------------------------------------------------------------------

    @command
    def pause(self) -> None:
        """Record nothing until `resume`; the streams go on."""
        self._must_be("recording")
        self._running.pause(self._entry("pause"))
        self.phase = "paused"
        self.log.info("paused")

    @command
    def resume(self) -> None:
        """Record again after `pause`."""
        self._must_be("paused")
        self._running.unpause(self._entry("resume"))
        self.phase = "recording"
        self.log.info("records again")

    @command
    def split(self) -> str:
        """Go on in another file, without losing a sample; return its name."""
        self._must_be("recording")
        path = self._running.split(self._entry("split"))
        self._part_since = self.runtime.now
        self._tell_files(self._running)
        self.log.info("goes on in %s", path)
        return str(path)

    # --- now and then ------------------------------------------------------------------------

    def _tick(self) -> None:
        session, now = self._running, self.runtime.now
        session.commit()
        # Also what the disk did not take: nobody will ask for it again.
        self.streams.release()
        self._count(session)
        self._watch_streams(now)
        if session.is_open:
            self._watch_disk(session, now)
        if self.phase == "recording" and not self._cannot_split and self._is_time_to_split(now):
            try:
                self.split()
            except RecordingError as error:
                self._cannot_split = True
                self.log.error("goes on in the same file: %s", error)

    def _count(self, session: Session) -> None:
        for band in BANDS:
            setattr(self, f"fill_{band}", self._ledger.fills[band])
        self.lag_samples, self.lag = self._ledger.lag(self.streams.links)
        self.written_mb = round(session.written / 1e6, 3)

    def _watch_streams(self, now: float) -> None:
        is_resumed = self.runtime.context.get("resumed")
        if not (is_resumed or self.runtime.run_start >= self._opened_at):
            return  # the others are not ready yet
        infos = {name: self._links[name].info for name in self._required}
        regular = [name for name, info in infos.items() if info is not None and info.is_regular]
        fallen, back = self._silence.look(
            now, self._ledger.counts(), regular,
            after=self.silent_after, every=self.commit_interval,
        )  # fmt: skip
        for name, seconds in fallen.items():
            self._alarm(name, f"{name} is silent, for {seconds:.1f} s already")
        for name, seconds in back.items():
            self._alarm(name, f"{name} is back after {seconds:.1f} s", over=True)

    def _watch_disk(self, session: Session, now: float) -> None:
        self._disk.look(now, session.written)
        reserve, free = 1e6 * self.stop_before, self._disk.free
        self.free_seconds = left = round(self._disk.seconds_left(reserve), 1)
        if reserve and free <= reserve:
            reason = (
                f"it was stopped with {free / 1e6:.0f} MB free on the disk, of which stop_before "
                f"keeps {self.stop_before:g} MB"
            )
            self.log.error("%s: %s", session.path, reason)
            session.end(self._entry("stopped", text=reason), reason)
            session.make_file(apart=True)
            self.phase = "stopped"
        elif 0 <= left < self.warn_before and "disk" not in self.alarms:
            self._alarm("disk", f"the disk is full in {left / 60:.1f} min")
        elif not 0 <= left < 1.5 * self.warn_before and "disk" in self.alarms:
            self._alarm("disk", "the disk has room again", over=True)

    def _alarm(self, about: str, text: str, *, over: bool = False) -> None:
        others = [alarm for alarm in self.alarms if alarm != about]
        self.alarms = others if over else [*others, about]
        self.report["alarms"] = list(self.alarms)
        self.log.warning("%s", text)
        kind = "alarm over" if over else "alarm"
        self._running.note(self._entry(kind, about=about, text=text))

    def _is_time_to_split(self, now: float) -> bool:
        size, duration = self.split_size, self.split_duration
        return bool(
            (size and self._running.written_here >= 1e6 * size)
            or (duration and now - self._part_since >= duration)
        )

    # --- inside ------------------------------------------------------------------------------

    @property
    def _running(self) -> Session:
        if self._session is None:
            raise StateError(f"{self.name} is not open")
        return self._session

    def _tell_files(self, session: Session) -> str:
        """Say which files there are; return the first."""
        self.part = session.part
        self.files = files = [str(path) for path in session.paths]
        self.report["path"] = files[0]
        if len(files) > 1:
            self.report["paths"] = files
        return files[0]

    def _must_be(self, phase: str) -> None:
        if self.phase != phase:
            raise StateError(f"{self.name} is {self.phase}, not {phase}")

    def _learn_links(self) -> None:
        links = self.streams.links
        self._links = {link.stream: link for link in links}
        context = self.runtime.context
        self._buffers = {link.stream: _buffer_seconds(context, link.stream) for link in links}

    def _show_sealing(self, share: float) -> None:
        self.sealing = share

    def _entry(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"kind": kind, "time": self.runtime.now, "node": self.name, **more}

    def _counters(self) -> dict[str, Any]:
        counted = {f"fill_{band}": n for band, n in self._ledger.fills.items()}
        samples = self._ledger.counts()
        return self._entry("counters", written_mb=self.written_mb, samples=samples, **counted)

    def _report(self, session: Session) -> None:
        verdict = session.verdict()
        path = self._tell_files(session)
        self.report["verdict"] = verdict
        level = logging.INFO if verdict == "OK" else logging.WARNING
        self.log.log(level, "recorded %s: %s", path, verdict)


def _buffer_seconds(context: Mapping[str, Any], stream: str) -> float:
    """Return how much the ring of a stream holds, as its group says."""
    graph = context.get("graph") or {}
    node = graph.get("nodes", {}).get(stream.partition(".")[0]) or {}
    group = graph.get("groups", {}).get(node.get("group", "main")) or {}
    return float(group.get("buffer_seconds", GroupSpec("").buffer_seconds))

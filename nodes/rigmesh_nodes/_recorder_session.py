"""What a recorder writes in one run: one file after the other, each captured and then sealed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rigmesh import recording
from rigmesh.errors import RecordingError, StateError
from rigmesh.node import Input
from rigmesh.recording import Capture
from rigmesh.recording.captured import CaptureState
from rigmesh.streams import Chunk
from rigmesh_nodes._recorder_ledger import Ledger
from rigmesh_nodes._recorder_parts import Parts
from rigmesh_nodes._recorder_sealing import Sealer

__all__ = ["Session"]

Log = logging.LoggerAdapter[logging.Logger]


class Session:
    """The captures of one run; used from a node's lane, closed from any thread.

    Parameters
    ----------
    parts : Parts
        What they are called.
    written_as : tuple of str and mapping
        The format to seal into, and its options.
    port : Input
        Where samples come from.
    ledger : Ledger
        Counts them.
    sealer : Sealer
        Seals them; None: nobody does.
    log : LoggerAdapter
        The node's.
    counters : callable
        What the node has counted, for a last note in each file.

    Attributes
    ----------
    part : int
        Which file is being written, from 1.
    is_paused : bool
        Whether what comes is passed over.
    ended : dict of Path to str
        Files that are complete, sealed or not, and their verdicts.
    """

    def __init__(
        self,
        parts: Parts,
        written_as: tuple[str, Mapping[str, Any]],
        port: Input[Chunk],
        ledger: Ledger,
        sealer: Sealer | None,
        log: Log,
        counters: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.part = 1
        self.is_paused = False
        self.ended: dict[Path, str] = {}
        self._parts = parts
        self._written_as = written_as
        self._port = port
        self._ledger = ledger
        self._sealer = sealer
        self._log = log
        self._counters = counters
        self._capture: Capture | None = None
        self._written_before = 0
        # The end may come, at a forced stop, while a chunk is being stored.
        self._using = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether a capture is being written."""
        return self._capture is not None

    @property
    def path(self) -> Path:
        """The file that is being written, or was last."""
        return self._parts.path(self.part)

    @property
    def paths(self) -> list[Path]:
        """All files, in order; the last is being written, or was last."""
        return [self._parts.path(number) for number in range(1, self.part + 1)]

    @property
    def written(self) -> int:
        """Bytes written into all of them."""
        return self._written_before + self.written_here

    @property
    def written_here(self) -> int:
        """Bytes written into the present one."""
        capture = self._capture
        return capture.written if capture is not None else 0

    # --- begin -------------------------------------------------------------------------------

    def go_on(self) -> dict[str, tuple[int, int]]:
        """Go on with what a killed recorder of this run has left, if it has.

        Returns
        -------
        dict of str to (int, int)
            For each stream the epoch and the index to read on from.

        Raises
        ------
        RecordingError
            If nothing was left, and the first file cannot be made.
        """
        left = self._parts.left()
        if not left:
            recording.check_target(self._parts.path(1))
            return {}
        for part in left[:-1]:
            self._end_left(self._parts.path(part))
        self.part = left[-1]
        self._capture = Capture.resume(self.path, self._parts.run_id)
        self.is_paused = self._capture.is_paused
        self._log.warning("goes on with %s, which a recorder left unfinished", self._capture.folder)
        return self._capture.positions

    def begin(self) -> None:
        """Begin the first capture, unless there is one to go on with."""
        if self._capture is None:
            self._capture = self._create(1)

    def describe(self) -> None:
        """Take note of the streams there are, and of epochs that are over."""
        self._use(self._describe)

    # --- go on -------------------------------------------------------------------------------

    def append(self, chunk: Chunk) -> None:
        """Store a chunk."""
        self._use(lambda capture: capture.append(chunk))

    def note(self, entry: Mapping[str, Any]) -> None:
        """Keep a note."""
        self._use(lambda capture: capture.note(entry))

    def commit(self) -> None:
        """Bring everything to the disk."""
        self._use(Capture.commit)

    def pause(self, entry: Mapping[str, Any]) -> None:
        """Pass over what comes from now on."""
        self.is_paused = True
        produced = self._ledger.produced(self._port.links, up_to_here=True)
        self._use(lambda capture: capture.pause(entry, produced))

    def unpause(self, entry: Mapping[str, Any]) -> None:
        """Store what comes from now on."""
        self._ledger.seam(self._port.links)
        self._use(lambda capture: capture.unpause(entry))
        self.is_paused = False

    def split(self, entry: Mapping[str, Any]) -> Path:
        """Go on in another file, from the next sample of each stream on.

        Raises
        ------
        StateError
            If nothing is being recorded.
        RecordingError
            If there can be no other file; then all goes on as it was.
        """
        with self._using:
            old = self._capture
            if old is None:
                raise StateError("nothing is being recorded that could be split")
            # The new one first: whenever we die there is one to go on with.
            new = self._create(self.part + 1)
            new.go_on_from(old)
            self._name_streams(new)
            seam = {stream: list(at) for stream, at in new.positions.items()}
            new.note({**entry, "previous": old.path.name, "at": seam})
            old.note({**entry, "next": new.path.name, "at": seam})
            self._capture, self.part = new, self.part + 1
            self._written_before += old.written
        try:
            self._finish(old, up_to_here=True)
        except RecordingError as error:
            self._log.error("%s", error)
        self._ledger.seam(self._port.links)
        if self._sealer is not None:
            self._sealer.add(old.folder, apart=True)
        return new.path

    # --- end ---------------------------------------------------------------------------------

    def end(self, entry: Mapping[str, Any] | None = None, reason: str = "") -> bool:
        """Finish the present capture; return whether there was one.

        Parameters
        ----------
        entry : mapping
            A last note.
        reason : str
            Why it ends while the streams go on.

        Raises
        ------
        RecordingError
            If the disk does not take what is left.
        """
        with self._using:
            capture, self._capture = self._capture, None
        if capture is None:
            return False
        self._written_before += capture.written
        if entry is not None:
            self._storing(capture, lambda capture: capture.note(entry))
        self._finish(capture, reason, up_to_here=bool(reason))
        return True

    def make_file(self, *, apart: bool) -> None:
        """Have the capture sealed that has ended last."""
        if self._sealer is not None:
            self._sealer.add(recording.capture_folder(self.path), apart=apart)

    def verdict(self) -> str:
        """Return the verdict on all files that are complete: the worst of them."""
        return max(self.ended.values(), key=_badness, default="OK")

    # --- inside ------------------------------------------------------------------------------

    def _create(self, part: int) -> Capture:
        fmt, options = self._written_as
        path, context = self._parts.path(part), self._parts.context(part)
        return Capture.create(path, self._parts.run_id, context, fmt, options)

    def _name_streams(self, capture: Capture) -> None:
        for link in self._port.links:
            if link.info is not None:
                capture.describe(link.info)

    def _describe(self, capture: Capture) -> None:
        self._name_streams(capture)
        if not self.is_paused:
            capture.account(self._ledger.produced(self._port.links))

    def _finish(self, capture: Capture, reason: str = "", *, up_to_here: bool = False) -> None:
        self._storing(capture, lambda capture: capture.note(self._counters()))
        links = [] if self.is_paused else self._port.links
        capture.finish(self._ledger.produced(links, up_to_here=up_to_here), reason)
        # Now, for while it is being sealed there are moments when neither can be read.
        self.ended[capture.path] = recording.read_info(capture.folder).verdict

    def _end_left(self, path: Path) -> None:
        """Finish what a recorder left that died between two files."""
        folder = recording.capture_folder(path)
        state = CaptureState(folder)
        if state.is_live:  # it is just being sealed
            return
        if not state.is_closed:
            Capture.resume(path, self._parts.run_id).finish()
        self.ended[path] = recording.read_info(folder).verdict
        if self._sealer is not None:
            self._sealer.add(folder, apart=True)

    def _use(self, act: Callable[[Capture], None]) -> None:
        """Do something with the capture, if it is still open."""
        with self._using:
            if self._capture is not None:
                self._storing(self._capture, act)

    def _storing(self, capture: Capture, act: Callable[[Capture], None]) -> None:
        """Do something that a full disk may refuse.

        That does not end the recording: it may get room again, and the gap is noted.
        """
        try:
            act(capture)
        except RecordingError as error:
            if error is not capture.failure:
                raise
            self._log.error("%s", error)


def _badness(verdict: str) -> int:
    return 2 if verdict.startswith("FAILED") else int(verdict != "OK")

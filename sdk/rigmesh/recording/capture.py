"""Writing a recording while it grows: flat files, a journal, and commits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rigmesh.errors import RecordingError, StreamFormatError
from rigmesh.recording.captured import (
    COMMIT,
    COMMITTED,
    JOURNAL,
    MANIFEST,
    RESERVE,
    CaptureState,
    EpochState,
    make_folder,
    piece_folder,
    read_manifest,
)
from rigmesh.recording.disk import Lock, as_recording_error
from rigmesh.recording.epochs import EpochWriter
from rigmesh.recording.journal import Journal
from rigmesh.recording.paths import capture_folder, check_target, earlier_recording
from rigmesh.streams import Cause, Chunk, StreamInfo, local_clock

__all__ = ["Capture", "Produced"]

Produced = Mapping[str, Mapping[int, tuple[int, int]]]
"""For each stream and epoch: index at which reading began, samples that exist at its end."""


class Capture:
    """The folder in which a recording grows. Made by :meth:`create` or :meth:`resume`.

    Samples are on the disk once :meth:`commit` has returned. A sample that the disk does not
    take becomes a gap with the cause ``disk``: the first one raises, and recording goes on by
    itself as soon as the disk takes samples again.

    Attributes
    ----------
    path, folder : Path
        The file to be made; the folder that holds everything until then.
    failure : RecordingError or None
        Why samples are not being stored at the moment.
    is_paused : bool
        Whether recording was paused when this was resumed; :meth:`pause` sets it, too.
    """

    def __init__(self, path: Path, lock: Lock, state: CaptureState, *, is_resumed: bool) -> None:
        self.path = path
        self.folder = state.folder
        self.failure: RecordingError | None = None
        self._unreported = False
        self._lock = lock
        self._journal = Journal(state.folder / JOURNAL, state.journal_end, self._fail)
        self._described = dict(state.described)
        self._numbers = {(e.stream, e.epoch): number for number, e in state.epochs.items()}
        self._next_number = max(state.epochs, default=-1) + 1
        self._writers: dict[str, EpochWriter] = {}
        self._old: list[EpochWriter] = []
        self._closed_bytes = 0
        self.is_paused = state.is_paused
        for name, epochs in state.streams().items():
            self._old += [
                EpochWriter(e, self._journal) for e in epochs[:-1] if e.rows > e.committed
            ]
            for last in epochs[-1:]:
                last.trim(last.rows)
                self._writers[name] = EpochWriter(last, self._journal)
        if is_resumed:
            rows = [(writer.number, writer.rows) for writer in self._writers.values()]
            self._journal.write("resumed", time=local_clock(), rows=rows)
            self.commit()

    @classmethod
    def create(
        cls,
        path: Path,
        run_id: str,
        context: Mapping[str, Any],
        fmt: str = "hdf5",
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a recording; its folder appears with all it needs, or not at all.

        Parameters
        ----------
        path : Path
            The file to be made at the end.
        run_id : str
            Names the run: only the same run may :meth:`resume`.
        context : mapping
            The graph, parameters and versions; only JSON types.
        fmt : str
            Format of the file.
        options : mapping
            How to write it; only JSON types.

        Raises
        ------
        RecordingError
            If the file or its capture exists, or the folder cannot be written to.
        """
        check_target(path)
        folder = capture_folder(path)
        with as_recording_error(f"cannot record into {folder}"):
            wanted = {"path": str(path), "format": fmt, "options": dict(options or {})}
            make_folder(folder, run_id, context, wanted)
            return cls._open(path, is_resumed=False)

    @classmethod
    def resume(cls, path: Path, run_id: str) -> Self:
        """Go on with the capture of a recorder that died, from where :attr:`positions` says.

        What is not whole is cut off: half samples, half records.

        Raises
        ------
        RecordingError
            If there is none, it is of another run, or its recorder still lives.
        """
        folder = capture_folder(path)
        found = read_manifest(folder)["run_id"]
        if found != run_id:
            raise earlier_recording(path)
        with as_recording_error(f"cannot go on with {folder}"):
            return cls._open(path, is_resumed=True)

    @classmethod
    def _open(cls, path: Path, *, is_resumed: bool) -> Self:
        folder = capture_folder(path)
        lock = Lock(folder / MANIFEST)
        try:
            return cls(path, lock, CaptureState(folder, owned=True), is_resumed=is_resumed)
        except BaseException:
            lock.release()
            raise

    @property
    def positions(self) -> dict[str, tuple[int, int]]:
        """For each stream its last epoch, and the index of the sample that is expected next."""
        return {name: (w.epoch, w.next_index) for name, w in self._writers.items()}

    @property
    def written(self) -> int:
        """Bytes in its files."""
        writers = (*self._old, *self._writers.values())
        return self._closed_bytes + self._journal.size + sum(writer.size for writer in writers)

    def go_on_from(self, other: Capture) -> None:
        """Expect of each stream the sample that `other` expects, also after a crash."""
        for name, old in other._writers.items():
            info, at = old.info, (old.epoch, old.next_index)
            self._described[name] = info
            self._writers[name] = self._writer_of(self._number_of(info, *at), info, *at)
        self.commit()

    def pause(self, entry: Mapping[str, Any], produced: Produced | None = None) -> None:
        """End all epochs here; what comes after :meth:`unpause` goes into pieces of their own.

        `entry` is a note of the kind ``pause``; `produced` is as for :meth:`account`, up to here.
        """
        self.account(produced or {})
        for writer in self._writers.values():
            writer.note_unstored(writer.next_index)
            if not writer.is_over:
                writer.is_over = True
                self._journal.write("over", number=writer.number)
        self._journal.write("note", entry=dict(entry))
        self.is_paused = True
        self.commit()

    def unpause(self, entry: Mapping[str, Any]) -> None:
        """Store samples again, and keep a note of the kind ``resume``."""
        self._journal.write("note", entry=dict(entry))
        self.is_paused = False
        self.commit()

    def describe(self, info: StreamInfo) -> None:
        """Take note of a stream, so that it is in the recording even if no sample comes."""
        if self._described.get(info.name) != info:
            self._described[info.name] = info
            self._journal.write("stream", info=info.to_dict())
        self._report()

    def append(self, chunk: Chunk) -> None:
        """Store a chunk, and what it says of gaps before it and of its clock.

        Raises
        ------
        RecordingError
            If the disk does not take it, the first time; or if it is not what should follow.
        """
        info = chunk.info
        if info is None:
            raise StreamFormatError("a chunk is recorded with the description of its stream")
        writer = self._writers.get(info.name)
        if writer is None or writer.epoch != chunk.epoch or writer.is_over:
            writer = self._begin_epoch(info, chunk)
        if chunk.index < writer.next_index:
            raise _out_of_order(chunk, info, writer)
        if len(chunk):
            if info is not writer.info:
                chunk.check(writer.info)
            self._store(writer, chunk)
        else:
            writer.note_unstored(writer.next_index)
            writer.note_gaps(chunk)
        writer.next_index = chunk.stop
        self._report()

    def note(self, entry: Mapping[str, Any]) -> None:
        """Keep a parameter change or an annotation; only JSON types."""
        if not self._journal.is_choked:
            self._journal.write("note", entry=dict(entry))
        self._report()

    def account(self, produced: Produced) -> None:
        """Say how many samples there were, for epochs that are over.

        Parameters
        ----------
        produced : mapping
            For each stream and epoch the index at which this process began to read, and the
            samples that exist, those lost before they came here included.
        """
        for stream, epochs in produced.items():
            info = self._described.get(stream)
            for epoch, (begin, count) in epochs.items():
                if info is None or ((stream, epoch) not in self._numbers and count == begin):
                    continue
                number = self._number_of(info, epoch, begin)
                self._journal.write("produced", number=number, begin=begin, produced=count)
        self._report()

    def commit(self) -> None:
        """Return once everything appended and noted is on the disk.

        Raises
        ------
        RecordingError
            If the disk does not take it, the first time. What could not be kept is a gap.
        """
        self._commit()
        self._report()

    def finish(self, produced: Produced | None = None, reason: str = "") -> None:
        """Commit, say that the recording is complete, and close it.

        Parameters
        ----------
        produced : mapping
            As for :meth:`account`; without it nobody checks that nothing is missing.
        reason : str
            Why it ends before its time; then the verdict is ``FAILED``.

        Raises
        ------
        RecordingError
            If the disk does not take it.
        """
        self.failure = None
        try:
            for writer in self._writers.values():
                writer.note_unstored(writer.next_index)
            self.account(produced or {})
            self.commit()
            # Only now: after a power cut it must not be here without the samples.
            self._journal.write("closed", time=local_clock(), reason=reason)
            self.commit()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the files, finished or not; closing again is harmless."""
        for writer in [*self._old, *self._writers.values()]:
            writer.close()
        self._journal.close()
        self._lock.release()

    # --- samples ---------------------------------------------------------------------------

    def _begin_epoch(self, info: StreamInfo, chunk: Chunk) -> EpochWriter:
        old = self._writers.get(info.name)
        piece = 1
        if old is not None and old.is_over and old.epoch == chunk.epoch:
            piece = old.piece + 1
        elif (info.name, chunk.epoch) in self._numbers and old is not None:
            raise _out_of_order(chunk, info, old)
        # The reader began before what it was too slow for; other gaps have no indices.
        first = chunk.index - sum(g.count for g in chunk.gaps if g.cause is Cause.OVERRUN)
        if old is not None and piece > 1 and first < old.next_index:
            raise _out_of_order(chunk, info, old)
        self._described[info.name] = info
        if piece > 1:
            del self._numbers[info.name, chunk.epoch]
        number = self._number_of(info, chunk.epoch, first, piece)
        if old is not None:
            old.note_unstored(old.next_index)
            self._old.append(old)
        writer = self._writer_of(number, info, chunk.epoch, first, piece)
        self._writers[info.name] = writer
        # From here on a restarted recorder knows where to begin.
        self._commit()
        return writer

    def _writer_of(
        self, number: int, info: StreamInfo, epoch: int, first: int, piece: int = 1
    ) -> EpochWriter:
        folder = piece_folder(self.folder, info.name, piece)
        state = EpochState(number, info.name, epoch, first, info, folder, piece=piece)
        return EpochWriter(state, self._journal)

    def _number_of(self, info: StreamInfo, epoch: int, first_index: int, piece: int = 1) -> int:
        """Return an epoch's number in this capture, which it may get only now."""
        number = self._numbers.get((info.name, epoch))
        if number is None:
            number, self._next_number = self._next_number, self._next_number + 1
            self._numbers[info.name, epoch] = number
            self._journal.write(
                "epoch", number=number, epoch=epoch, first_index=first_index, piece=piece,
                info=info.to_dict(),
            )  # fmt: skip
        return number

    def _store(self, writer: EpochWriter, chunk: Chunk) -> None:
        writer.note_gaps(chunk)
        unstored = writer.unstored
        if unstored and not self._journal.flush():
            writer.unstored += len(chunk)
            return
        before = self._journal.size
        writer.note_unstored(chunk.index)
        try:
            writer.append(chunk)
        except OSError as error:
            if unstored:
                # One gap for all that the disk does not take, however many chunks that are.
                self._journal.take_back(before)
            writer.unstored = unstored + len(chunk)
            self._fail(error)

    # --- the disk --------------------------------------------------------------------------

    def _commit(self) -> None:
        grown = [w for w in (*self._old, *self._writers.values()) if self._sync(w)]
        rows = b"".join(COMMITTED.pack(writer.number, writer.rows) for writer in grown)
        if not self._journal.commit(COMMIT + rows if grown else b""):
            return
        for writer in grown:
            writer.mark_committed()
        for writer in self._old:
            self._closed_bytes += writer.size
            writer.close()
        self._old.clear()
        if not any(writer.unstored for writer in self._writers.values()):
            self.failure = None

    def _sync(self, writer: EpochWriter) -> bool:
        """Bring an epoch to the disk; return whether it grew."""
        if writer.rows == writer.committed:
            return False
        try:
            writer.sync()
        except OSError as error:
            # The kernel may have dropped what it could not write: none of it can be trusted.
            writer.unstored += writer.roll_back()
            writer.note_unstored(writer.next_index)
            self._fail(error)
            return False
        return True

    def _fail(self, error: OSError) -> None:
        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)
        if self.failure is None:
            self.failure = RecordingError(
                f"{self.folder} takes no more samples: {error.strerror or error}. Those are noted "
                "as a gap; make room, and recording goes on"
            )
            self.failure.__cause__ = error
            self._unreported = True

    def _report(self) -> None:
        """Raise a failure once, when everything is consistent again."""
        if self._unreported and self.failure is not None:
            self._unreported = False
            raise self.failure


def _out_of_order(chunk: Chunk, info: StreamInfo, writer: EpochWriter) -> RecordingError:
    return RecordingError(
        f"{info.name}: sample {chunk.index} of epoch {chunk.epoch} came when sample "
        f"{writer.next_index} of epoch {writer.epoch} was the next"
    )

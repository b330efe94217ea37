"""What a recorder keeps an eye on: streams that must not be silent, and room on the disk."""

from __future__ import annotations

import fnmatch
import shutil
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rigmesh.errors import RecordingError

__all__ = ["DiskWatch", "SilenceWatch", "required_streams"]

_MEASURED_OVER = 10.0
"""The rate of writing is that of so many seconds."""

UNKNOWN = -1.0
"""How long the room lasts when nothing is written."""


def required_streams(wanted: Sequence[str] | str, linked: Collection[str]) -> list[str]:
    """Return the linked streams that are required.

    Parameters
    ----------
    wanted : sequence of str, or "all"
        Streams (``node.port``), nodes, or patterns with ``*`` and ``?``.
    linked : collection of str
        The streams there are.

    Raises
    ------
    RecordingError
        If one of them is not linked.

    Examples
    --------
    >>> required_streams(["eeg", "cam*.frames"], ["eeg.signal", "cam1.frames", "box.events"])
    ['cam1.frames', 'eeg.signal']
    """
    if isinstance(wanted, str):
        return sorted(linked)
    found: set[str] = set()
    for pattern in wanted:
        patterns = [pattern] if "." in pattern else [pattern, f"{pattern}.*"]
        matching = {s for s in linked if any(fnmatch.fnmatchcase(s, p) for p in patterns)}
        if not matching:
            raise RecordingError(
                f"{pattern!r} is required, and is not linked to the recorder; linked: "
                f"{', '.join(sorted(linked)) or 'nothing'}"
            )
        found |= matching
    return sorted(found)


class SilenceWatch:
    """Knows which streams give nothing any more.

    Attributes
    ----------
    silent : list of str
        The streams that are silent.
    """

    def __init__(self) -> None:
        self.silent: list[str] = []
        self._counts: dict[str, int] = {}
        self._for: dict[str, float] = {}
        self._looked: float | None = None

    def look(
        self,
        now: float,
        counts: Mapping[str, int],
        streams: Collection[str],
        *,
        after: float,
        every: float,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Look again.

        Parameters
        ----------
        now : float
            Seconds.
        counts : mapping of str to int
            Samples that came up to now, by stream.
        streams : collection of str
            Which are watched.
        after, every : float
            They count as silent after so many seconds, at the latest; one looks this often.

        Returns
        -------
        tuple of dict
            Streams that have fallen silent, and those that have come back, with for how long they
            were silent in seconds.
        """
        # Who could not look, frozen or swapped out, has not seen silence.
        passed = 0.0 if self._looked is None else min(now - self._looked, 2 * every)
        self._looked = now
        fallen, back = {}, {}
        for stream in streams:
            count = counts.get(stream, 0)
            if count != self._counts.get(stream, 0):
                self._counts[stream] = count
                if stream in self.silent:
                    self.silent.remove(stream)
                    back[stream] = self._for.get(stream, 0.0)
                self._for[stream] = 0.0
                continue
            self._for[stream] = silence = self._for.get(stream, 0.0) + passed
            # The last sample came up to one look before the one that counted it.
            if silence > after - 1.5 * every and stream not in self.silent:
                self.silent.append(stream)
                fallen[stream] = silence
        return fallen, back


class DiskWatch:
    """Foresees when a disk is full.

    Parameters
    ----------
    folder : Path
        A folder on the disk.

    Attributes
    ----------
    free : int
        Bytes that are free.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: deque[tuple[float, int, int]] = deque()
        self.free = shutil.disk_usage(folder).free

    def check(self, wanted: float) -> None:
        """See that so many bytes are free.

        Raises
        ------
        RecordingError
            If they are not.
        """
        if self.free < wanted:
            raise RecordingError(
                f"{self._folder} has {self.free / 1e6:.0f} MB free, and min_free asks for "
                f"{wanted / 1e6:.0f} MB; make room, choose another disk, or ask for less"
            )

    def look(self, now: float, written: int) -> None:
        """Look again.

        Parameters
        ----------
        now : float
            Seconds.
        written : int
            Bytes that were written up to now.
        """
        self.free = shutil.disk_usage(self._folder).free
        self._seen.append((now, written, self.free))
        while now - self._seen[0][0] > _MEASURED_OVER:
            self._seen.popleft()

    def seconds_left(self, reserve: float) -> float:
        """Return how long it takes until only so many bytes are free; -1 if it does not."""
        begin, written_before, free_before = self._seen[0]
        now, written, free = self._seen[-1]
        # Others write on the same disk, or remove what they wrote.
        gone = max(written - written_before, free_before - free)
        if now <= begin or gone <= 0:
            return UNKNOWN
        return max(0.0, (self.free - reserve) * (now - begin) / gone)

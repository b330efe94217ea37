"""What a recorder has taken of each stream, and what belongs to the file it is writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rigmesh.node import InputLink
from rigmesh.recording import Produced
from rigmesh.streams import Cause, Chunk
from rigmesh.transports.ring import capacity_for

__all__ = ["BANDS", "Ledger"]

BANDS = (5, 20, 40, 95)
"""Fillings of a ring, in %, that are counted."""


class Ledger:
    """Counts samples by stream and epoch, those in gaps included, those over a restart not.

    At a *seam* (a pause, another file) everything taken before belongs to what is behind it.

    Attributes
    ----------
    fills : dict of int to int
        How often a ring was fuller than so many % when it was read.
    """

    def __init__(self) -> None:
        self.fills = dict.fromkeys(BANDS, 0)
        self._taken: dict[tuple[str, int], int] = {}
        self._base: dict[tuple[str, int], int] = {}
        self._settled: set[tuple[str, int]] = set()

    def take(self, chunk: Chunk, link: InputLink, seconds: float) -> None:
        """Count a chunk, and how full the ring was that it comes from.

        Parameters
        ----------
        chunk : Chunk
            What came.
        link : InputLink
            Where it came from.
        seconds : float
            How much the ring holds.
        """
        key = link.stream, chunk.epoch
        taken = self._taken.get(key, 0)
        begin, count = link.produced.get(chunk.epoch, (0, 0))
        waiting = count - begin - taken
        if waiting > 0 and link.info is not None:
            fill = 100 * waiting / capacity_for(link.info, seconds)
            if fill > BANDS[0]:
                for band in BANDS:
                    self.fills[band] += fill > band
        taken += len(chunk.raw_timestamps)
        if chunk.gaps:
            taken += sum(gap.count for gap in chunk.gaps if gap.cause is not Cause.RESTART)
        self._taken[key] = taken

    def counts(self) -> dict[str, int]:
        """Return how many samples were taken of each stream."""
        found: dict[str, int] = {}
        for (stream, _), taken in self._taken.items():
            found[stream] = found.get(stream, 0) + taken
        return found

    def lag(self, links: Iterable[InputLink]) -> tuple[int, float]:
        """Return how far behind the source the last reading was, in samples and in seconds."""
        samples, seconds = 0, 0.0
        for link in links:
            if not link.produced or link.info is None:
                continue
            epoch = max(link.produced)
            begin, count = link.produced[epoch]
            behind = count - begin - self._taken.get((link.stream, epoch), 0)
            samples = max(samples, behind)
            if link.info.is_regular:
                seconds = max(seconds, behind / link.info.sampling_rate)
        return samples, seconds

    def seam(self, links: Iterable[InputLink]) -> None:
        """Begin anew: what was taken, and epochs that are over, are accounted for elsewhere."""
        self._base = dict(self._taken)
        for stream, epoch, _, _, is_over in _epochs(links):
            if is_over:
                self._settled.add((stream, epoch))

    def produced(self, links: Iterable[InputLink], *, up_to_here: bool = False) -> Produced:
        """Return how many samples there were, since the last seam, in epochs that are over.

        Parameters
        ----------
        links : iterable of InputLink
            The streams.
        up_to_here : bool
            Also in those that go on, up to what was taken: a seam follows. Else their end, without
            us, is nobody's fault.
        """
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for stream, epoch, begin, count, is_over in _epochs(links):
            key = stream, epoch
            if key in self._settled or not (is_over or up_to_here):
                continue
            first = begin + self._base.get(key, 0)
            end = count if is_over else begin + self._taken.get(key, 0)
            found.setdefault(stream, {})[epoch] = first, end
        return found


def _epochs(links: Iterable[InputLink]) -> Iterator[tuple[str, int, int, int, bool]]:
    for link in links:
        produced = dict(link.produced)
        for epoch, (begin, count) in produced.items():
            yield link.stream, epoch, begin, count, link.ended or epoch != max(produced)

"""A histogram of durations that costs next to nothing to fill."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BIN_OF", "LINEAR", "N_BINS", "Histogram", "bin_of"]

# As in HdrHistogram (hdrhistogram.org): each octave is cut into equal parts, 16 of them here, so
# that a bin is at most 6 % wide, from 256 ns on; below, 256 ns wide.
_SHIFT = 8
_PARTS = 16
_PART_BITS = 4
N_BINS = _PARTS * 25
"""Bins, up to 68 s."""

LINEAR = 2**21
"""Durations below, in ns, find their bin in a table."""


def bin_of(nanoseconds: int) -> int:
    """Return the number of the bin of a duration."""
    value = nanoseconds >> _SHIFT
    octave = value.bit_length() - _PART_BITS - 1
    if octave <= 0:
        return max(value, 0)
    return min(N_BINS - 1, (octave << _PART_BITS) + (value >> octave))


def _edge(number: int) -> int:
    """Return where a bin ends, in ns."""
    octave = max(0, (number >> _PART_BITS) - 1)
    return (number - (octave << _PART_BITS) + 1) << (octave + _SHIFT)


BIN_OF = tuple(bin_of(step << _SHIFT) for step in range(LINEAR >> _SHIFT))
"""Number of the bin for each 256 ns below `LINEAR`."""


class Histogram:
    """Counts durations in nanoseconds, in bins at most 6 % (or 256 ns) wide.

    The hot path adds to `counts` itself, 0.07 µs; :meth:`add` is for everybody else.
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Sequence[int] = ()) -> None:
        self.counts = [*counts, *[0] * (N_BINS - len(counts))]

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    @property
    def largest(self) -> int:
        """Upper edge of the last bin that holds any, in ns; 0 if empty."""
        return next((_edge(n) for n in range(N_BINS - 1, -1, -1) if self.counts[n]), 0)

    def clear(self) -> None:
        """Begin to count."""
        self.counts[:] = [0] * N_BINS

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        self.counts[bin_of(nanoseconds)] += 1

    def merge(self, counts: Sequence[int]) -> None:
        """Count what another histogram has counted."""
        for number, count in enumerate(counts):
            self.counts[number] += count

    def since(self, before: Sequence[int]) -> Histogram:
        """Return what came after an earlier copy of `counts`."""
        return Histogram([now - then for now, then in zip(self.counts, before, strict=False)])

    def trimmed(self) -> list[int]:
        """Return the counts up to the last that is not zero."""
        last = next((n for n in range(N_BINS - 1, -1, -1) if self.counts[n]), -1)
        return self.counts[: last + 1]

    def bins(self) -> list[tuple[float, float, int]]:
        """Return lower edge, upper edge (in seconds) and count of each bin that holds any."""
        return [
            ((_edge(n - 1) if n else 0) / 1e9, _edge(n) / 1e9, count)
            for n, count in enumerate(self.counts)
            if count
        ]

    def percentile(self, percent: float) -> float:
        """Return the upper edge, in seconds, of the bin that holds a percentile; 0 if empty.

        Examples
        --------
        >>> h = Histogram()
        >>> for _ in range(99): h.add(1000)
        >>> h.add(1_000_000)
        >>> h.percentile(50) <= 1.3e-6 < h.percentile(100)
        True
        """
        wanted = self.total * percent / 100
        seen = 0
        for number, count in enumerate(self.counts):
            seen += count
            if count and seen >= wanted:
                return _edge(number) / 1e9
        return 0.0

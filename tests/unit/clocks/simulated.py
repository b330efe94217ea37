"""Two clocks and a network between them, of which the truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rigmesh.clocks.estimate import ClockEstimate, ClockEstimator
from rigmesh.clocks.probe import Probe

Clock = Callable[[float], float]
"""Gives the seconds by which a remote clock is ahead at a local time."""
Delays = Callable[[random.Random], tuple[float, float]]
"""Gives the seconds that a question and its answer take."""


def drifting(offset: float = 1000.0, ppm: float = 0.0) -> Clock:
    return lambda time: offset + ppm * 1e-6 * time


def warming(offset: float, ppm: float, ppm_in_a_minute: float) -> Clock:
    """A crystal whose temperature rises."""
    bend = ppm_in_a_minute * 1e-6 / 60
    return lambda time: offset + ppm * 1e-6 * time + 0.5 * bend * time * time


def stepping(clock: Clock, at: float, by: float) -> Clock:
    return lambda time: clock(time) + (by if time >= at else 0.0)


def queues(there: float, back: float, *, mean_there: float, mean_back: float) -> Delays:
    """Ways of fixed lengths with exponential queues in front of them."""

    def delays(source: random.Random) -> tuple[float, float]:
        return (
            there + (source.expovariate(1 / mean_there) if mean_there else 0.0),
            back + (source.expovariate(1 / mean_back) if mean_back else 0.0),
        )

    return delays


def lopsided(round_trip: float) -> Delays:
    """Each round trip takes as long, and is anyhow divided between there and back."""

    def delays(source: random.Random) -> tuple[float, float]:
        there = source.random() * round_trip
        return there, round_trip - there

    return delays


@dataclass
class Simulation:
    """A prober and a responder."""

    clock: Clock
    delays: Delays
    loss: float = 0.0
    seed: int = 0
    time: float = 100.0
    estimator: ClockEstimator = field(default_factory=ClockEstimator)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._n_waves = 0

    def remote(self, time: float) -> float:
        """The remote clock at a local time."""
        return time + self.clock(time)

    def wave(self, n: int = 8, *, spacing: float = 0.02) -> list[Probe]:
        """Send probes; return those that were answered."""
        probes = []
        for number in range(n):
            t0 = self.time + number * spacing
            there, back = self.delays(self._random)
            if self._random.random() >= self.loss:
                came, left, end = t0 + there, t0 + there + 5e-6, t0 + there + 5e-6 + back
                times = (t0, self.remote(came), self.remote(left), end)
                probes.append(Probe(*(round(time * 1e9) for time in times)))
        return probes

    def step(self) -> ClockEstimate:
        """Send a wave as the prober does: three at once, then one every 2 s, and soon in doubt."""
        probes = self.wave()
        estimate = self.estimator.add(probes)
        self._n_waves += 1
        # What is known is asked for when the wave is over, whether or not anything was answered.
        end = max([self.time + 0.16, *(probe.t3 / 1e9 for probe in probes)])
        self.time = end if self._n_waves < 3 or self.estimator.is_in_doubt else end + 1.84
        return estimate if probes else self.estimator.estimate(end)

    def run(self, seconds: float) -> Iterator[ClockEstimate]:
        """Yield the estimate after each wave."""
        end = self.time + seconds
        while self.time < end:
            yield self.step()

    def error(self, estimate: ClockEstimate, time: float) -> float:
        """By how much the mapping of a remote stamp, taken at a local time, is off."""
        return estimate.model().to_local(self.remote(time)) - time

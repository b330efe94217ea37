"""What probes tell about another host's clock, and how far that can be wrong.

The error of a probe's offset is at most half its round trip: whatever delays a question or an
answer makes the round trip longer too. So what the probes of a minute agree on has a bound, which
is `ClockEstimate.uncertainty`. Asking several times and taking the fastest answer is the method of
Cristian (1989, Probabilistic clock synchronization, Distributed Computing 3, 146-158) and of NTP's
clock filter (RFC 5905, section 10).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rigmesh.clocks._line import FASTEST, Guess, Hold, Line, Wave
from rigmesh.clocks.probe import Probe

if TYPE_CHECKING:
    from rigmesh.streams import ClockModel

__all__ = ["ClockEstimate", "ClockEstimator", "ClockState"]

_STALE_AFTER = 30.0
"""Seconds after which an estimate is not to be trusted without a look at its uncertainty."""
_HOLDOVER_AFTER = 5.0
"""Two waves have gone unanswered then, in seconds."""
_HOLDOVER_GROWTH = 50e-6
"""What two crystals drift apart when their temperature changes and nobody measures it."""


_FAR = 10.0
"""A bound grows the faster the farther one goes; so many seconds on it hardly does any more."""


class ClockState(StrEnum):
    """How well another clock is known."""

    UNSYNCED = "unsynced"
    """No answer has come yet."""
    COARSE = "coarse"
    """A few answers: the offset is known, the drift is not."""
    LOCKED = "locked"
    """Offset and drift come from a line through 10 s or more."""
    HOLDOVER = "holdover"
    """No answers of late: the last line goes on, and the uncertainty grows."""
    RESET = "reset"
    """The clock has jumped, and an epoch has begun; told once."""


@dataclass(frozen=True, slots=True)
class ClockEstimate:
    """Where another clock is: ``local = remote + offset + drift * (remote - reference)``.

    Parameters
    ----------
    state : ClockState
        How well it is known.
    offset : float
        Seconds to add to a remote stamp at `reference`.
    drift : float
        Change of the offset per second of the remote clock.
    reference : float
        Remote time at which `offset` holds, in seconds.
    uncertainty : float
        Half-width of the interval that holds the true offset, in seconds; infinite if nothing is
        known.
    n_waves : int
        Waves that the estimate rests on.
    age : float
        Seconds since the last of them.
    min_rtt : float
        Shortest round trip among them, in seconds.
    epoch : int
        Counts the resets.
    sd : float
        Standard deviation of the fitted line at the last wave, in seconds.
    time : float
        Local time of the last wave, in seconds.
    growth : float
        Seconds by which the uncertainty grows in a second without a wave.
    """

    state: ClockState = ClockState.UNSYNCED
    offset: float = 0.0
    drift: float = 0.0
    reference: float = 0.0
    uncertainty: float = math.inf
    n_waves: int = 0
    age: float = 0.0
    min_rtt: float = math.inf
    epoch: int = 0
    sd: float = 0.0
    time: float = 0.0
    growth: float = 0.0

    @property
    def is_synced(self) -> bool:
        """Whether the clock has been measured within 30 s."""
        return self.state is not ClockState.UNSYNCED and self.age <= _STALE_AFTER

    def at(self, now: float) -> ClockEstimate:
        """Return what this estimate is worth later.

        Parameters
        ----------
        now : float
            Local time, in seconds.
        """
        age = max(now - self.time, self.age)
        if self.state is ClockState.UNSYNCED or age <= self.age:
            return self
        grown = self.growth * (age - self.age)
        state = self.state
        if age > _HOLDOVER_AFTER:
            grown += _HOLDOVER_GROWTH * (age - max(self.age, _HOLDOVER_AFTER))
            state = ClockState.HOLDOVER
        return replace(self, state=state, age=age, uncertainty=self.uncertainty + grown)

    def model(self) -> ClockModel:
        """Return the mapping of the remote clock's stamps onto the local clock."""
        # Not at the top: numpy would double the time until the prober's first question.
        from rigmesh.streams import ClockModel

        return ClockModel(self.offset, self.drift, self.reference, self.uncertainty)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON takes it; what is infinite is null."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ClockEstimate:
        """Read what `to_json` has made."""
        given: dict[str, Any] = {
            name: math.inf if value is None else value for name, value in found.items()
        }
        return cls(**{**given, "state": ClockState(given["state"])})


class ClockEstimator:
    """Follows another clock by probes, which come in waves.

    Of a wave the probe with the shortest round trip is used. A straight line is fitted through
    those of the last 60 s; the more a round trip exceeds the shortest, the less it weighs, and
    where it is more than twice as long it is left out.

    A wave that contradicts the line beyond what its round trip allows cannot be explained by the
    network: one of the clocks has changed. The uncertainty covers it at once. Three such waves
    that agree with each other begin a line of their own, and, where the jump is larger than
    5 ms and 6 standard deviations, a new epoch.
    """

    WINDOW = 60.0
    """Seconds of which waves are kept."""
    _SLOWEST = 2.0
    _LOCKED_AFTER = 10.0
    _LOCKED_WAVES = 5
    _LOCKED_SD = 0.2e-3
    _LOCKED_TOLERANCE = 50e-6
    _JUMP = 5e-3
    _JUMP_SDS = 6.0
    _CONFIRMATIONS = 3
    _AHEAD = 2.0
    """Two ways to estimate are compared by what they are worth at the next wave, in seconds."""

    def __init__(self) -> None:
        self._waves: list[Wave] = []
        self._contradictions: list[Wave] = []
        self._doubt = 0.0
        self._drift = 0.0
        self._tolerance = FASTEST
        self._best = ClockEstimate()

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last wave contradicts what is known: another should be sent soon."""
        return bool(self._contradictions)

    def estimate(self, now: float) -> ClockEstimate:
        """Return what is known.

        Parameters
        ----------
        now : float
            Local time, in seconds.
        """
        best = self._best.at(now)
        return replace(best, uncertainty=max(best.uncertainty, self._doubt))

    def add(self, probes: Sequence[Probe]) -> ClockEstimate:
        """Take a wave in; return what is known when its last answer has come.

        Parameters
        ----------
        probes : list of Probe
            All that were answered; none is as if there had been no wave.
        """
        wave = Wave.of(probes)
        if wave is None:
            return self.estimate(self._best.time)
        now = max(probe.t3 for probe in probes) / 1e9
        before = self._best.at(wave.time)
        if before.state is not ClockState.UNSYNCED:
            off = abs(_offset_by(before, wave))
            if off > wave.half + before.uncertainty:
                return self._contradict(wave, off, now)
            if self._contradictions and wave.half > self._SLOWEST * self._contradictions[-1].half:
                return self.estimate(now)  # so slow that it agrees with anything
        self._contradictions.clear()
        self._doubt = 0.0
        self._waves.append(wave)
        self._update(before.epoch, now)
        return self._best

    def _contradict(self, wave: Wave, off: float, now: float) -> ClockEstimate:
        self._contradictions.append(wave)
        self._doubt = max(self._doubt, off + wave.half + self._best.uncertainty)
        del self._contradictions[: -self._CONFIRMATIONS]
        if len(self._contradictions) < self._CONFIRMATIONS or not self._agree():
            return self.estimate(now)
        allowed = max(self._JUMP, self._JUMP_SDS * self._best.sd)
        is_reset = off > allowed
        self._waves = self._contradictions
        self._contradictions = []
        self._doubt = 0.0
        self._drift, self._tolerance = 0.0, FASTEST
        self._update(self._best.epoch + is_reset, now)
        if not is_reset:
            return self._best
        return replace(self._best, state=ClockState.RESET)

    def _agree(self) -> bool:
        """Whether one clock can have given all the answers that contradict the old one."""
        last = self._contradictions[-1]
        return all(
            abs(last.above(one)) <= last.half + one.half + FASTEST * abs(last.after(one))
            for one in self._contradictions
        )

    def _update(self, epoch: int, now: float) -> None:
        """Estimate anew from the waves."""
        last = self._waves[-1]
        self._waves = [wave for wave in self._waves if last.time - wave.time <= self.WINDOW]
        shortest = min(wave.half for wave in self._waves)
        fast = [wave for wave in self._waves if wave.half <= self._SLOWEST * shortest]
        holds = [Hold(wave, self._drift, self._tolerance) for wave in self._waves]
        hold = min(holds, key=lambda one: one.error(last.after(one.origin)))
        self._best = _made(hold, ClockState.COARSE, epoch).at(now)
        if fast[-1].remote <= fast[0].remote:
            return
        is_long = (
            len(fast) >= self._LOCKED_WAVES and fast[-1].time - fast[0].time >= self._LOCKED_AFTER
        )
        line = Line(fast, self._waves, is_long=is_long)
        is_locked = is_long and line.sd < self._LOCKED_SD
        state = ClockState.LOCKED if is_locked else ClockState.COARSE
        fitted = _made(line, state, epoch).at(now)
        # A wave by itself scatters: it is only taken where the line says little until the next one.
        soon = now + self._AHEAD
        if fitted.at(soon).uncertainty < 2.0 * self._best.at(soon).uncertainty:
            self._best = fitted
            if is_locked:
                self._drift, self._tolerance = line.drift, self._LOCKED_TOLERANCE


def _made(guess: Guess, state: ClockState, epoch: int) -> ClockEstimate:
    """Make the estimate at the last wave that it rests on."""
    origin = guess.origin
    error = guess.error(0.0)
    return ClockEstimate(
        state=state,
        offset=origin.offset / 1e9 + guess.shift,
        drift=guess.drift,
        reference=origin.remote / 1e9,
        uncertainty=error,
        n_waves=guess.n_waves,
        min_rtt=2.0 * guess.shortest,
        epoch=epoch,
        sd=guess.sd,
        time=origin.time,
        growth=(guess.error(_FAR) - error) / _FAR,
    )


def _offset_by(estimate: ClockEstimate, wave: Wave) -> float:
    """Return by how much a wave is off what was expected, in seconds."""
    expected = estimate.offset + estimate.drift * (wave.remote / 1e9 - estimate.reference)
    return wave.offset / 1e9 - expected

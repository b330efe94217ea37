"""From signals to events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rigmesh.node import Input, Node, Output, Seconds, param
from rigmesh.streams import Markers, Signal, StreamInfo
from rigmesh_nodes.channels import channel_index

__all__ = ["Crossing", "Crossings", "Threshold"]

Direction = Literal["rising", "falling", "both"]

_ARMED, _CROSSED = -1, 1


@dataclass(frozen=True, slots=True)
class Crossing:
    """A sample at which a signal is across the level, and the one before was not.

    Parameters
    ----------
    at : int
        Index in the values that were searched.
    direction : str
        ``rising`` or ``falling``.
    """

    at: int
    direction: str


class Crossings:
    """Finds where a signal crosses a level, chunk after chunk.

    Attributes
    ----------
    level, hysteresis : float
        In the unit of the signal; both may change between two chunks.
    direction : str
        ``rising``, ``falling`` or ``both``; may change, too.
    """

    def __init__(self, level: float, direction: Direction, hysteresis: float = 0.0) -> None:
        self.level = level
        self.direction = direction
        self.hysteresis = hysteresis
        self._states = {"rising": 0, "falling": 0}
        self._last = np.nan

    def find(self, values: npt.NDArray[Any]) -> list[Crossing]:
        """Return the crossings in the next values, in order.

        Parameters
        ----------
        values : ndarray, shape (n_samples,)
            Samples of one channel; NaN is on neither side.
        """
        if not len(values):
            return []
        # The last sample is looked at again, since the level may be another one by now: a crossing
        # is one of the signal, never of the level.
        values = np.concatenate(([self._last], values))
        self._last = values[-1]
        found = [
            Crossing(at, direction)
            for direction in ("rising", "falling")
            for at in self._crossed(values, direction)
        ]
        return sorted(
            (crossing for crossing in found if self.direction in (crossing.direction, "both")),
            key=lambda crossing: crossing.at,
        )

    def _crossed(self, values: npt.NDArray[Any], direction: str) -> Iterator[int]:
        """Yield where samples have crossed that were on the other side, clear of the hysteresis."""
        if direction == "rising":
            crossed, armed = values >= self.level, values < self.level - self.hysteresis
        else:
            crossed, armed = values < self.level, values >= self.level + self.hysteresis
        known = np.flatnonzero(crossed | armed)
        states = np.concatenate(
            ([self._states[direction]], np.where(crossed[known], _CROSSED, _ARMED))
        )
        self._states[direction] = int(states[-1])
        for at in known[(states[:-1] == _ARMED) & (states[1:] == _CROSSED)]:
            if at:
                yield int(at) - 1


class Threshold(Node):
    """A marker whenever a channel crosses a level, stamped with the first sample across.

    A rising crossing leads from below the level to it or above, a falling one from it or above to
    below. The signal must have been on the other side before, by more than the hysteresis: what
    begins across the level, or follows a change of the level, is no crossing. After missing samples
    a crossing is found late, at the first sample that is there. A new epoch of the input starts
    anew.
    """

    signal = Input(Signal)
    events = Output(Markers)

    channel: int | str = param(default=0, doc="Label of the channel, or its index from 0.")
    level: float = param(default=0.0, live=True, doc="Level, in the unit of the channel.")
    direction: Direction = param(
        default="rising", live=True, doc="Crossings that count: rising, falling or both."
    )
    hysteresis: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="How far the signal must have been from the level before, in the channel's unit.",
    )
    refractory: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Time after a marker in which there is no other, by the time of the samples.",
    )
    text: str = param(
        default="{direction}",
        live=True,
        doc="Text of the markers. {value} stands for the sample across the level, {time} for its "
        "raw stamp in seconds, {index} for its index in the epoch, {direction} for the direction.",
        examples=["spike", "R peak of {value} at {index}"],
    )

    def prepare(self) -> None:
        """Find the channel; know nothing of the past."""
        info = self.signal.info
        self._column = channel_index(info, self.channel)
        self._crossings = Crossings(self.level, self.direction, self.hysteresis)
        self._last_time = -np.inf
        self.events.announce(replace(StreamInfo.markers("events"), clock_id=info.clock_id))

    def process(self, chunk: Signal) -> Markers | None:
        """Look for crossings."""
        finder = self._crossings
        finder.level, finder.direction = self.level, self.direction
        finder.hysteresis = self.hysteresis
        values = chunk.data[:, self._column]
        times, texts = [], []
        for crossing in finder.find(values):
            time = float(chunk.raw_timestamps[crossing.at])
            if time - self._last_time < self.refractory:
                continue
            self._last_time = time
            times.append(time)
            texts.append(self._text_of(crossing, values[crossing.at].item(), time, chunk.index))
        if not times:
            return None
        return Markers(texts, np.array(times), clock=chunk.clock)

    def _text_of(self, crossing: Crossing, value: float, time: float, first: int) -> str:
        # Not str.format: a text may be JSON, and a client's word never reaches attributes.
        return (
            self.text.replace("{value}", f"{value:.9g}")
            .replace("{time}", f"{time:.6f}")
            .replace("{index}", str(first + crossing.at))
            .replace("{direction}", crossing.direction)
        )

"""From signals to events, and on to other texts and the log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeInt, PositiveInt

from rigmesh.errors import ParameterError, PortMismatch
from rigmesh.node import Input, Node, Output, Seconds, param, state
from rigmesh.streams import Markers, Signal, StreamInfo
from rigmesh_nodes._digital_trigger import BitEdge, BitEdges, Debounce, bits_of, n_bits
from rigmesh_nodes._event_texts import TextRules
from rigmesh_nodes._event_times import RateLimit
from rigmesh_nodes.channels import channel_index

__all__ = [
    "Crossing",
    "Crossings",
    "DigitalTrigger",
    "EventConvert",
    "EventLog",
    "Threshold",
]

Direction = Literal["rising", "falling", "both"]

_LONGEST_LOGGED = 200

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


class DigitalTrigger(Node):
    """A marker at each edge of the bits of a digital port, stamped with the first sample after it.

    Contacts bounce. Without debouncing every edge counts, at once. ``after-stable``: an edge counts
    if the bit then stays for the time `debounce`; shorter pulses are glitches. ``before-stable``:
    the first edge of a group counts; the bit must have stayed for that time before the edge, may
    then bounce for as long, and must stay at its new level for as long again. These are the three
    modes of Pyacq. A marker always has the stamp of the edge; it comes `debounce` later, or twice
    as much.

    What is set at the beginning is no edge. After missing samples, an edge within them is found
    late, at the first sample that is there; what was being debounced is dropped, and a bit must
    stay anew. At values that are not finite every bit stays as it was. A new epoch of the input
    starts anew.
    """

    signal = Input(Signal)
    events = Output(Markers)

    channel: int | str = param(
        default=0, doc="Label of the channel that holds the port, or its index from 0."
    )
    bits: list[NonNegativeInt] | PositiveInt = param(
        default=[],
        doc="Bits to look at, from 0, or a mask; none for all.",
        examples=[[0, 7], 0x0F],
    )
    direction: Direction = param(
        default="rising", live=True, doc="Edges that count: rising, falling or both."
    )
    debounce_mode: Debounce = param(
        default="none", doc="Which edges of a bouncing bit count: see the description."
    )
    debounce: Seconds = param(
        default=0.01, gt=0, doc="Time that a bit has to stay, if edges are debounced."
    )
    names: dict[int, str] = param(
        default={}, doc="Names of bits; the others are bit0, bit1, …", examples=[{0: "lick"}]
    )
    text: str = param(
        default="{name}",
        live=True,
        doc="Text of the markers. {name} stands for the name of the bit, {bit} for its number, "
        "{direction} for the direction, {value} for the bits after the edge, as a number.",
        examples=["{name} {direction}"],
    )

    n_not_finite: int = state(default=0, doc="Samples that were not finite numbers of 64 bits.")

    def prepare(self) -> None:
        """Find the channel and its bits; know nothing of the past."""
        info = self.signal.info
        self._column = channel_index(info, self.channel)
        n_stable = 0
        if self.debounce_mode != "none":
            if not info.is_regular:
                raise PortMismatch(
                    f"{self.name} debounces a regular signal; {info.name} is irregular"
                )
            n_stable = max(1, round(self.debounce * info.sampling_rate))
        self._edges = BitEdges(self._chosen_bits(info), self.debounce_mode, n_stable)
        self.events.announce(replace(StreamInfo.markers("events"), clock_id=info.clock_id))

    def process(self, chunk: Signal) -> Markers | None:
        """Look for edges."""
        finder = self._edges
        if chunk.gaps:
            finder.skip()
        edges = finder.find(chunk.data[:, self._column], chunk.raw_timestamps)
        if finder.n_unknown:
            self.n_not_finite += finder.n_unknown
            finder.n_unknown = 0
        if edges and self.direction != "both":
            edges = [edge for edge in edges if edge.direction == self.direction]
        if not edges:
            return None
        times = np.array([edge.time for edge in edges])
        return Markers([self._text_of(edge) for edge in edges], times, clock=chunk.clock)

    def _chosen_bits(self, info: StreamInfo) -> list[int]:
        width = n_bits(np.dtype(info.dtype))
        chosen = bits_of(self.bits) if isinstance(self.bits, int) else sorted(set(self.bits))
        if chosen and chosen[-1] >= width:
            raise ParameterError(
                f"{self.name}.bits: {info.name} is {info.dtype}, which has the bits 0 to "
                f"{width - 1}; found {chosen[-1]}"
            )
        return chosen or list(range(width))

    def _text_of(self, edge: BitEdge) -> str:
        return (
            self.text.replace("{value}", str(edge.value))
            .replace("{bit}", str(edge.bit))
            .replace("{direction}", edge.direction)
            .replace("{name}", self.names.get(edge.bit, f"bit{edge.bit}"))
        )


class EventConvert(Node):
    """The same events with other texts.

    A text is looked up in `mapping`; if it is not there, `pattern` is looked for in it; if that is
    not found either, it stays as it is or is dropped.
    """

    events = Input(Markers)
    converted = Output(Markers)

    mapping: dict[str, str] = param(
        default={}, live=True, doc="New texts by old ones.", examples=[{"S  1": "left"}]
    )
    pattern: str = param(
        default="",
        live=True,
        doc="Regular expression that is looked for in other texts; empty: none.",
        examples=[r"^S +(\d+)$"],
    )
    replacement: str = param(
        default="",
        live=True,
        doc=r"What replaces each place where the pattern is found; \1 is its first group.",
        examples=[r"stimulus \1"],
    )
    prefix: str = param(default="", live=True, doc="Put before every text.")
    drop: bool = param(
        default=False, live=True, doc="Whether events are dropped that get no new text."
    )

    n_dropped: int = state(default=0, doc="Events without a new text, if they are dropped.")

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks; those that do not fit change nothing."""
        new = {**self.parameters, **values}
        try:
            rules = TextRules(
                new["mapping"], new["pattern"], new["replacement"], new["prefix"], drop=new["drop"]
            )
        except re.error as error:
            raise ParameterError(
                f"{self.name}: {error}; found the pattern {new['pattern']!r} and the replacement "
                f"{new['replacement']!r}"
            ) from error
        self._rules = rules
        super().set_parameters(values)

    def prepare(self) -> None:
        """Announce the events."""
        info = self.events.info
        self.converted.announce(replace(StreamInfo.markers("converted"), clock_id=info.clock_id))

    def process(self, chunk: Markers) -> Markers | None:
        """Rewrite the texts."""
        rules = self._rules
        texts = [rules(text) for text in chunk.data]
        if None not in texts:
            return chunk.with_data(texts)
        kept = [at for at, text in enumerate(texts) if text is not None]
        self.n_dropped += len(texts) - len(kept)
        if not kept:
            return None
        return Markers([texts[at] for at in kept], chunk.raw_timestamps[kept], clock=chunk.clock)


class EventLog(Node):
    """Writes events to the log, not more than so many in any second."""

    events = Input(Markers)

    texts: list[str] = param(default=[], live=True, doc="Texts of events that count; none: all.")
    per_second: int = param(
        default=10, ge=1, le=1000, doc="Most events that are logged in any second."
    )

    n_events: int = state(default=0, doc="Events that count.")
    n_not_logged: int = state(default=0, doc="Those of them that came too fast to be logged.")
    last: str = state(default="", doc="Text of the last event that counts.")

    def prepare(self) -> None:
        """Begin a second."""
        self._limit = RateLimit(self.per_second)
        self._n_left_out = 0

    def process(self, chunk: Markers) -> None:
        """Log."""
        now = self.runtime.now
        for text, time in zip(chunk.data, chunk.timestamps.tolist(), strict=True):
            if self.texts and text not in self.texts:
                continue
            self.n_events += 1
            self.last = text[:_LONGEST_LOGGED]
            if not self._limit.passes(now):
                self.n_not_logged += 1
                self._n_left_out += 1
                continue
            # Its representation, so that a text from elsewhere cannot pretend to be a line.
            if self._n_left_out:
                self.log.info(
                    "%r at %.6f s; %d before it were not logged", self.last, time, self._n_left_out
                )
                self._n_left_out = 0
            else:
                self.log.info("%r at %.6f s", self.last, time)

"""Logic of events in time: which of them pass, and when."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from rigmesh.errors import ParameterError
from rigmesh.node import Input, Node, Output, Seconds, command, param, state
from rigmesh.streams import IDENTITY, ClockModel, Markers, StreamInfo
from rigmesh_nodes._event_delay import DelayLine
from rigmesh_nodes._event_filter import Veto
from rigmesh_nodes._event_sync import Coincidences
from rigmesh_nodes._event_times import Alarm, Waiting, to_raw

__all__ = ["EventDelay", "EventFilter", "EventState", "EventSync"]


class EventFilter(Node):
    """Lets events pass unless other ones, such as artefacts, block them.

    A blocking event blocks from `before` it to `after` it, by the stamps on the local clock. An
    event can only be blocked by what has come when it is decided about: at once, or, for blocking
    events that are later or slower, after it was held for the time `hold` since its stamp. Events
    that pass keep their stamps.

    Blocking events that were lost on the way block nothing. A new epoch of any input starts anew:
    what is held then is dropped.
    """

    events = Input(Markers)
    block = Input(Markers, many=True, optional=True)
    passed = Output(Markers)

    before: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="How long before itself a blocking event blocks; `hold` should be longer.",
    )
    after: Seconds = param(
        default=0.0, ge=0, live=True, doc="How long after itself a blocking event blocks."
    )
    hold: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Age up to which an event is held until it is decided about; 0: it is not held.",
    )
    need: Literal["any", "all"] | PositiveInt = param(
        default="any", doc="How many of the blocking streams have to block an event."
    )
    block_texts: list[str] = param(
        default=[], live=True, doc="Texts of events that block; none: all of them."
    )

    n_passed: int = state(default=0, doc="Events that passed.")
    n_blocked: int = state(default=0, doc="Events that were blocked.")
    n_waiting: int = state(default=0, doc="Events that are held.")
    n_dropped: int = state(
        default=0, doc="Events dropped undecided: held when an input began anew, or too many."
    )
    n_not_finite: int = state(default=0, doc="Events dropped because their stamps are no times.")

    def open(self) -> None:
        """Hold nothing."""
        self._held: Waiting[tuple[float, float, str]] = Waiting()
        self._alarm = Alarm(self, self._release)

    def prepare(self) -> None:
        """Find the streams that can block; know nothing of the past."""
        self.n_dropped += self._held.clear()
        self.n_waiting = 0
        self._number_of = _numbered(self.block)
        n = len(self._number_of)
        need = 1 if self.need == "any" else n if self.need == "all" else self.need
        if n and need > n:
            raise ParameterError(f"{self.name}.need: {need} of {n} blocking streams are too many")
        self._veto = Veto(n, need)
        self._clock = IDENTITY
        self.passed.announce(_like(self.events.info, "passed"))

    def process_block(self, chunk: Markers) -> None:
        """Note when events are blocked."""
        veto, texts = self._veto, self.block_texts
        number = self._number_of[chunk.info.name if chunk.info else ""]
        for time, text in zip(chunk.timestamps.tolist(), chunk.data, strict=True):
            if not texts or text in texts:
                veto.add(number, time)

    def process_events(self, chunk: Markers) -> Markers | None:
        """Decide about events, or hold them."""
        self._clock = chunk.clock
        times = chunk.timestamps.tolist()
        if self.hold or len(self._held):
            return self._keep(chunk, times)
        kept = [at for at, time in enumerate(times) if self._passes(time)]
        if len(kept) == len(times):
            return chunk.with_data(chunk.data)
        return _some(chunk, kept)

    def _passes(self, time: float) -> bool:
        if not isfinite(time):
            self.n_not_finite += 1
            return False
        if self._veto.blocks(time, self.before, self.after):
            self.n_blocked += 1
            return False
        self.n_passed += 1
        return True

    def _keep(self, chunk: Markers, times: list[float]) -> Markers | None:
        for time, raw, text in zip(times, chunk.raw_timestamps.tolist(), chunk.data, strict=True):
            if not isfinite(time):
                self.n_not_finite += 1
            elif not self._held.put(time + self.hold, (time, raw, text)):
                self.n_dropped += 1
        return self._decided()

    def _decided(self) -> Markers | None:
        """Return what passes of that which was held long enough."""
        due = self._held.take(self.runtime.now)
        passed = [(raw, text) for _, (time, raw, text) in due if self._passes(time)]
        self.n_waiting = len(self._held)
        self._alarm.set(self._held.next_due)
        return _markers(passed, self._clock)

    def _release(self) -> None:
        if self.passed.is_ended:
            return
        passed = self._decided()
        if passed is not None:
            self.passed.push(passed)


class EventSync(Node):
    """Waits until all of its inputs, or enough of them, gave an event within a window.

    The one event it then gives has the local time of the last of them. Each event is used once. The
    events of one input must be in the order of time, but inputs may be ahead of each other: with
    ``need: all``, what comes out does not depend on which one comes first. With fewer, the first
    that are enough make the event, and one of the other inputs in the same window belongs to it. An
    event that meets too few others is dropped when they are there, and can be found in `n_waiting`
    until then.

    Events that were lost on the way are waited for in vain. A new epoch of any input starts anew.
    """

    events = Input(Markers, many=True)
    synced = Output(Markers)

    need: Literal["all"] | PositiveInt = param(
        default="all", doc="How many inputs have to give an event."
    )
    window: Seconds = param(
        default=0.1, ge=0, live=True, doc="Longest time from the first to the last of the events."
    )
    texts: list[str] = param(default=[], live=True, doc="Texts of events that count; none: all.")
    text: str = param(default="sync", live=True, doc="Text of the event.")

    n_synced: int = state(default=0, doc="Events given.")
    n_dropped: int = state(default=0, doc="Events that met too few others.")
    n_waiting: int = state(default=0, doc="Events that wait for others.")
    n_not_finite: int = state(default=0, doc="Events dropped because their stamps are no times.")

    def open(self) -> None:
        """Have nothing waiting."""
        self._found = Coincidences()

    def prepare(self) -> None:
        """Find the inputs; know nothing of the past."""
        self._number_of = _numbered(self.events)
        n = len(self._number_of)
        need = n if self.need == "all" else self.need
        if need > n:
            raise ParameterError(f"{self.name}.need: {need} of {n} inputs are too many")
        self._found.begin(n, need)
        self._tell()
        self.synced.announce(StreamInfo.markers("synced"))

    def process(self, chunk: Markers) -> Markers | None:
        """Take events of one input."""
        found, texts, window = self._found, self.texts, self.window
        number = self._number_of[chunk.info.name if chunk.info else ""]
        times = []
        for time, text in zip(chunk.timestamps.tolist(), chunk.data, strict=True):
            if texts and text not in texts:
                continue
            if not isfinite(time):
                self.n_not_finite += 1
                continue
            last = found.add(number, time, window)
            if last is not None:
                times.append(last)
        self._tell()
        if not times:
            return None
        self.n_synced += len(times)
        return Markers([self.text] * len(times), np.array(times))

    def _tell(self) -> None:
        self.n_dropped, self.n_waiting = self._found.n_dropped, self._found.n_waiting


class EventDelay(Node):
    """Gives each event again after a fixed or a random delay, with two kinds of lock-out.

    The delay counts from the stamp of the event, so that the time it took to find it and to come
    here is part of it; the new stamp is when the event was due. One whose delay is over when it
    comes is given at once. Without any delay, events are given at once (on-time mode); both
    lock-outs hold then, too. A random delay is uniform between `delay` and `delay` + `jitter`, and
    the same in each run of the same events.

    The `detection_lock_out` begins when an event is accepted, and ignores those that come in it.
    The `stimulation_lock_out` begins when an event is given, and drops those that are due in it.
    Both go by stamps.

    A new epoch of the input starts anew: what waits is dropped, as it is at the end of the input.
    """

    events = Input(Markers)
    delayed = Output(Markers)

    delay: Seconds = param(
        default=0.0, ge=0, live=True, doc="The delay; if it is random, the shortest."
    )
    jitter: Seconds = param(
        default=0.0, ge=0, live=True, doc="How much longer a random delay can be; 0: it is fixed."
    )
    seed: int = param(default=0, ge=0, doc="Makes the random delays other ones.")
    detection_lock_out: Seconds = param(
        default=0.0, ge=0, live=True, doc="Time after an accepted event in which none is accepted."
    )
    stimulation_lock_out: Seconds = param(
        default=0.0, ge=0, live=True, doc="Time after an event was given in which none is given."
    )

    n_given: int = state(default=0, doc="Events given.")
    n_detection_locked_out: int = state(default=0, doc="Events that came in a detection lock-out.")
    n_stimulation_locked_out: int = state(
        default=0, doc="Accepted events that were due in a stimulation lock-out."
    )
    n_late: int = state(default=0, doc="Events whose delay was over when they came.")
    n_waiting: int = state(default=0, doc="Events that wait for their delay.")
    n_dropped: int = state(
        default=0, doc="Events that waited when the input began anew, or were too many to wait."
    )
    n_not_finite: int = state(default=0, doc="Events dropped because their stamps are no times.")

    def open(self) -> None:
        """Have nothing waiting."""
        self._line = DelayLine()
        self._alarm = Alarm(self, self._release)

    def prepare(self) -> None:
        """Know nothing of the past."""
        self._clock = IDENTITY
        self._begin()
        self.delayed.announce(_like(self.events.info, "delayed"))

    @command
    def reset(self) -> None:
        """Drop what waits, end both lock-outs, begin the random delays and the counts anew."""
        self._begin()
        self._line.n_dropped = 0
        type(self).states().reset(self, own_only=True)

    def process(self, chunk: Markers) -> Markers | None:
        """Give events, or let them wait."""
        self._clock = chunk.clock
        times = chunk.raw_timestamps.tolist()
        if self.delay or self.jitter or self._line.n_waiting:
            return self._hold(chunk, times)
        kept = [at for at, time in enumerate(times) if self._accepts(time) and self._fires(time)]
        if len(kept) == len(times):
            return chunk.with_data(chunk.data)
        return _some(chunk, kept)

    def _begin(self) -> None:
        self._line.begin(self.seed)
        self.n_dropped, self.n_waiting = self._line.n_dropped, 0

    def _accepts(self, time: float) -> bool:
        if not isfinite(time):
            self.n_not_finite += 1
            return False
        if self._line.accepts(time, self.detection_lock_out):
            return True
        self.n_detection_locked_out += 1
        return False

    def _fires(self, due: float) -> bool:
        if self._line.fires(due, self.stimulation_lock_out):
            self.n_given += 1
            return True
        self.n_stimulation_locked_out += 1
        return False

    def _hold(self, chunk: Markers, times: list[float]) -> Markers | None:
        line, delay, jitter = self._line, self.delay, self.jitter
        until = to_raw(self._clock, self.runtime.now)
        for time, text in zip(times, chunk.data, strict=True):
            if not self._accepts(time):
                continue
            due = line.hold(time, text, delay, jitter)
            if not delay and not jitter:
                until = max(until, due)
            elif due <= until:
                self.n_late += 1
        return self._due(until)

    def _due(self, until: float) -> Markers | None:
        """Return what is due by a time of the events' clock."""
        line = self._line
        due = [event for event in line.take(until) if self._fires(event[0])]
        self.n_waiting, self.n_dropped = line.n_waiting, line.n_dropped
        self._alarm.set(self._clock.to_local(line.next_due))
        return _markers(due, self._clock)

    def _release(self) -> None:
        if self.delayed.is_ended:
            return
        now, next_due = self.runtime.now, self._line.next_due
        until = to_raw(self._clock, now)
        if self._clock.to_local(next_due) <= now:
            until = max(until, next_due)  # rounding on the way there and back must not hold it
        due = self._due(until)
        if due is not None:
            self.delayed.push(due)


class EventState(Node):
    """Events switch a state on and off; people can switch it, too."""

    events = Input(Markers)

    switch_on: list[str] = param(
        default=[], live=True, doc="Texts that switch on; none: all that do not switch off."
    )
    switch_off: list[str] = param(default=[], live=True, doc="Texts that switch off.")

    is_on: bool = state(default=False, write="clients", doc="Whether it is on.")

    def process(self, chunk: Markers) -> None:
        """Switch."""
        for text in chunk.data:
            if text in self.switch_off:
                self.is_on = False
            elif not self.switch_on or text in self.switch_on:
                self.is_on = True


def _like(info: StreamInfo, name: str) -> StreamInfo:
    """Describe markers on the clock of another stream."""
    return replace(StreamInfo.markers(name), clock_id=info.clock_id)


def _numbered(port: Input[Markers]) -> dict[str, int]:
    """Return a number for each stream that is linked to an input, by name."""
    infos = [link.info for link in port.links]
    return {info.name: number for number, info in enumerate(infos) if info is not None}


def _markers(events: list[tuple[float, str]], clock: ClockModel) -> Markers | None:
    """Make a chunk of raw stamps and texts."""
    if not events:
        return None
    texts = [text for _, text in events]
    return Markers(texts, np.array([time for time, _ in events]), clock=clock)


def _some(chunk: Markers, kept: list[int]) -> Markers | None:
    """Return some events of a chunk."""
    if not kept:
        return None
    return Markers([chunk.data[at] for at in kept], chunk.raw_timestamps[kept], clock=chunk.clock)

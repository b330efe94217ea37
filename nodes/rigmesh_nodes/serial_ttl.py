"""Triggers over a serial port: to stimulators and TTL boxes, and from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from rigmesh.errors import ParameterError, StateError, StreamLost
from rigmesh.node import Input, Node, Output, Seconds, command, param, state
from rigmesh.streams import Frames, Markers, Signal, StreamInfo, local_clock
from rigmesh_nodes._serial_line import SerialLine
from rigmesh_nodes._serial_messages import Splitter, from_text, to_text

__all__ = ["SerialTTL", "SerialTTLIn"]

_LOOK = 0.1
"""The longest wait for a byte, and so for a stop, in seconds."""


class SerialTTL(Node):
    """Sends a message over a serial port at each event, at once, and no event that is too old.

    The device times its pulses by itself (``mode: message``), or the loop does: it sends
    `off_message` when the pulse is over (``mode: pulse``). The first is as exact as the device's
    clock; the second is 0.1 to 0.3 ms too long, more on a busy computer.

    The **safe state** is a message, too. It is sent when the node opens, closes or gets another
    description of its input, after an event or a heartbeat older than `deadline`, after events
    that were lost on the way, when the port takes no more, and when nothing was heard of the
    controller for `stale` seconds. With ``stale = deadline`` and a `heartbeat` linked, the actuator
    is safe at most twice the deadline after the last sample that was in time. The next event in
    time fires again.

    The node runs in the loop's own process and never waits for the port: what the system does not
    take at once is missed, discarded and counted. A pulse whose end cannot be sent is a failure of
    the node. A process that is killed cannot send anything: against that only a watchdog in the
    device helps.

    `fired` says what was sent and when, by the local clock: the text of the event, ``off`` at the
    end of a pulse, ``safe`` for the safe state; not the one at the end of the run.
    """

    events = Input(Markers)
    heartbeat = Input(Signal, Markers, Frames, optional=True)
    fired = Output(Markers)

    device: str = param(doc="Path of the serial port.", examples=["/dev/ttyACM0", "/dev/ttyUSB0"])
    baudrate: int = param(default=115200, gt=0, doc="Speed of the port, in bits per second.")
    message: str = param(
        default=r"\x01",
        min_length=1,
        doc=r"What is sent at an event. \xhh stands for a byte; also \n, \r, \t and \\.",
        examples=[r"\x01", "T", r"P5\r\n"],
    )
    messages: dict[str, str] = param(
        default={},
        doc="Texts of events and what is sent at each. If there are any, other events do not fire.",
        examples=[{"ripple": r"\x01", "spindle": r"\x02"}],
    )
    mode: Literal["message", "pulse"] = param(
        default="message", doc="Who times a pulse: the device (message), or the loop (pulse)."
    )
    pulse: Seconds = param(
        default=0.001, gt=0, live=True, doc="Length of a pulse that the loop times."
    )
    off_message: str = param(default="", doc="What ends a pulse that the loop times.")
    safe_message: str = param(
        default="", doc="What makes the device safe; `off_message` if empty. Without both, nothing."
    )
    lock_out: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Time after a message in which no event fires, by the local clock.",
    )
    deadline: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Age from which on an event does not fire any more; 0: none is too old.",
    )
    stale: Seconds = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Time without an event or a heartbeat after which the safe state is sent; 0: never.",
    )
    settle: Seconds = param(
        default=0.0,
        ge=0,
        le=60,
        doc="Wait after opening the port, for boards that restart when it is opened.",
    )

    n_pulses: int = state(default=0, doc="Messages sent at events, or by `fire`.")
    n_late: int = state(default=0, doc="Events and heartbeats older than the deadline.")
    n_locked_out: int = state(default=0, doc="Events within the lock-out or a pulse.")
    n_missed: int = state(default=0, doc="Messages that the port did not take.")
    n_stale: int = state(default=0, doc="How often the controller fell silent.")
    is_safe: bool = state(default=False, doc="Whether the device is in its safe state.")
    is_high: bool = state(default=False, doc="Whether a pulse that the loop times is on.")

    _line: SerialLine | None = None
    _safe = b""
    _is_watching = False

    def open(self) -> None:
        """Take the port, and make the device safe."""
        self._free_at = self._pulse_end = -np.inf
        self._is_watching = False
        self._open_line()
        self._translate()
        self._send_safe()

    def prepare(self) -> None:
        """Begin in the safe state, with the messages of the parameters."""
        if self.mode == "pulse" and not self.off_message:
            raise ParameterError(f"{self.name}: a pulse needs an off_message to end it")
        if self.heartbeat.connected and not self.stale:
            raise ParameterError(
                f"{self.name}: a heartbeat is linked, but stale is 0 s, so nobody listens to it"
            )
        self.fired.announce(StreamInfo.markers("fired"))
        line = self._opened()
        self._go_safe()
        if (line.port, line.baudrate) != (self.device, self.baudrate):
            line.close()
            self._open_line()
            self._safe = b""
        before = self._safe
        self._translate()
        if self._safe != before:
            self._send_safe()

    def process_events(self, chunk: Markers) -> None:
        """Send the messages of the events."""
        runtime = self.runtime
        if chunk.gaps:  # the one that ends something may be among them
            self._go_safe()
        deadline = self.deadline
        stamps = chunk.timestamps if deadline else chunk.raw_timestamps
        for at, text in enumerate(chunk.data):
            message = self._message_of.get(text, self._other)
            if message is None:
                continue
            now = runtime.now
            # Written so that a stamp that is not a number is late.
            if deadline and not now - stamps.item(at) <= deadline:
                self._late()
            elif now < self._free_at or self.is_high:
                self.n_locked_out += 1
            else:
                self._fire(message, text, now)
        if self.stale:
            self._heard(runtime.now)

    def process_heartbeat(self, chunk: Signal | Markers | Frames) -> None:
        """Take a chunk of anything for a sign of life."""
        now = self.runtime.now
        if self.deadline and not now - chunk.timestamps.item(-1) <= self.deadline:
            self._late()
        elif self.stale:
            self._heard(now)

    def close(self) -> None:
        """Make the device safe, and give the port back."""
        line, self._line = self._line, None
        if line is None:
            return
        self.is_high = False
        try:
            if not line.is_lost:
                self._send_safe(line)
        finally:
            line.close()

    @command
    def fire(self, message: str = "") -> None:
        """Send a message now, that of an event if none is given; not within the lock-out."""
        now = self.runtime.now
        self._opened()
        if now < self._free_at or self.is_high:
            self.n_locked_out += 1
            free_at = max(self._free_at, self._pulse_end)
            raise StateError(f"{self.name} is locked out for another {free_at - now:.3f} s")
        self._fire(from_text(message or self.message), "fire", now)

    @command
    def safe(self) -> None:
        """Send the safe state now; the next event fires again."""
        self._opened()
        self.is_high = False
        self._send_safe()

    # --- sending -----------------------------------------------------------------------------

    def _fire(self, message: bytes, text: str, now: float) -> None:
        line = self._opened()
        self.is_safe = not self._safe or message == self._safe
        if not line.write(message):
            self._missed(line)
            return
        self.n_pulses += 1
        self._free_at = now + self.lock_out
        if self._is_timed:
            self.is_high = True
            self._pulse_end = now + self.pulse
            self.call_at(self._pulse_end, self._end_pulse)
        self._tell(text, now)

    def _end_pulse(self) -> None:
        line, now = self._line, self.runtime.now
        if line is None or not self.is_high or now < self._pulse_end:
            return  # ended before, by the safe state; this may be within another one
        try:
            ended = line.write(self._off)
        except StreamLost:
            self.n_missed += 1
            raise
        if not ended:
            self._missed(line)
            raise StateError(
                f"{line.port} did not take the end of a pulse, so nobody knows how long it was; "
                "the safe state is sent instead"
            )
        self.is_high = False
        self.is_safe = self._off == self._safe
        self._tell("off", now)

    def _missed(self, line: SerialLine) -> None:
        """Discard what the device did not take: later it would be wrong."""
        self.n_missed += 1
        if self.n_missed == 1:
            self.log.warning("%s takes no more; messages are discarded", line.port)
        line.discard_unsent()
        self._send_safe(line)

    def _late(self) -> None:
        self.n_late += 1
        self._go_safe()

    def _heard(self, now: float) -> None:
        self._last_heard = now
        if not self._is_watching:
            self._is_watching = True
            self.call_at(now + self.stale, self._look)

    def _look(self) -> None:
        """Look whether the controller fell silent; one timer does for all signs of life."""
        due = self._last_heard + self.stale
        if self._line is None or not self.stale:
            self._is_watching = False
        elif self.runtime.now < due:
            self.call_at(due, self._look)
        else:
            self._is_watching = False
            self.n_stale += 1
            if self.n_stale == 1:
                self.log.warning("nothing heard for %g s; the safe state is sent", self.stale)
            self._go_safe()

    def _go_safe(self) -> None:
        self.is_high = False
        if not self.is_safe:
            self._send_safe()

    def _send_safe(self, line: SerialLine | None = None) -> None:
        line, now = line or self._opened(), self.runtime.now
        self.is_high = False
        if self._safe and not line.write(self._safe):
            line.discard_unsent()  # it comes before anything else
            if not line.write(self._safe):
                self.n_missed += 1
                self.is_safe = False
                raise StateError(f"{line.port} does not take the safe state of {self.name}")
        self.is_safe = True
        if self._safe:
            self._tell("safe", now)

    def _tell(self, text: str, sent_at: float) -> None:
        # The clock was read before the write: on the way back from a system call a thread may wait
        # for the interpreter, long after the bytes are gone.
        if self.fired.is_announced and not self.fired.is_ended:
            self.fired.push(Markers([text], np.array([sent_at])))

    # --- the port ----------------------------------------------------------------------------

    def _open_line(self) -> None:
        self._line = SerialLine(self.device, self.baudrate)
        self.wait(self.settle)

    def _opened(self) -> SerialLine:
        if self._line is None:
            raise StateError(f"{self.name} is not open")
        return self._line

    def _translate(self) -> None:
        self._message_of = {text: from_text(sent) for text, sent in self.messages.items()}
        self._other = None if self.messages else from_text(self.message)
        self._off = from_text(self.off_message)
        self._safe = from_text(self.safe_message) or self._off
        self._is_timed = self.mode == "pulse"


class SerialTTLIn(Node):
    r"""Gives a marker for each byte, or each line, that a serial device sends.

    A marker is stamped when it was read, a line when its end was; what came into the computer
    together has one stamp. USB adapters hold bytes back for up to 16 ms by default; the node asks
    for the shortest time there is. Without `texts` a marker is what was sent, bytes that cannot be
    printed as ``\xhh``.

    A device that is unplugged ends the stream: the node fails.
    """

    events = Output(Markers)

    device: str = param(doc="Path of the serial port.", examples=["/dev/ttyACM0", "/dev/ttyUSB0"])
    baudrate: int = param(default=115200, gt=0, doc="Speed of the port, in bits per second.")
    split: Literal["byte", "line"] = param(
        default="byte", doc="Whether each byte is a message, or each line."
    )
    texts: dict[str, str] = param(
        default={},
        doc=r"What is received, \xhh for a byte, and the text of its marker. If there are any, "
        "all else is only counted.",
        examples=[{r"\x01": "left", r"\x02": "right"}],
    )

    n_unknown: int = state(default=0, doc="Messages that `texts` does not name.")
    n_too_long: int = state(default=0, doc="Lines of more than 4096 bytes, which are dropped.")

    _line: SerialLine | None = None

    def open(self) -> None:
        """Take the port."""
        self._text_of = {from_text(sent): text for sent, text in self.texts.items()}
        self._splitter = Splitter(self.split)
        self._line = SerialLine(self.device, self.baudrate)

    def prepare(self) -> None:
        """Announce the markers."""
        self.events.announce(StreamInfo.markers("events"))

    def acquire(self) -> Iterator[Markers | None]:
        """Read until stopped."""
        line = self._line
        while line is not None and not self.is_stopping:
            received = line.read(_LOOK)
            now = local_clock()
            texts = self._texts_of(received) if received else None
            yield Markers(texts, np.full(len(texts), now)) if texts else None

    def close(self) -> None:
        """Give the port back."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _texts_of(self, received: bytes) -> list[str]:
        messages = self._splitter.split(received)
        self.n_too_long = self._splitter.n_too_long
        if not self.texts:
            return [to_text(message) for message in messages]
        known = [self._text_of[message] for message in messages if message in self._text_of]
        self.n_unknown += len(messages) - len(known)
        return known

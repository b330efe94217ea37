"""The clock of the host that a stream comes from, as this one sees it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from typing import Any

import grpc

from rigmesh.clocks.estimate import ClockEstimate, ClockState
from rigmesh.clocks.probe import Probe
from rigmesh.clocks.prober import CallProber, ClockWave, Prober
from rigmesh.relay.target import RELAY_PORT_OFFSET, RelayHost
from rigmesh.streams import IDENTITY, ClockModel, clock_id
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = ["HostClock", "Waves", "borrow_clock", "composed", "return_clock"]

_log = logging.getLogger(__name__)

_GET_KEY = "/rigmesh_proto.v1.RelayService/GetClockKey"
_PROBE = "/rigmesh_proto.v1.RelayService/ProbeClock"
Waves = deque[ClockWave]

_UNKNOWN = ClockModel(uncertainty=math.inf)

_CALL_WITHIN = 2.0
_UDP_WITHIN = 6.0
"""Seconds after which a responder that never answered is taken for one behind a firewall."""
_AGAIN_AFTER = 1.0


def composed(first: ClockModel, second: ClockModel) -> ClockModel:
    """Return the model that maps a stamp by `first`, and the outcome by `second`.

    Examples
    --------
    >>> composed(ClockModel(offset=2.0), ClockModel(offset=40.0)).to_local(0.5)
    42.5
    """
    if first.is_identity and not first.uncertainty:
        return second
    # About where the second model is best known; the mapping is the same for any.
    reference = second.reference - first.offset
    offset = second.to_local(first.to_local(reference)) - reference
    drift = first.drift + second.drift + first.drift * second.drift
    return ClockModel(offset, drift, reference, first.uncertainty + second.uncertainty)


# One for all streams of a host: measuring is a process, and many would only disturb each other.
_clocks: dict[str, HostClock] = {}
_lock = threading.Lock()


def borrow_clock(host: RelayHost, waves: Waves | None = None) -> HostClock:
    """Return the clock of a host, which is measured for as long as anybody has it.

    Parameters
    ----------
    host : RelayHost
        Whose clock.
    waves : deque of ClockWave
        Every wave of probes is appended to it.
    """
    with _lock:
        clock = _clocks.get(host.address)
        if clock is None:
            clock = _clocks[host.address] = HostClock(host)
        clock.n_users += 1
        if waves is not None:
            clock.waves.append(waves)
        return clock


def return_clock(clock: HostClock, waves: Waves | None = None) -> None:
    """Say that a clock is not needed any more by who had borrowed it."""
    with _lock:
        clock.n_users -= 1
        clock.waves = [kept for kept in clock.waves if kept is not waves]
        if clock.n_users:
            return
        del _clocks[clock.address]
    clock.close()


class HostClock:
    """Measures the clock of a relay's host, in the background: by UDP, or if need be by calls.

    Parameters
    ----------
    host : RelayHost
        Whose clock.

    Attributes
    ----------
    waves : list of deque of ClockWave
        Where every wave of probes is appended.
    n_users : int
        How many have borrowed it.
    is_same : bool
        Whether that host has our own clock; then nothing is measured.
    by_calls : bool
        Whether the responder does not answer.
    """

    def __init__(self, host: RelayHost) -> None:
        self.address = host.address
        self.waves: list[Waves] = []
        self.n_users = 0
        self.is_same = False
        self.by_calls = False
        self._host = host
        self._own_id = clock_id()
        self._key = b""
        self._prober: Prober | CallProber | None = None
        self._channel: grpc.Channel | None = None
        self._closing = threading.Event()
        self._look = threading.Event()
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay clock", daemon=True)
        self._thread.start()

    @property
    def estimate(self) -> ClockEstimate:
        """What is known of the clock now."""
        prober = self._prober
        return prober.estimate if prober is not None else ClockEstimate()

    @property
    def state(self) -> str:
        """How well it is known; ``same`` if it is our own."""
        return "same" if self.is_same else self.estimate.state.value

    def model(self) -> ClockModel:
        """Return how stamps of that host map onto our clock."""
        if self.is_same:
            return IDENTITY
        estimate = self.estimate
        return _UNKNOWN if estimate.state is ClockState.UNSYNCED else estimate.model()

    def wait(self, timeout: float) -> bool:
        """Wait until something is known, `timeout` seconds at most; return whether it is."""
        return self._known.wait(timeout)

    def refresh(self) -> None:
        """Ask anew for the key: the relay has been started again."""
        self._look.set()

    def close(self) -> None:
        """Measure no more."""
        self._closing.set()
        self._look.set()
        self._thread.join()
        self._drop_prober()

    # --- inside ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._look.clear()
                if not self._ask():
                    self._look.wait(_AGAIN_AFTER)
                    continue
                patience = self._patience()
                if not self._look.wait(patience) and patience is not None:
                    self._give_up_udp()
                    self._look.wait()
        finally:
            if self._channel is not None:
                self._channel.close()

    def _patience(self) -> float | None:
        """Return how long to wait for an answer of the responder; None: for ever."""
        if self.is_same or self.by_calls or self._known.is_set():
            return None
        return _UDP_WITHIN

    def _ask(self) -> bool:
        """Ask for the key, and measure by it; return whether there was an answer."""
        if self._channel is None:
            self._channel = self._host.channel(RELAY_PORT_OFFSET)
        ask = self._channel.unary_unary(
            _GET_KEY,
            request_serializer=pb.GetClockKeyRequest.SerializeToString,
            response_deserializer=pb.GetClockKeyResponse.FromString,
        )
        try:
            answer = ask(pb.GetClockKeyRequest(), timeout=_CALL_WITHIN)
        except grpc.RpcError:
            return False
        self.is_same = answer.clock_id == self._own_id
        if self.is_same:
            self._drop_prober()
            self._known.set()
        elif not answer.udp_port or not _name_of(self._host.address):
            self._use_calls()
        elif isinstance(self._prober, Prober) and self._prober.is_running:
            if answer.key != self._key:
                self._prober.rekey(answer.key)
        else:
            self._drop_prober()
            self.by_calls = False
            name = _name_of(self._host.address)
            self._prober = Prober(name, answer.udp_port, answer.key, self._take)
        self._key = answer.key
        return True

    def _give_up_udp(self) -> None:
        if not self._known.is_set() and not self._closing.is_set():
            _log.warning(
                "the clock responder of %s does not answer (is UDP blocked?); its clock is "
                "measured by calls, which is less exact", self._host.address,
            )  # fmt: skip
            self._use_calls()

    def _use_calls(self) -> None:
        if self.by_calls:
            return
        self._drop_prober()
        self.by_calls = True
        if self._channel is None:
            self._channel = self._host.channel(RELAY_PORT_OFFSET)
        probe = self._channel.unary_unary(
            _PROBE,
            request_serializer=pb.ProbeClockRequest.SerializeToString,
            response_deserializer=pb.ProbeClockResponse.FromString,
        )
        self._prober = CallProber(_Call(probe), self._take)

    def _take(self, wave: ClockWave) -> None:
        if wave.probes:
            self._known.set()
        for waves in self.waves:
            waves.append(wave)

    def _drop_prober(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.close()


class _Call:
    """One probe by a call."""

    def __init__(self, probe: Any) -> None:
        self._probe = probe

    def __call__(self) -> Probe:
        t0 = time.monotonic_ns()
        try:
            answer = self._probe(pb.ProbeClockRequest(t0=t0), timeout=_CALL_WITHIN)
        except (grpc.RpcError, ValueError) as error:  # ValueError: the channel is closed
            raise ConnectionError("no answer") from error
        return Probe(t0, answer.t1, answer.t2, time.monotonic_ns())


def _name_of(address: str) -> str:
    """Return the host of an address; nothing for a Unix socket."""
    return "" if address.startswith("unix:") else address.rpartition(":")[0].strip("[]")

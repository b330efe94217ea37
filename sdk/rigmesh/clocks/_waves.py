"""Waves of probes: how they are sent, when, and what is told of each."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rigmesh.clocks.estimate import ClockEstimate, ClockEstimator
from rigmesh.clocks.probe import NONCE_SIZE, SIZE, Cipher, Probe

__all__ = ["ClockWave", "Rounds", "WaveSender"]

_N_PROBES = 8
_SPACING = 0.02
_LATE = 0.25
"""Seconds in which the last answer of a wave may come."""
_INTERVAL = 2.0
_AT_ONCE = 3
"""Waves without a pause at the beginning: as many as confirm that a clock has been reset."""


@dataclass(frozen=True, slots=True)
class ClockWave:
    """One wave: its raw probes, for a recording, and what is known after it.

    Parameters
    ----------
    estimate : ClockEstimate
        When the wave was over.
    probes : tuple of Probe
        Those that were answered; none if the peer could not be reached.
    n_ignored : int
        Datagrams so far that were no answers: forged, repeated or too late.
    """

    estimate: ClockEstimate
    probes: tuple[Probe, ...] = ()
    n_ignored: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "estimate": self.estimate.to_json(),
            "probes": [list(probe) for probe in self.probes],
            "n_ignored": self.n_ignored,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> ClockWave:
        """Read what `to_json` has made."""
        return cls(
            ClockEstimate.from_json(found["estimate"]),
            tuple(Probe(*times) for times in found["probes"]),
            found["n_ignored"],
        )


class WaveSender:
    """Sends waves of probes to one responder.

    Parameters
    ----------
    host : str
        Name or address.
    port : int
        UDP port of its responder.
    """

    def __init__(self, host: str, port: int) -> None:
        self.n_ignored = 0
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._buffer = bytearray(SIZE + 1)
        self._view = memoryview(self._buffer)

    def wave(self, cipher: Cipher) -> list[Probe]:
        """Ask eight times, two at a time, 40 ms apart; return what was answered."""
        try:
            probes = self._wave(self._connected(), cipher)
        except OSError:  # no such name, no route
            probes = []
        if not probes:  # either host may have got another address
            self.close()
        return probes

    def close(self) -> None:
        """Let go of the socket; the next wave makes another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, where = found[0]
            made = self._socket = socket.socket(family, kind, protocol)
            made.connect(where)
        return self._socket

    def _wave(self, connected: socket.socket, cipher: Cipher) -> list[Probe]:
        asked: dict[bytes, int] = {}
        probes: list[Probe] = []
        begin = time.monotonic()
        for number in range(_N_PROBES):
            nonce = os.urandom(NONCE_SIZE)
            # The time in the question is for whoever looks at the network: signing takes time, so
            # that the one that counts is taken afterwards.
            question = cipher.question(nonce, time.monotonic_ns())
            asked[nonce] = time.monotonic_ns()
            try:
                connected.send(question)
            except ConnectionRefusedError:
                # Nobody listened when the last question came; somebody may by now.
                del asked[nonce]
            # The second of two leaves as soon as the first is answered. Then both hosts are awake,
            # which halves the round trip, and makes both ways alike: on an idle machine the offset
            # is wrong by 5 µs, not 30.
            is_first = number % 2 == 0
            due = begin + (number + 1) * _SPACING
            if number < _N_PROBES - 1:
                self._listen(connected, cipher, asked, probes, due, until_all=is_first)
        self._listen(connected, cipher, asked, probes, time.monotonic() + _LATE, until_all=True)
        return probes

    def _listen(
        self,
        connected: socket.socket,
        cipher: Cipher,
        asked: dict[bytes, int],
        probes: list[Probe],
        end: float,
        *,
        until_all: bool = False,
    ) -> None:
        while (rest := end - time.monotonic()) > 0 and (asked or not until_all):
            connected.settimeout(rest)
            try:
                size = connected.recv_into(self._buffer)
            except TimeoutError:
                return
            except ConnectionRefusedError:
                continue
            t3 = time.monotonic_ns()
            answer = cipher.read_answer(self._view[:size])
            # A nonce is good for one answer: what is recorded and sent again is nobody's.
            t0 = None if answer is None else asked.pop(answer[0], None)
            if answer is None or t0 is None:
                self.n_ignored += 1
            else:
                probes.append(Probe(t0, answer[2], answer[3], t3))


class Rounds:
    """When to send waves: three at once, then one every 2 s, and the next one soon if in doubt."""

    def __init__(self) -> None:
        self.estimator = ClockEstimator()
        self._at_once = _AT_ONCE

    def restart(self) -> None:
        """Begin with three at once again."""
        self._at_once = _AT_ONCE

    def take(self, probes: Sequence[Probe]) -> ClockEstimate:
        """Take a wave in."""
        if probes:
            self._at_once -= 1
            return self.estimator.add(probes)
        return self.estimator.estimate(time.monotonic())

    def pause(self, probes: Sequence[Probe], took: float) -> float:
        """Return the seconds until the next wave."""
        if probes and (self._at_once > 0 or self.estimator.is_in_doubt):
            return 0.0
        return max(0.0, _INTERVAL - took)

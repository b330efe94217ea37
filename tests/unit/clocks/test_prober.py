"""The sides that ask: waves over a socket, and waves of calls."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rigmesh.clocks._waves import ClockWave, Rounds, WaveSender
from rigmesh.clocks.estimate import ClockEstimate, ClockState
from rigmesh.clocks.probe import KEY_SIZE, SIZE, Cipher, Probe
from rigmesh.clocks.prober import CallProber

KEY = bytes(range(KEY_SIZE))
AHEAD = 10**12
Answer = Callable[[bytes], list[bytes]]
"""Gives the datagrams to send for one that came."""


def answers(datagram: bytes) -> list[bytes]:
    cipher = Cipher(KEY)
    question = cipher.read_question(datagram)
    if question is None:
        return []
    now = time.monotonic_ns() + AHEAD
    return [cipher.answer(*question, now, now)]


class Peer:
    """Answers datagrams, in a thread."""

    def __init__(self) -> None:
        self.answer: Answer = answers
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            datagram, sender = self.socket.recvfrom(2 * SIZE)
            if datagram == b"end":
                return
            for answer in self.answer(datagram):
                self.socket.sendto(answer, sender)

    def close(self) -> None:
        self.socket.sendto(b"end", self.socket.getsockname())
        self._thread.join()
        self.socket.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def sender(peer: Peer) -> Iterator[WaveSender]:
    made = WaveSender("127.0.0.1", peer.port)
    yield made
    made.close()


def test_a_wave_is_eight_probes(sender: WaveSender) -> None:
    probes = sender.wave(Cipher(KEY))

    assert len(probes) == 8
    assert all(probe.is_possible for probe in probes)
    assert [probe.offset for probe in probes] == pytest.approx([-AHEAD] * 8, abs=10**9)
    assert sender.n_ignored == 0


def test_an_answer_counts_once(peer: Peer, sender: WaveSender) -> None:
    peer.answer = lambda datagram: 2 * answers(datagram)

    probes = sender.wave(Cipher(KEY))

    assert len(probes) == 8
    assert sender.n_ignored >= 7  # the last copy may come when the wave is over


def test_answers_with_another_key_are_counted_and_ignored(peer: Peer, sender: WaveSender) -> None:
    forger = Cipher(bytes(KEY_SIZE))
    peer.answer = lambda datagram: [forger.answer(datagram[8:24], 0, 0, 0)]

    probes = sender.wave(Cipher(KEY))

    assert probes == []
    assert sender.n_ignored == 8


def test_answers_to_nobody_s_question_are_ignored(peer: Peer, sender: WaveSender) -> None:
    old = Cipher(KEY).answer(bytes(16), 0, 0, 0)
    peer.answer = lambda datagram: [old, *answers(datagram)]

    probes = sender.wave(Cipher(KEY))

    assert len(probes) == 8
    assert sender.n_ignored == 8


def test_a_network_that_is_not_there_gives_no_probes() -> None:
    sender = WaveSender("no-such-host.invalid", 1)

    assert sender.wave(Cipher(KEY)) == []


def test_a_peer_that_does_not_listen_gives_no_probes() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sender = WaveSender("127.0.0.1", port)

    assert sender.wave(Cipher(KEY)) == []


def test_three_waves_come_at_once_and_then_one_every_two_seconds() -> None:
    rounds = Rounds()
    pauses = []
    for number in range(5):
        t0 = number * 10**9
        probes = [Probe(t0, t0 + 5, t0 + 6, t0 + 11)]
        rounds.take(probes)
        pauses.append(rounds.pause(probes, 0.2))

    assert pauses == [0.0, 0.0, 1.8, 1.8, 1.8]


def test_a_wave_without_answers_is_not_repeated_at_once() -> None:
    rounds = Rounds()

    estimate = rounds.take([])

    assert estimate.state is ClockState.UNSYNCED
    assert rounds.pause([], 0.5) == 1.5


def test_a_wave_survives_json() -> None:
    wave = ClockWave(ClockEstimate(), (Probe(1, 2, 3, 4),), 5)

    assert ClockWave.from_json(wave.to_json()) == wave


def test_calls_give_the_same_estimates_as_probes() -> None:
    waves: list[ClockWave] = []
    has_come = threading.Event()

    def call() -> tuple[int, int, int, int]:
        t0 = time.monotonic_ns()
        now = time.monotonic_ns() + AHEAD
        return t0, now, now, time.monotonic_ns()

    def on_wave(wave: ClockWave) -> None:
        waves.append(wave)
        has_come.set()

    with CallProber(call, on_wave) as prober:
        assert prober.is_running
        assert has_come.wait(10)
        estimate = prober.estimate

    assert not prober.is_running
    assert len(waves[0].probes) == CallProber.N_CALLS
    model = estimate.model()
    assert model.to_local(AHEAD / 1e9 + 5.0) == pytest.approx(5.0, abs=1e-2)
    assert estimate.uncertainty < 1e-2


def test_calls_that_fail_are_a_wave_without_probes() -> None:
    waves: list[ClockWave] = []
    has_come = threading.Event()

    def call() -> tuple[int, int, int, int]:
        raise ConnectionError("the peer is away")

    def on_wave(wave: ClockWave) -> None:
        waves.append(wave)
        has_come.set()

    with CallProber(call, on_wave) as prober:
        assert has_come.wait(10)

    assert waves[0].probes == ()
    assert prober.estimate.state is ClockState.UNSYNCED

"""Clocks of machines that are known to differ, measured by the processes that users run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any, cast

import pytest
from tests.system.machines import Machine, Network, why_not

from rigmesh.clocks._waves import ClockWave
from rigmesh.clocks.estimate import ClockEstimate, ClockState
from rigmesh.clocks.prober import Prober

PORT = 5679
KEY = bytes(range(32))
OTHER_KEY = bytes(32)

FAST_CLOCK = """
import sys, time
from rigmesh.clocks import responder
from rigmesh.clocks.probe import key_from_hex
key = key_from_hex(sys.stdin.readline().strip())
begin = time.monotonic_ns()
clock = lambda: time.monotonic_ns() + (time.monotonic_ns() - begin) // 5000
answers = responder.Responder(responder.bind("0.0.0.0", 5679), key, clock)
print("{}", flush=True)
while True:
    answers.answer_one()
"""
"""A responder whose clock is 200 ppm too fast."""


@dataclass
class Side:
    """A responder, or a prober, on a machine."""

    process: subprocess.Popen[str]

    @property
    def _input(self) -> IO[str]:
        return cast("IO[str]", self.process.stdin)

    def give(self, key: bytes) -> None:
        self._input.write(key.hex() + "\n")
        self._input.flush()

    def line(self) -> dict[str, Any]:
        line = cast("IO[str]", self.process.stdout).readline()
        assert line, f"the process ended with {self.process.wait(5)}"
        found: dict[str, Any] = json.loads(line)
        return found

    def wave(self) -> ClockWave:
        return ClockWave.from_json(self.line())

    def wait_for(self, condition: Callable[[ClockWave], object], timeout: float = 20) -> ClockWave:
        deadline = time.monotonic() + timeout
        while not condition(wave := self.wave()):
            assert time.monotonic() < deadline, f"not within {timeout} s; last: {wave.estimate}"
        return wave

    def end(self) -> int:
        self._input.close()
        return self.process.wait(5)


def start(machine: Machine, *words: str, key: bytes = KEY) -> Side:
    process = machine.run(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    side = Side(process)
    side.give(key)
    return side


def responder(machine: Machine, key: bytes = KEY) -> Side:
    side = start(machine, "-m", "rigmesh.clocks.responder", "--port", str(PORT), key=key)
    assert side.line() == {"address": "0.0.0.0", "port": PORT}
    return side


def prober(machine: Machine, peer: Machine, key: bytes = KEY) -> Side:
    return start(machine, "-m", "rigmesh.clocks.prober", peer.address, str(PORT), key=key)


def is_right(estimate: ClockEstimate, here: Machine, there: Machine) -> bool:
    """Whether a stamp taken on the peer now is mapped as well as is promised, and usefully."""
    now = time.monotonic()
    told = estimate.at(now + here.monotonic)
    error = told.model().to_local(now + there.monotonic) - (now + here.monotonic)
    return abs(error) <= told.uncertainty < 0.1


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := why_not():
        pytest.skip(reason)
    with Network() as made:
        yield made


@pytest.fixture
def pair(network: Network) -> tuple[Machine, Machine]:
    return network.machine("here"), network.machine("there", monotonic=1000)


@pytest.fixture
def busy() -> Iterator[None]:
    """One more program than there are cores, each of which computes all the time."""
    with ExitStack() as stack:
        for _ in range((os.cpu_count() or 1) + 1):
            hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(hog.wait)
            stack.callback(hog.kill)
        yield


def test_an_offset_of_1000_s_is_known_from_the_first_wave(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    responder(there)

    asks = prober(here, there)
    for number in range(4):
        wave = asks.wave()

        assert is_right(wave.estimate, here, there)
        assert wave.estimate.n_waves <= number + 1
        assert len(wave.probes) == 8


@pytest.mark.usefixtures("busy")
def test_busy_machines_know_each_other_s_clock(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    responder(there)

    asks = prober(here, there)

    for _ in range(5):
        assert is_right(asks.wave().estimate, here, there)


def test_both_sides_end_when_their_input_is_closed(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    answers = responder(there)
    asks = prober(here, there)
    asks.wave()

    assert asks.end() == 0
    assert answers.end() == 0
    counts = answers.line()
    assert counts["n_answered"] >= 8
    assert counts["n_ignored"] == 0


def test_a_responder_with_another_key_is_ignored(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    forger = responder(there, OTHER_KEY)

    asks = prober(here, there)
    wave = asks.wave()

    assert wave.probes == ()
    assert wave.estimate.state is ClockState.UNSYNCED
    asks.end()
    forger.end()
    assert forger.line() == {"n_answered": 0, "n_ignored": 8}


def test_a_new_key_is_taken_while_it_runs(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    responder(there, OTHER_KEY)
    asks = prober(here, there)
    assert asks.wave().probes == ()

    asks.give(OTHER_KEY)

    assert asks.wait_for(lambda wave: wave.probes).estimate.state is ClockState.COARSE


def test_a_peer_that_restarts_with_another_clock_begins_an_epoch(
    pair: tuple[Machine, Machine],
) -> None:
    here, there = pair
    responder(there)
    asks = prober(here, there)
    asks.wait_for(lambda wave: wave.estimate.n_waves == 3)

    there.reboot(monotonic=-500)
    responder(there, OTHER_KEY)
    asks.give(OTHER_KEY)
    reset = asks.wait_for(lambda wave: wave.estimate.state is ClockState.RESET).estimate

    assert reset.epoch == 1
    assert is_right(reset, here, there)


def test_a_network_that_is_cut_leaves_the_clock_known_worse_and_worse(
    pair: tuple[Machine, Machine],
) -> None:
    here, there = pair
    responder(there)
    asks = prober(here, there)
    before = asks.wait_for(lambda wave: wave.estimate.n_waves >= 3).estimate

    there.cut()
    cut = asks.wait_for(lambda wave: wave.estimate.state is ClockState.HOLDOVER)
    there.heal()
    healed = asks.wait_for(lambda wave: wave.probes).estimate

    assert cut.probes == ()
    assert cut.estimate.offset == before.offset
    assert cut.estimate.uncertainty > before.uncertainty
    assert healed.epoch == 0
    assert is_right(healed, here, there)


def test_a_prober_waits_for_a_peer_that_is_not_there_yet(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    asks = prober(here, there)
    assert asks.wave().probes == ()

    responder(there)

    assert asks.wait_for(lambda wave: wave.probes).estimate.state is ClockState.COARSE


def test_a_fast_clock_is_followed(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    start(there, "-c", FAST_CLOCK).line()

    asks = prober(here, there)
    locked = asks.wait_for(lambda wave: wave.estimate.state is ClockState.LOCKED, 30).estimate

    assert locked.drift * 1e6 == pytest.approx(-200, abs=20)


def test_the_wall_clock_does_not_matter(pair: tuple[Machine, Machine]) -> None:
    here, there = pair
    mad = "import random, runpy, sys, time\ntime.time = lambda: random.uniform(-1e9, 3e9)\n"
    run = mad + "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    start(there, "-c", run, "rigmesh.clocks.responder", "--port", str(PORT)).line()

    asks = start(here, "-c", run, "rigmesh.clocks.prober", there.address, str(PORT))

    for _ in range(4):
        assert is_right(asks.wave().estimate, here, there)


def test_a_second_responder_is_refused_its_port(pair: tuple[Machine, Machine]) -> None:
    _, there = pair
    responder(there)

    second = there.run(
        [sys.executable, "-m", "rigmesh.clocks.responder", "--port", str(PORT)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = second.communicate(KEY.hex() + "\n", timeout=10)

    assert second.returncode == 1
    assert "in use" in errors
    assert KEY.hex() not in errors


def test_the_parent_s_side_follows_the_process() -> None:
    waves: list[ClockWave] = []
    with subprocess.Popen(
        [sys.executable, "-m", "rigmesh.clocks.responder", "--address", "127.0.0.1", "--port", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        answers = Side(process)
        answers.give(KEY)
        port = answers.line()["port"]

        with Prober("127.0.0.1", port, KEY, on_wave=waves.append) as measured:
            deadline = time.monotonic() + 20
            while measured.estimate.n_waves < 3:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            estimate = measured.estimate
            assert measured.is_running

        assert not measured.is_running
        answers.end()
    assert abs(error_of_same(estimate)) <= estimate.uncertainty
    assert len(waves) >= 3
    assert all(len(wave.probes) == 8 for wave in waves)


def error_of_same(estimate: ClockEstimate) -> float:
    """By how much a stamp of this very clock is mapped to a wrong time."""
    return estimate.model().to_local(estimate.reference) - estimate.reference


def test_a_key_is_never_among_the_arguments() -> None:
    with Prober("127.0.0.1", 9, KEY) as measured:
        words = subprocess.run(
            ["ps", "-o", "args=", "-p", str(measured._process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "rigmesh.clocks.prober" in words
    assert KEY.hex() not in words

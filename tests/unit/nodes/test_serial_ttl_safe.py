from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.serial_device import DEADLINE, Device, Loop, starting

from rigmesh.errors import NodeError
from rigmesh.node import NodeState
from rigmesh.node.lane import Timers
from rigmesh.streams import Cause, ClockModel, Gap, local_clock
from rigmesh_daemon.group.runtime import NodeRuntime, RunFacts
from rigmesh_nodes.serial_ttl import SerialTTL

StartLoop = Callable[..., Loop]


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.close()


@pytest.fixture
def loop(device: Device) -> Iterator[StartLoop]:
    with starting(device) as start:
        yield start


# --- the safe state -----------------------------------------------------------------------------


def test_an_event_that_is_too_old_makes_the_device_safe(device: Device, loop: StartLoop) -> None:
    running = loop(deadline=0.1)
    running.advance(1.0)
    running.event(at=0.9)

    running.event(at=0.85)

    assert device.receive(3) == b"sAs"
    assert (running.node.n_pulses, running.node.n_late, running.node.is_safe) == (1, 1, True)


def test_a_stamp_that_is_no_number_is_late(loop: StartLoop) -> None:
    running = loop(deadline=0.1)

    running.event(at=np.nan)

    assert (running.node.n_pulses, running.node.n_late) == (0, 1)


def test_the_age_is_that_on_the_local_clock(loop: StartLoop) -> None:
    running = loop(deadline=0.1)
    running.advance(1000.0)

    running.event(at=5.0, clock=ClockModel(offset=994.95))
    running.event(at=5.0, clock=ClockModel(offset=994.85))

    assert (running.node.n_pulses, running.node.n_late) == (1, 1)


def test_a_silent_controller_makes_the_device_safe_once(device: Device, loop: StartLoop) -> None:
    running = loop(stale=0.2)
    running.advance(1.0)

    running.event()
    running.advance(9.0)
    running.event()

    assert running.told() == [("go", 1.0), ("safe", 1.2), ("go", 9.0)]
    assert running.node.n_stale == 1
    assert device.receive(4) == b"sAsA"


def test_a_heartbeat_keeps_the_device_as_it_is(loop: StartLoop) -> None:
    running = loop(stale=0.2, heartbeat=True)
    running.event()

    for now in np.arange(1, 20) / 10:
        running.advance(float(now))
        running.beat()
    is_safe_while_it_beats = running.node.is_safe
    running.advance(9.0)

    assert not is_safe_while_it_beats
    (text, told_at) = running.told()[-1]
    assert (text, len(running.told())) == ("safe", 2)
    assert told_at == pytest.approx(2.1)


def test_a_late_heartbeat_is_no_sign_of_life(loop: StartLoop) -> None:
    running = loop(stale=0.2, deadline=0.2, heartbeat=True)
    running.event()
    running.advance(0.15)

    running.beat(at=-0.1)

    assert (running.node.n_late, running.node.is_safe) == (1, True)
    assert running.told() == [("go", 0.0), ("safe", 0.15)]


@pytest.mark.parametrize("last_age", [0.0, 0.1, 0.2])
def test_the_device_is_safe_at_most_two_deadlines_after_the_last_sample(
    loop: StartLoop, last_age: float
) -> None:
    deadline = 0.2
    running = loop(stale=deadline, deadline=deadline, heartbeat=True)
    running.advance(1.0)
    running.event()

    running.beat(at=1.0 - last_age)
    running.advance(9.0)

    (_, safe_at) = running.told()[-1]
    assert safe_at - (1.0 - last_age) <= 2 * deadline + 1e-9
    assert running.node.is_safe


def test_lost_events_make_the_device_safe(device: Device, loop: StartLoop) -> None:
    running = loop()
    running.event()

    running.event(gaps=(Gap(Cause.OVERRUN, 0, 1, 3),))

    assert device.receive(4) == b"sAsA"


def test_another_description_of_the_input_makes_the_device_safe(
    device: Device, loop: StartLoop
) -> None:
    running = loop(mode="pulse", off_message="a", pulse=60)
    running.event()

    link = running.node.events.links[0]
    assert link.info is not None
    running.runner.input_announced(
        link, dataclasses.replace(link.info, source_id="another"), new_epoch=True
    )

    assert device.receive(3) == b"sAs"
    assert not running.node.is_high


def test_watching_begins_when_stale_is_set(loop: StartLoop) -> None:
    running = loop()
    running.event()
    running.advance(5.0)

    running.runner.set_parameters({"stale": 0.5})
    running.event()
    running.advance(6.0)

    assert running.told()[-1] == ("safe", 5.5)


def test_watching_ends_when_stale_is_set_to_zero(loop: StartLoop) -> None:
    running = loop(stale=0.5)
    running.event()

    running.runner.set_parameters({"stale": 0})
    running.advance(6.0)

    assert (running.node.n_stale, running.node.is_safe) == (0, False)


# --- by the clock of the computer ---------------------------------------------------------------


@pytest.fixture
def real(device: Device) -> Iterator[StartLoop]:
    """Start a SerialTTL with the timers of a process, so by the computer's clock."""
    timers = Timers()
    with ExitStack() as stack:
        stack.callback(timers.close)

        def start(**parameters: Any) -> Loop:
            runtime = NodeRuntime(RunFacts(), timers)
            parameters = {"message": "A", "safe_message": "s", **parameters}
            running = Loop(SerialTTL(device=device.path, **parameters), runtime=runtime)
            runtime.serve(running.runner)
            stack.callback(running.finish)
            running.start()
            return running

        yield start


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.001)


def test_a_silent_controller_is_noticed_within_two_deadlines(
    device: Device, real: StartLoop
) -> None:
    running = real(deadline=0.5, stale=0.5)
    sent_at = local_clock()
    running.event()

    assert device.receive(3) == b"sAs"
    wait_for(lambda: len(running.told()) == 2)

    assert running.told()[-1][1] - sent_at <= 2 * 0.5
    assert (running.node.n_stale, running.node.is_safe) == (1, True)


def test_a_pulse_ends_by_the_clock_of_the_computer(device: Device, real: StartLoop) -> None:
    running = real(mode="pulse", off_message="a", pulse=0.01)

    running.event()

    assert device.receive(3) == b"sAa"
    wait_for(lambda: len(running.told()) == 2)
    (_, began), (_, ended) = running.told()
    assert ended - began >= 0.01
    assert not running.node.is_high


def test_a_pulse_whose_end_cannot_be_sent_is_a_failure(device: Device, real: StartLoop) -> None:
    running = real(mode="pulse", off_message="a", pulse=1.0)

    running.event()
    device.clog()
    wait_for(lambda: running.runner.state is NodeState.FAILED)

    assert isinstance(running.runner.failure, NodeError)
    assert "did not take the end of a pulse" in str(running.runner.failure)
    assert (running.node.n_missed, running.node.is_high, running.node.is_safe) == (1, False, True)

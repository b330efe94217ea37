from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.nodes.serial_device import Device, Loop, starting

from rigmesh.errors import NodeError, ParameterError, StateError, StreamLost, StreamNotFound
from rigmesh.node import NodeState
from rigmesh.node.testing import NodeTests
from rigmesh.streams import Markers, StreamInfo
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


class TestSerialTTL(NodeTests):
    """What is sent does not depend on the chunks; when it is sent does, in a test's clock."""

    feed = Markers.at([i / 10 for i in range(40)], [f"event {i % 3}" for i in range(40)])
    feed.info = StreamInfo.markers("control.events")
    open_devices: list[Device] = []  # noqa: RUF012

    @staticmethod
    def make() -> SerialTTL:
        for one in TestSerialTTL.open_devices:
            one.close()
        TestSerialTTL.open_devices = [Device()]
        return SerialTTL(
            device=TestSerialTTL.open_devices[0].path, messages={"event 0": "0", "event 2": "2"}
        )

    @pytest.fixture(autouse=True)
    def _devices_are_closed(self) -> Iterator[None]:
        yield
        for one in TestSerialTTL.open_devices:
            one.close()
        TestSerialTTL.open_devices = []

    def _check_same(self, expected: Any, found: Any) -> None:
        assert found.data == expected.data


# --- what is sent -------------------------------------------------------------------------------


def test_an_event_sends_its_message_between_safe_states(device: Device, loop: StartLoop) -> None:
    running = loop(message=r"P\x01\n")

    running.event()
    running.finish()

    assert device.receive(5) == b"sP\x01\ns"
    assert (running.node.n_pulses, running.node.is_safe) == (1, True)


def test_only_events_that_have_a_message_fire(device: Device, loop: StartLoop) -> None:
    running = loop(messages={"ripple": "R", "spindle": "S"})

    running.event("ripple", "noise", "spindle")

    assert device.receive(3) == b"sRS"
    assert running.node.n_pulses == 2


def test_what_was_sent_is_told_with_the_local_time(loop: StartLoop) -> None:
    running = loop()
    running.advance(3.5)

    running.event("ripple", at=3.25)

    assert running.told() == [("ripple", 3.5)]


def test_a_device_without_a_safe_message_is_left_alone(device: Device, loop: StartLoop) -> None:
    running = loop(safe_message="", deadline=0.1)

    running.event(at=-1.0)
    running.event()
    running.finish()

    assert device.receive(1) == b"A"
    assert running.node.is_safe


def test_a_message_can_change_while_the_node_runs(device: Device, loop: StartLoop) -> None:
    running = loop()
    running.event()

    running.runner.set_parameters({"message": "B", "safe_message": "z"})
    running.event()

    assert device.receive(5) == b"sAszB"


# --- pulses -------------------------------------------------------------------------------------


def test_the_loop_ends_a_pulse_after_its_length(device: Device, loop: StartLoop) -> None:
    running = loop(mode="pulse", off_message="a", pulse=0.25, safe_message="")
    running.advance(1.0)

    running.event()
    is_high = running.node.is_high
    running.advance(2.0)

    assert device.receive(3) == b"aAa"
    assert running.told() == [("go", 1.0), ("off", 1.25)]
    assert is_high
    assert not running.node.is_high
    assert running.node.is_safe


def test_an_event_during_a_pulse_is_locked_out(device: Device, loop: StartLoop) -> None:
    running = loop(mode="pulse", off_message="a", pulse=0.25)

    running.event()
    running.advance(0.2)
    running.event()
    running.advance(0.3)
    running.event()

    assert device.receive(4) == b"sAaA"
    assert (running.node.n_pulses, running.node.n_locked_out) == (2, 1)


def test_a_node_that_stops_ends_its_pulse(device: Device, loop: StartLoop) -> None:
    running = loop(mode="pulse", off_message="a", pulse=60)

    running.event()
    running.finish()

    assert device.receive(3) == b"sAs"
    assert not running.node.is_high


def test_a_pulse_that_was_cut_short_does_not_end_the_next_one(
    device: Device, loop: StartLoop
) -> None:
    running = loop(mode="pulse", off_message="a", pulse=1.0)
    running.event()
    running.node.safe()
    running.advance(0.9)
    running.event()

    running.advance(1.5)

    assert running.node.is_high
    assert device.receive(4) == b"sAsA"


def test_events_within_the_lock_out_are_counted(device: Device, loop: StartLoop) -> None:
    running = loop(lock_out=0.5)

    for now in (1.0, 1.4, 1.5, 1.6):
        running.advance(now)
        running.event()

    assert device.receive(3) == b"sAA"
    assert (running.node.n_pulses, running.node.n_locked_out) == (2, 2)


# --- ports that do not do as they should --------------------------------------------------------


def test_what_the_port_does_not_take_is_missed_and_not_sent_later(
    device: Device, loop: StartLoop
) -> None:
    running = loop()
    device.clog()

    running.event()

    received = device.receive(2)
    assert (running.node.n_pulses, running.node.n_missed, running.node.is_safe) == (0, 1, True)
    while not received.endswith(b"s"):
        received += device.receive(1)
    assert b"A" not in received


def test_the_next_event_fires_when_the_port_takes_more(device: Device, loop: StartLoop) -> None:
    running = loop()
    device.clog()
    running.event()

    running.event()

    received = device.receive(2)
    while not received.endswith(b"sA"):
        received += device.receive(1)
    assert (running.node.n_pulses, running.node.n_missed) == (1, 1)


def test_a_device_that_is_unplugged_fails_the_node(device: Device, loop: StartLoop) -> None:
    running = loop()
    device.unplug()

    with pytest.raises(NodeError, match="is gone") as failure:
        running.event()

    assert isinstance(failure.value.__cause__, StreamLost)
    assert running.runner.state is NodeState.FAILED
    running.finish()


def open_with(**parameters: Any) -> Exception:
    running = Loop(SerialTTL(**parameters))
    try:
        with pytest.raises(NodeError) as failure:
            running.start()
    finally:
        running.finish()
    assert failure.value.__cause__ is not None
    assert isinstance(failure.value.__cause__, Exception)
    return failure.value.__cause__


def test_a_port_that_is_not_there_is_named_with_those_that_are() -> None:
    error = open_with(device="/dev/ttyNOTHERE")

    assert isinstance(error, StreamNotFound)
    assert "'/dev/ttyNOTHERE'" in str(error)
    assert "there are: " in str(error)


def test_a_port_is_opened_once(device: Device, loop: StartLoop) -> None:
    loop()

    error = open_with(device=device.path)

    assert isinstance(error, StateError)
    assert "in use" in str(error)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mode": "pulse"}, "needs an off_message"),
        ({"baudrate": 2**40}, "takes no 1099511627776 baud"),
        ({"message": r"\q"}, r"'\\q' stands for no byte"),
        ({"messages": {"a": "€"}}, "more than one byte"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    device: Device, wrong: dict[str, Any], said: str
) -> None:
    error = open_with(device=device.path, **wrong)

    assert isinstance(error, ParameterError)
    assert said in str(error)


def test_a_heartbeat_that_nobody_listens_to_is_refused(loop: StartLoop) -> None:
    with pytest.raises(NodeError, match="stale is 0 s"):
        loop(heartbeat=True)


# --- commands -----------------------------------------------------------------------------------


def test_a_person_fires_and_makes_safe(device: Device, loop: StartLoop) -> None:
    running = loop()

    running.node.fire()
    running.node.fire(r"\x02")
    running.node.safe()

    assert device.receive(4) == b"sA\x02s"
    assert running.node.n_pulses == 2
    assert running.told() == [("fire", 0.0), ("fire", 0.0), ("safe", 0.0)]


def test_a_person_cannot_fire_within_the_lock_out(loop: StartLoop) -> None:
    running = loop(lock_out=2.0)
    running.event()
    running.advance(0.5)

    with pytest.raises(StateError, match=r"locked out for another 1\.500 s"):
        running.node.fire()

    assert (running.node.n_pulses, running.node.n_locked_out) == (1, 1)


def test_a_node_that_is_not_open_does_not_fire() -> None:
    with pytest.raises(StateError, match="not open"):
        SerialTTL(device="/dev/ttyS0").fire()

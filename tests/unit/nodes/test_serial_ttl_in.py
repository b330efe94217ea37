from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.nodes.serial_device import DEADLINE, Device

from rigmesh.errors import NodeError, ParameterError, StreamLost
from rigmesh.node import NodeRunner, NodeState
from rigmesh.node.testing import Collector
from rigmesh.streams import local_clock
from rigmesh_nodes._serial_messages import Splitter, from_text, to_text
from rigmesh_nodes.serial_ttl import SerialTTLIn


class Reading:
    """A SerialTTLIn that runs, and what came out of it."""

    def __init__(self, node: SerialTTLIn) -> None:
        self.node = node
        self.runner = NodeRunner(node, "ttl")
        self.events = Collector()
        node.events.add_target(self.events)
        self.runner.open()
        self.runner.start()

    @property
    def texts(self) -> list[str]:
        return [text for chunk in self.events.chunks for text in chunk.data]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"only {self.texts} came"
            time.sleep(0.001)

    def finish(self) -> None:
        self.runner.finish(timeout=DEADLINE)


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.close()


@pytest.fixture
def reading(device: Device) -> Iterator[Callable[..., Reading]]:
    with ExitStack() as stack:

        def start(**parameters: Any) -> Reading:
            running = Reading(SerialTTLIn(device=device.path, **parameters))
            stack.callback(running.finish)
            return running

        yield start


def test_each_byte_is_a_marker_stamped_when_it_came(
    device: Device, reading: Callable[..., Reading]
) -> None:
    running = reading()
    before = local_clock()

    device.send(b"A\x01\\")
    running.wait_for(lambda: len(running.texts) == 3)

    assert running.texts == ["A", r"\x01", r"\\"]
    stamps = [float(t) for chunk in running.events.chunks for t in chunk.raw_timestamps]
    assert all(before <= stamp <= local_clock() for stamp in stamps)
    assert stamps == sorted(stamps)


def test_bytes_get_the_texts_that_are_given(
    device: Device, reading: Callable[..., Reading]
) -> None:
    running = reading(texts={r"\x01": "left", "R": "right"})

    device.send(b"\x01?R")
    running.wait_for(lambda: len(running.texts) == 2)

    assert running.texts == ["left", "right"]
    assert running.node.n_unknown == 1


def test_lines_are_markers_once_they_are_whole(
    device: Device, reading: Callable[..., Reading]
) -> None:
    running = reading(split="line", texts={"lick 1": "lick", "start": "begin"})

    device.send(b"li")
    device.send(b"ck 1\r\nsta")
    running.wait_for(lambda: running.texts == ["lick"])
    device.send(b"rt\nrest")

    running.wait_for(lambda: running.texts == ["lick", "begin"])


def test_a_device_that_is_unplugged_ends_the_stream_with_an_error(
    device: Device, reading: Callable[..., Reading]
) -> None:
    running = reading()

    device.unplug()
    running.wait_for(lambda: running.events.is_ended)

    assert running.runner.state is NodeState.FAILED
    assert isinstance(running.runner.failure, NodeError)
    assert isinstance(running.runner.failure.__cause__, StreamLost)


def test_a_port_with_nothing_to_say_can_be_stopped(reading: Callable[..., Reading]) -> None:
    running = reading()

    running.finish()

    assert running.runner.state is NodeState.STOPPED


def test_every_name_is_documented() -> None:
    assert SerialTTLIn.__doc__
    assert all(field.description for field in SerialTTLIn.declared().fields.values())


# --- messages as texts --------------------------------------------------------------------------


@given(st.binary())
def test_every_message_can_be_written_as_a_text(message: bytes) -> None:
    text = to_text(message)

    assert from_text(text) == message
    assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r"\x01", b"\x01"),
        ("\x01", b"\x01"),
        (r"\\x01", rb"\x01"),
        (r"P5\r\n\t", b"P5\r\n\t"),
        ("ÿ", b"\xff"),
        ("", b""),
    ],
)
def test_a_text_stands_for_bytes(text: str, message: bytes) -> None:
    assert from_text(text) == message


@pytest.mark.parametrize("text", ["\\", r"\x1", r"\xzz", r"\0", "€"])
def test_a_text_that_stands_for_no_bytes_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=r"\\xhh"):
        from_text(text)


@given(st.lists(st.binary(max_size=6)))
def test_lines_do_not_depend_on_how_bytes_come_in(parts: Sequence[bytes]) -> None:
    whole, cut = Splitter("line"), Splitter("line")

    found = [message for part in parts for message in cut.split(part)]

    assert found == whole.split(b"".join(parts))


def test_a_line_that_is_too_long_is_dropped_up_to_its_end() -> None:
    splitter = Splitter("line")

    found = [splitter.split(part) for part in (b"a\n" + b"b" * 5000, b"b" * 9000, b"b\nc\n")]

    assert found == [[b"a"], [], [b"c"]]
    assert splitter.n_too_long == 1

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import reduce
from operator import xor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import NodeError, StateError, UnknownName
from rigmesh.node import NodeRunner, NodeState
from rigmesh.node.testing import Collector
from rigmesh.streams import Cause, local_clock
from rigmesh_nodes._digilynx import DigilynxSender, PacketBuffer, PacketClock, Sequence
from rigmesh_nodes.neuralynx import NeuralynxUDP

DEADLINE = 10.0
N_CHANNELS = 4


class Rig:
    """A NeuralynxUDP that runs, what came out of it, and an amplifier."""

    def __init__(self, *, first: int = 0, swapped: bool = False, **parameters: Any) -> None:
        given = {"n_channels": N_CHANNELS, "dtype": "int32", **parameters}
        self.node = NeuralynxUDP(address="127.0.0.1", udp_port=0, **given)
        self.runner = NodeRunner(self.node, "nlx")
        self.signal, self.ttl = Collector(), Collector()
        self.node.signal.add_target(self.signal)
        self.node.ttl.add_target(self.ttl)
        self.runner.open()
        assert self.node._socket is not None
        self.amplifier = DigilynxSender(
            self.node._socket.getsockname(), N_CHANNELS, first=first, swapped=swapped
        )
        self.runner.start()

    def send(self, n: int, ttl: npt.ArrayLike = 0) -> None:
        """Send samples whose channel 0 is their number."""
        self.amplifier.send(self.samples(n), ttl)

    def samples(self, n: int) -> npt.NDArray[np.int64]:
        return numbered(self.amplifier.number, n)

    def receive(self, n: int) -> npt.NDArray[Any]:
        """Wait until there are so many samples; return them all."""
        self.wait_for(lambda: self.ttl.chunks and self.ttl.chunks[-1].stop >= n)
        return np.concatenate([chunk.data for chunk in self.signal.chunks])

    def wait_for(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, f"{self.node.n_packets} packets came"
            assert self.runner.failure is None
            time.sleep(0.001)

    def n_bytes_waiting(self) -> int:
        """Ask the system how much it holds for the node (SO_MEMINFO)."""
        found = self.node._listening.getsockopt(socket.SOL_SOCKET, 55, 36)
        return int(struct.unpack("9I", found)[0])

    def stamps(self) -> npt.NDArray[np.float64]:
        return np.concatenate([chunk.raw_timestamps for chunk in self.signal.chunks])

    def close(self) -> None:
        self.amplifier.close()
        self.runner.finish(timeout=DEADLINE)


def numbered(first: int, n: int) -> npt.NDArray[np.int64]:
    """Make samples whose channel 0 is their number."""
    numbers = (first + np.arange(n))[:, None]
    samples: npt.NDArray[np.int64] = numbers * np.array([1, -1, 2, 0]) - np.array([0, 0, 0, 7])
    return samples


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    with ExitStack() as stack:

        def start(**parameters: Any) -> Rig:
            rig = Rig(**parameters)
            stack.callback(rig.close)
            return rig

        yield start


# --- samples ------------------------------------------------------------------------------------


def test_a_packet_by_the_book_is_one_sample(rig: Callable[..., Rig]) -> None:
    running = rig()
    micros = (5 << 32) + 7
    head = [2048, 1, 10 + N_CHANNELS, 5, 7, 0, 0x8001, *range(10)]
    words = [*head, *(value & 0xFFFFFFFF for value in (3, -3, 2**31 - 1, -(2**31)))]
    packet = struct.pack(f"<{len(words) + 1}I", *words, reduce(xor, words))

    running.amplifier.send_bytes(packet)

    assert running.receive(1).tolist() == [[3, -3, 2**31 - 1, -(2**31)]]
    assert running.ttl.chunks[0].data.tolist() == [[0x8001]]
    assert running.stamps().tolist() == [micros * 1e-6]


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("swapped", [False, True])
def test_samples_come_in_order_however_many_make_a_chunk(
    rig: Callable[..., Rig], batch: int, swapped: bool
) -> None:
    running = rig(batch=batch, swapped=swapped)
    ttl = np.arange(100) % 3

    running.send(100, ttl)

    np.testing.assert_array_equal(running.receive(100), numbered(0, 100))
    np.testing.assert_array_equal(np.concatenate([c.data for c in running.ttl.chunks])[:, 0], ttl)
    np.testing.assert_array_equal(running.stamps(), np.arange(100) * 1_000_000 // 32_000 * 1e-6)
    assert max(len(chunk) for chunk in running.signal.chunks) <= batch


def test_samples_are_microvolts_unless_counts_are_wanted(rig: Callable[..., Rig]) -> None:
    running = rig(dtype="float32", bit_value=0.5)

    running.send(3)

    found = running.receive(3)
    np.testing.assert_array_equal(found, numbered(0, 3) * 0.5)
    info = running.signal.infos[0]
    assert (info.dtype, info.channels[0].unit) == ("float32", "uV")


@pytest.mark.parametrize(
    ("channels", "which"), [([2, "AD0"], [2, 0]), (["1:3"], [1, 2]), ([-1], [3])]
)
def test_channels_can_be_chosen(
    rig: Callable[..., Rig], channels: list[int | str], which: list[int]
) -> None:
    running = rig(channels=channels, batch=3)

    running.send(3)

    np.testing.assert_array_equal(running.receive(3), numbered(0, 3)[:, which])
    assert running.signal.infos[0].channel_names == tuple(f"AD{at}" for at in which)


def test_the_amplifiers_stamps_are_mapped_onto_the_local_clock(rig: Callable[..., Rig]) -> None:
    running = rig(first=32_000 * 3600)
    before = local_clock()

    running.send(1)
    running.receive(1)

    assert running.stamps().tolist() == [3600.0]
    assert before <= float(running.signal.chunks[0].timestamps[0]) <= local_clock()
    assert running.signal.infos[0].clock_id.startswith("digilynx:127.0.0.1:")
    assert running.ttl.chunks[0].clock == running.signal.chunks[0].clock


def test_samples_can_be_stamped_when_they_come_in(rig: Callable[..., Rig]) -> None:
    running = rig(first=32_000 * 3600, stamps="arrival")
    before = local_clock()

    running.send(10)
    running.receive(10)

    stamps = running.stamps()
    assert before <= stamps[0] <= stamps[-1] <= local_clock()
    assert running.signal.infos[0].clock_id == ""


def test_the_count_of_the_amplifier_is_announced(rig: Callable[..., Rig]) -> None:
    running = rig(first=123_457)

    running.send(2)
    running.receive(2)

    assert running.node.signal.device_index == running.node.ttl.device_index == 123_457
    assert running.signal.epochs == [0, 0]


# --- what is missing ----------------------------------------------------------------------------


def test_packets_that_never_came_are_an_exact_gap(rig: Callable[..., Rig]) -> None:
    running = rig(batch=64)

    running.send(10)
    running.amplifier.number += 5
    running.send(10)
    received = running.receive(20)

    assert received[:, 0].tolist() == [*range(10), *range(15, 25)]
    for collector in (running.signal, running.ttl):
        (gap,) = collector.gaps
        assert (gap.index, gap.count, gap.cause, gap.exact) == (10, 5, Cause.DEVICE, True)
        assert gap.duration == pytest.approx(5 / 32_000)
    assert running.node.n_lost == 5


def test_a_broken_packet_is_missing(rig: Callable[..., Rig]) -> None:
    running = rig()
    running.send(1)
    broken = bytearray(running.amplifier.packets(running.samples(1)).tobytes())
    broken[70] ^= 1

    running.amplifier.send_bytes(bytes(broken))
    running.send(1)

    assert running.receive(2)[:, 0].tolist() == [0, 2]
    assert (running.node.n_invalid, running.node.n_lost) == (1, 1)


def test_what_is_no_packet_of_this_amplifier_changes_nothing(rig: Callable[..., Rig]) -> None:
    running = rig()
    running.send(1)
    good = running.amplifier.packets(numbered(0, 1)).tobytes()
    running.amplifier.number -= 1
    larger = DigilynxSender(("127.0.0.1", 9), 8)

    strangers = [b"", b"hello", good[:-4], good + b"more", bytes(len(good)),
                 larger.packets(np.zeros((1, 8), int)).tobytes()]  # fmt: skip
    for stranger in strangers:
        running.amplifier.send_bytes(stranger)
    running.send(1)
    larger.close()

    assert running.receive(2)[:, 0].tolist() == [0, 1]
    assert (running.node.n_invalid, running.node.n_lost) == (len(strangers), 0)


def test_packets_that_come_twice_or_late_are_not_used(rig: Callable[..., Rig]) -> None:
    running = rig()
    first, second, third, fourth = running.amplifier.packets(running.samples(4))

    for packet in (first, first, third, second, fourth):
        running.amplifier.send_bytes(packet.tobytes())

    assert running.receive(3)[:, 0].tolist() == [0, 2, 3]
    assert (running.node.n_duplicates, running.node.n_out_of_order) == (1, 1)
    assert running.node.n_lost == 1


def test_an_amplifier_that_was_restarted_begins_a_new_epoch(rig: Callable[..., Rig]) -> None:
    running = rig(first=320_000)
    running.send(3)
    running.receive(3)

    running.amplifier.number = 0
    running.send(2)
    running.wait_for(lambda: running.ttl.chunks[-1].epoch == 1 and running.ttl.chunks[-1].stop == 2)

    assert [chunk.epoch for chunk in running.signal.chunks] == [0, 0, 0, 1, 1]
    assert running.node.n_lost == 0
    assert running.node.signal.device_index is None


def test_packets_that_the_system_dropped_are_an_overrun(rig: Callable[..., Rig]) -> None:
    running = rig(buffer=0.02)
    running.send(1)
    running.receive(1)

    with running.runner.lane:  # nobody takes anything meanwhile
        running.send(500)
    running.wait_for(lambda: running.n_bytes_waiting() == 0)
    running.send(1)
    running.wait_for(lambda: running.node.n_packets + running.node.n_lost == 502)

    assert running.node.n_dropped == running.node.n_lost > 0
    assert {gap.cause for gap in running.signal.gaps} == {Cause.OVERRUN}
    assert sum(gap.count for gap in running.signal.gaps) == running.node.n_lost


# --- life ---------------------------------------------------------------------------------------


def test_a_silent_amplifier_is_noticed_and_waited_for(rig: Callable[..., Rig]) -> None:
    running = rig(silence=0.05)

    running.send(1)
    running.wait_for(lambda: running.node.is_receiving)
    running.wait_for(lambda: not running.node.is_receiving)
    running.send(1)
    running.wait_for(lambda: running.node.is_receiving)

    assert running.receive(2)[:, 0].tolist() == [0, 1]


def test_a_node_to_which_nothing_comes_can_be_stopped(rig: Callable[..., Rig]) -> None:
    running = rig()

    running.close()

    assert running.runner.state is NodeState.STOPPED


def test_an_address_of_another_computer_is_refused() -> None:
    runner = NodeRunner(NeuralynxUDP(address="192.0.2.1"), "nlx")

    with pytest.raises(NodeError, match=r"cannot listen on 192\.0\.2\.1:26090") as failure:
        runner.open()
    runner.finish()

    assert isinstance(failure.value.__cause__, StateError)


def test_a_channel_that_is_not_there_is_refused(rig: Callable[..., Rig]) -> None:
    runner = NodeRunner(NeuralynxUDP(udp_port=0, n_channels=4, channels=[4]), "nlx")

    runner.open()
    runner.finish()

    assert runner.failure is not None
    assert isinstance(runner.failure.__cause__, UnknownName)


def test_every_name_is_documented() -> None:
    assert NeuralynxUDP.__doc__
    assert all(field.description for field in NeuralynxUDP.declared().fields.values())


# --- packets, alone -----------------------------------------------------------------------------


@given(
    st.sampled_from([16_000.0, 30_303.0, 32_000.0, 32_768.0, 40_000.0]),
    st.integers(0, 2**40),
    st.lists(st.integers(1, 100_000), max_size=50),
)
def test_what_is_missing_is_counted_exactly(rate: float, first: int, steps: list[int]) -> None:
    sequence = Sequence(rate)
    numbers = np.cumsum([first, *steps])

    missing = [sequence.step(int(number * 1e6 / rate)) for number in numbers.tolist()]

    assert missing == [0, *(step - 1 for step in steps)]
    assert sequence.is_exact


def test_a_hole_that_is_no_whole_number_of_samples_is_an_estimate() -> None:
    sequence = Sequence(1000.0)
    sequence.step(0)

    assert sequence.step(10_400) == 9
    assert not sequence.is_exact


def test_the_clock_is_found_through_late_packets_drift_and_a_pause() -> None:
    random = np.random.default_rng(1)
    clock, drift = PacketClock(), 50e-6
    raw = np.arange(0, 30, 0.01)
    true = 1000.0 + raw * (1 + drift)
    arrived = true + random.exponential(0.0005, len(raw))
    arrived[1000:1300] += 3.0 - (raw[1000:1300] - raw[1000])

    errors = []
    for at, (device, local) in enumerate(zip(raw.tolist(), arrived.tolist(), strict=True)):
        clock.update(device, local)
        errors.append(abs(clock.model.to_local(device) - true[at]))

    assert math.isfinite(clock.model.uncertainty)
    assert max(errors[600:]) < 0.0002


def test_a_packet_has_the_size_that_is_known_of_128_channels() -> None:
    buffer = PacketBuffer(128, 1, np.arange(128))

    assert buffer.views[0].nbytes == 584

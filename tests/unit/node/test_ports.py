"""Outputs number what they emit; inputs know what is linked to them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from rigmesh.errors import StateError, StreamFormatError
from rigmesh.node import Input, InputLink, Output
from rigmesh.node.lane import Lane
from rigmesh.streams import Cause, Chunk, ClockModel, Gap, Markers, Signal, StreamInfo

INFO = StreamInfo.signal("anything", channels=2, sampling_rate=100.0)


class Log:
    """A target that writes down what it learns."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.chunks: list[Chunk] = []

    def announced(self, output: Output[Chunk]) -> None:
        self.events.append(("announced", output.info.name, output.epoch))

    def deliver(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.events.append(("chunk", chunk.epoch, chunk.index, len(chunk)))

    def lost(self, gap: Gap) -> None:
        self.events.append(("lost", gap.epoch, gap.index, gap.count))

    def clock_changed(self, clock: ClockModel) -> None:
        self.events.append(("clock", clock.offset))

    def ended(self) -> None:
        self.events.append(("ended",))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def output(log: Log) -> Output[Chunk]:
    output: Output[Chunk] = Output(Signal).bound("node.out")  # type: ignore[assignment]
    output.add_target(log)
    return output


def signal(n: int = 10) -> Signal:
    return Signal(np.zeros((n, 2)), np.arange(n, dtype=np.float64))


def test_chunks_are_numbered_one_after_the_other(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)

    for n in (10, 0, 5):
        output.push(signal(n))

    assert [(c.index, c.stop) for c in log.chunks] == [(0, 10), (10, 10), (10, 15)]


def test_a_stream_has_the_name_of_its_node_and_port(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())

    assert output.info.name == "node.out"
    assert log.chunks[0].info == INFO.renamed("node.out")


def test_nothing_is_emitted_before_it_is_announced(output: Output[Chunk]) -> None:
    with pytest.raises(StateError, match=r"'node\.out' pushes before it is announced"):
        output.push(signal())
    with pytest.raises(StateError, match="is not announced yet"):
        _ = output.info


def test_what_does_not_fit_the_description_is_refused(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)

    with pytest.raises(StreamFormatError, match="gives signal, but was handed a Markers"):
        output.push(Markers.at([1], ["go"]))

    assert not log.chunks
    assert output.index == 0


def test_a_target_that_comes_late_is_told_the_description(output: Output[Chunk]) -> None:
    late = Log()
    output.announce(INFO)
    output.push(signal())

    output.add_target(late)
    output.push(signal())

    assert late.events == [("announced", "node.out", 0), ("chunk", 0, 10, 10)]


def test_a_target_that_is_removed_gets_nothing_more(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)

    output.remove_target(log)
    output.push(signal())

    assert not log.chunks


def test_another_format_begins_an_epoch(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())

    output.announce(StreamInfo.signal("anything", channels=2, sampling_rate=50.0))
    output.push(signal())

    assert [(c.epoch, c.index) for c in log.chunks] == [(0, 0), (1, 0)]


def test_the_same_format_goes_on_in_its_epoch(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())

    output.announce(INFO)
    output.push(signal())

    assert [(c.epoch, c.index) for c in log.chunks] == [(0, 0), (0, 10)]


def test_another_format_before_the_first_sample_needs_no_epoch(
    output: Output[Chunk], log: Log
) -> None:
    output.announce(StreamInfo.signal("anything", channels=2, sampling_rate=50.0))
    output.announce(INFO)
    output.push(signal())

    assert log.chunks[0].epoch == 0


def test_a_device_that_counts_begins_an_epoch(output: Output[Chunk]) -> None:
    output.announce(INFO, device_index=1000)
    output.push(signal())

    output.announce(INFO, device_index=5000)

    assert (output.epoch, output.index, output.device_index) == (1, 0, 5000)


def test_what_is_lost_comes_with_the_next_chunk(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())

    output.lose(7, cause=Cause.TRANSPORT, duration=0.07, exact=False)
    output.push(signal())
    output.push(signal())

    gap = Gap(Cause.TRANSPORT, 0, 10, 7, 0.07, exact=False)
    assert [chunk.gaps for chunk in log.chunks] == [(), (gap,), ()]
    assert ("lost", 0, 10, 7) in log.events
    assert output.lost == 7


def test_a_chunk_that_is_handed_through_is_numbered_anew(output: Output[Chunk], log: Log) -> None:
    received = signal()
    received.info, received.index, received.epoch = INFO, 500, 3
    received.gaps = (Gap(Cause.DEVICE, 3, 500, 1),)
    output.announce(INFO)

    output.push(received)

    sent = log.chunks[0]
    assert (sent.index, sent.epoch, sent.gaps) == (0, 0, ())
    assert (received.index, received.epoch, len(received.gaps)) == (500, 3, 1)
    assert sent.data is received.data


def test_a_clock_that_a_node_sets_holds_for_what_follows(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())

    output.clock = ClockModel(offset=5.0)
    output.push(signal())

    assert [chunk.timestamps[0] for chunk in log.chunks] == [0.0, 5.0]
    assert ("clock", 5.0) in log.events


def test_a_derived_stream_has_the_clock_of_its_source(output: Output[Chunk], log: Log) -> None:
    derived = signal()
    derived.clock = ClockModel(offset=5.0)
    output.announce(INFO)

    output.push(derived)

    assert log.chunks[0].clock == output.clock == ClockModel(offset=5.0)


def test_the_end_is_told_once(output: Output[Chunk], log: Log) -> None:
    output.end()
    output.end()

    assert log.events == [("ended",)]


def test_a_new_run_begins_with_the_epoch_it_is_given(output: Output[Chunk], log: Log) -> None:
    output.announce(INFO)
    output.push(signal())
    output.end()

    output.restart(4)
    output.announce(INFO)
    output.push(signal())

    assert (log.chunks[-1].epoch, log.chunks[-1].index) == (4, 0)
    assert not output.is_ended


def test_every_push_happens_in_the_lane(output: Output[Chunk]) -> None:
    lane = Lane()
    held = []

    class Asker(Log):
        def deliver(self, chunk: Chunk) -> None:
            held.append(not lane.enter())
            lane.leave()

    output.join(lane)
    output.announce(INFO)
    output.add_target(Asker())

    output.push(signal())

    assert held == [True]
    assert lane.enter()


def test_the_lane_is_left_when_a_target_fails(output: Output[Chunk]) -> None:
    class Broken(Log):
        def deliver(self, chunk: Chunk) -> None:
            raise OSError("broken")

    lane = Lane()
    output.announce(INFO)
    output.add_target(Broken())
    output.join(lane)

    with pytest.raises(OSError, match="broken"):
        output.push(signal())

    assert lane.enter()


def test_the_lane_knows_when_a_chunk_came_in(output: Output[Chunk]) -> None:
    lane = Lane()
    output.join(lane)
    output.announce(INFO)
    before = time.monotonic_ns()

    output.push(signal(), received=12345)
    told = lane.received
    output.push(signal())

    assert told == 12345
    assert before <= lane.received <= time.monotonic_ns()


def test_a_chunk_of_another_type_is_refused_although_the_one_before_fitted(
    output: Output[Chunk], log: Log
) -> None:
    output.announce(INFO)
    output.push(signal())

    for wrong in (
        Signal(np.zeros((10, 2), "f4"), np.zeros(10)),
        Signal(np.zeros((10, 3)), np.zeros(10)),
        Signal(np.zeros((10, 2)), np.zeros(9)),
        Signal(np.zeros((9, 2)), np.zeros(10)),
    ):
        with pytest.raises(StreamFormatError):
            output.push(wrong)

    output.push(signal())
    assert [(c.index, c.stop) for c in log.chunks] == [(0, 10), (10, 20)]


def test_nodes_of_one_class_do_not_share_a_port() -> None:
    declared = Output(Signal)

    first, second = declared.bound("a.out"), declared.bound("b.out")
    first.add_target(Log())

    assert (first.stream, second.stream) == ("a.out", "b.out")
    assert not second.targets
    assert not first.is_announced


def test_an_input_without_a_description_says_when_there_is_one() -> None:
    port = Input(Signal).bound()
    port.links.append(InputLink("a.out"))

    assert port.connected
    with pytest.raises(StateError, match=r"use \.info in prepare or later"):
        _ = port.info


def test_a_release_reaches_every_link() -> None:
    released: list[str] = []
    port = Input(Signal, many=True).bound()
    for stream in ("a.out", "b.out"):
        port.links.append(
            InputLink(stream, release=lambda stream=stream: released.append(stream))  # type: ignore[misc]
        )

    port.release()

    assert released == ["a.out", "b.out"]

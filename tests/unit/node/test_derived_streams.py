"""What a node makes of a stream has its gaps and epochs, and owns its data."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.unit.node.nodes import INFO, SINE, Gain, Seen, fed

from rigmesh.node import Input, Node, NodeRunner, NodeState, Output, link_nodes
from rigmesh.node.testing import chunked, collect, run
from rigmesh.streams import Cause, Chunk, Gap, Markers, Signal, StreamInfo


class Halve(Node):
    """Give every second sample."""

    signal = Input(Signal)
    out = Output(Signal)
    marks = Output(Markers)

    def prepare(self) -> None:
        info = self.signal.info
        rate = info.sampling_rate / 2
        self.out.announce(StreamInfo.signal("", channels=1, sampling_rate=rate))
        self.marks.announce(StreamInfo.markers(""))

    def process(self, chunk: Signal) -> None:
        self.out.push(Signal(chunk.data[::2].copy(), chunk.raw_timestamps[::2].copy()))


class Keeper(Node):
    """Keep the arrays that it was only lent."""

    signal = Input(Signal)
    out = Output(Signal)

    def prepare(self) -> None:
        self._kept: list[np.ndarray[Any, Any]] = []
        self.out.announce(self.signal.info)

    def process(self, chunk: Signal) -> Signal:
        self._kept.append(chunk.data)
        return chunk.with_data(self._kept[0][: len(chunk)].copy())


def test_a_gap_in_the_input_is_a_gap_in_the_output() -> None:
    first, second = chunked(SINE, 50)
    second.gaps = (Gap(Cause.OVERRUN, 0, 50, 7, duration=0.007),)

    out = collect(Gain(), [first, second])["out"]

    gap = Gap(Cause.OVERRUN, 0, 50, 7, duration=0.007)
    assert [chunk.gaps for chunk in out.chunks] == [(), (gap,)]
    assert out.gaps == [gap]


def test_a_gap_is_scaled_to_the_rate_of_the_output() -> None:
    first, second = chunked(SINE, 50)
    second.gaps = (Gap(Cause.DEVICE, 0, 50, 8, duration=0.008),)

    found = collect(Halve(), [first, second])

    assert [(g.index, g.count, g.exact) for g in found["out"].gaps] == [(25, 4, False)]
    assert found["marks"].gaps == []


def test_a_gap_behind_the_last_sample_is_passed_on() -> None:
    end = Signal(np.empty((0, 1)), np.empty(0), index=100, info=SINE.info)
    end.gaps = (Gap(Cause.DEVICE, 0, 100, 7),)

    out = collect(Gain(), [SINE, end])["out"]

    assert [gap.count for gap in out.gaps] == [7]
    assert len(out.chunks) == 1


def test_a_new_epoch_of_the_input_prepares_again_and_begins_one_of_the_output() -> None:
    node = Gain()
    first, second = chunked(SINE, 50)
    second.epoch, second.index = 1, 0

    out = collect(node, [first, second])["out"]

    assert node.hooks.count("prepare") == 2
    assert [(chunk.epoch, chunk.index) for chunk in out.chunks] == [(0, 0), (1, 0)]


def test_linked_nodes_hand_chunks_on_by_a_call() -> None:
    first, link, take = fed(Gain(factor=2.0))
    second = NodeRunner(Gain(factor=3.0), "second")
    second.join(first.lane)
    undo = link_nodes(first, "out", second, "signal")
    seen: list[Chunk] = []
    second.node.port("out").add_target(Seen(seen))
    for runner in (second, first):
        runner.open()
    first.input_announced(link, INFO, new_epoch=False)
    for runner in (second, first):
        runner.start()

    take(SINE.copy())
    first.input_ended(link)

    np.testing.assert_array_equal(seen[0].data, SINE.data * 6)
    assert second.state is NodeState.ENDED
    undo()
    assert not second.node.port("signal").connected
    first.finish()
    second.finish()


def test_a_node_that_keeps_a_borrowed_array_is_found_out() -> None:
    kept = run(Keeper(), chunked(SINE, 50))

    assert (kept.data[50:] == 77).all()

"""An output that hands a stream of another host through, with that one's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from rigmesh.errors import StateError
from rigmesh.node import Output
from rigmesh.node.testing import Collector
from rigmesh.streams import Cause, Signal, StreamInfo

INFO = StreamInfo("other.signal", sample_shape=(1,), sampling_rate=100.0)


@pytest.fixture
def output() -> Output[Signal]:
    return Output(Signal).bound("here.signal")


@pytest.fixture
def seen(output: Output[Signal]) -> Collector:
    collector = Collector()
    output.add_target(collector)
    return collector


def chunk(n: int) -> Signal:
    return Signal(np.zeros((n, 1)), np.zeros(n))


def test_epoch_and_index_are_those_that_are_followed(
    output: Output[Signal], seen: Collector
) -> None:
    output.follow(INFO, epoch=3, index=700, device_index=12)
    output.push(chunk(5))
    output.push(chunk(5))

    assert [(c.epoch, c.index) for c in seen.chunks] == [(3, 700), (3, 705)]
    assert output.device_index == 12
    assert seen.infos[0].name == "here.signal"


def test_a_later_epoch_begins_at_its_own_index(output: Output[Signal], seen: Collector) -> None:
    output.follow(INFO, epoch=3, index=700)
    output.push(chunk(5))
    output.follow(INFO, epoch=9, index=0)
    output.push(chunk(5))

    assert [(c.epoch, c.index) for c in seen.chunks] == [(3, 700), (9, 0)]
    assert seen.epochs == [3, 9]


def test_the_same_epoch_described_anew_counts_on(output: Output[Signal], seen: Collector) -> None:
    output.follow(INFO, epoch=3, index=700)
    output.push(chunk(5))
    output.lose(2, cause=Cause.TRANSPORT)
    output.follow(INFO, epoch=3, index=900, device_index=4)
    output.push(chunk(5))

    assert [(c.epoch, c.index) for c in seen.chunks] == [(3, 700), (3, 705)]
    assert output.lost == 2
    assert output.device_index == 4


def test_gaps_that_belong_to_an_earlier_epoch_are_not_told_in_the_next(
    output: Output[Signal], seen: Collector
) -> None:
    output.follow(INFO, epoch=0, index=0)
    output.lose(2)
    output.follow(INFO, epoch=1, index=0)
    output.push(chunk(1))

    assert seen.chunks[0].gaps == ()
    assert output.lost == 0


def test_there_is_no_way_back_to_an_earlier_epoch(output: Output[Signal]) -> None:
    output.follow(INFO, epoch=3, index=0)

    with pytest.raises(StateError, match=r"'here\.signal' is in epoch 3"):
        output.follow(INFO, epoch=2, index=0)


def test_a_format_does_not_change_within_an_epoch(output: Output[Signal]) -> None:
    output.follow(INFO, epoch=3, index=0)
    wider = StreamInfo("other.signal", sample_shape=(2,), sampling_rate=100.0)

    with pytest.raises(StateError):
        output.follow(wider, epoch=3, index=0)


def test_an_output_of_its_own_goes_on_from_the_followed_epoch(
    output: Output[Signal], seen: Collector
) -> None:
    output.follow(INFO, epoch=3, index=700)
    output.push(chunk(5))
    output.force_new_epoch = True
    output.announce(INFO)
    output.push(chunk(1))

    assert [(c.epoch, c.index) for c in seen.chunks] == [(3, 700), (4, 0)]

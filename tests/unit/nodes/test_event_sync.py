from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.nodes.event_loop import Event, EventLoop

from rigmesh.errors import NodeError
from rigmesh.node.testing import NodeTests, markers
from rigmesh.streams import ClockModel
from rigmesh_nodes._event_sync import Coincidences
from rigmesh_nodes.event_logic import EventSync


class TestEventSync(NodeTests):
    make = partial(EventSync, window=0.2, texts=["0", "1"])
    feed = markers(*[(i / 7, f"{i % 3}") for i in range(40)])


def syncing(n_inputs: int = 3, **parameters: Any) -> tuple[EventSync, EventLoop]:
    node = EventSync(**parameters)
    return node, EventLoop(node, {f"pipe{i}": "events" for i in range(n_inputs)}).start()


# --- all inputs ---------------------------------------------------------------------------------


def test_an_event_comes_when_all_inputs_gave_one_with_the_stamp_of_the_last() -> None:
    node, loop = syncing(window=0.5)

    loop.feed((1.0, "a"), stream="pipe0")
    loop.feed((1.3, "a"), stream="pipe2")
    before = (loop.given, node.n_waiting)
    loop.feed((1.2, "a"), stream="pipe1")

    assert before == ([], 2)
    assert loop.given == [(1.3, "sync")]
    assert (node.n_synced, node.n_dropped, node.n_waiting) == (1, 0, 0)


def test_an_event_that_waited_longer_than_the_window_is_dropped_and_counted() -> None:
    node, loop = syncing(2, window=0.5)

    loop.feed((1.0, "a"), stream="pipe0")
    loop.feed((2.0, "b"), stream="pipe1")
    loop.feed((2.1, "c"), stream="pipe0")

    assert loop.given == [(2.1, "sync")]
    assert node.n_dropped == 1


def test_the_first_events_that_fit_are_taken_and_each_once() -> None:
    node, loop = syncing(2, window=0.5)

    loop.feed((1.0, "a"), (1.1, "b"), (1.2, "c"), stream="pipe0")
    loop.feed((1.3, "x"), (1.4, "y"), stream="pipe1")

    assert loop.given == [(1.3, "sync"), (1.4, "sync")]
    assert node.n_waiting == 1


def test_other_texts_do_not_count() -> None:
    _, loop = syncing(2, texts=["ripple"], text="both")

    loop.feed((1.0, "noise"), (1.05, "ripple"), stream="pipe0")
    loop.feed((1.0, "noise"), stream="pipe1")
    before = loop.given
    loop.feed((1.1, "ripple"), stream="pipe1")

    assert before == []
    assert loop.given == [(1.1, "both")]


def test_stamps_of_several_clocks_are_compared_and_given_on_the_local_clock() -> None:
    _, loop = syncing(2, window=0.5)

    loop.feed((1.0, "a"), stream="pipe0", clock=ClockModel(offset=100.0))
    loop.feed((51.25, "a"), stream="pipe1", clock=ClockModel(offset=50.0))

    assert loop.given == [(101.25, "sync")]
    assert loop.output.chunks[0].clock.is_identity


times = st.lists(st.integers(0, 200).map(lambda i: i / 20), max_size=15, unique=True).map(sorted)


@given(inputs=st.lists(times, min_size=3, max_size=3), data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_all_inputs_make_does_not_depend_on_cuts_and_order(
    inputs: list[list[float]], data: st.DataObject
) -> None:
    in_time = sorted((t, f"pipe{i}") for i, each in enumerate(inputs) for t in each)
    _, loop = syncing(window=0.3)
    for time, stream in in_time:
        loop.feed((time, "x"), stream=stream)

    _, other = syncing(window=0.3)
    rest = {f"pipe{i}": [(t, "x") for t in each] for i, each in enumerate(inputs)}
    while any(rest.values()):
        stream = data.draw(st.sampled_from([s for s, events in rest.items() if events]))
        n = data.draw(st.integers(1, len(rest[stream])))
        other.feed(*rest[stream][:n], stream=stream)
        rest[stream] = rest[stream][n:]

    assert other.given == loop.given
    for last, _ in loop.given:
        assert all(any(last - 0.3 - 1e-9 <= t <= last for t in each) for each in inputs)


# --- some inputs --------------------------------------------------------------------------------


def test_so_many_inputs_are_enough_and_late_ones_belong_to_them() -> None:
    node, loop = syncing(need=2, window=0.1)

    for start in (1.0, 1.12, 5.0):
        for pipe, after in (("pipe1", 0.0), ("pipe0", 0.01), ("pipe2", 0.02)):
            loop.feed((start + after, "x"), stream=pipe)

    assert [time for time, _ in loop.given] == pytest.approx([1.01, 1.13, 5.01])
    assert (node.n_dropped, node.n_waiting) == (0, 0)


def test_an_input_that_is_silent_does_not_hold_up_the_others() -> None:
    node, loop = syncing(4, need=2, window=0.1)

    loop.feed((0.0, "alone"), stream="pipe0")
    for time in (5.0, 6.0):
        loop.feed((time, "x"), stream="pipe1")
        loop.feed((time + 0.05, "x"), stream="pipe2")

    assert [time for time, _ in loop.given] == [5.05, 6.05]
    assert node.n_dropped == 1


def test_one_input_is_enough_if_so_asked() -> None:
    _, loop = syncing(2, need=1, window=0.1)

    loop.feed((1.0, "x"), stream="pipe0")
    loop.feed((1.05, "x"), stream="pipe1")
    loop.feed((2.0, "x"), stream="pipe1")

    assert loop.given == [(1.0, "sync"), (2.0, "sync")]


def test_more_inputs_than_there_are_cannot_be_needed() -> None:
    with pytest.raises(NodeError, match=r"node\.need: 4 of 3 inputs are too many"):
        syncing(3, need=4)


# --- faults -------------------------------------------------------------------------------------


def test_a_stamp_that_is_no_time_is_counted_and_holds_up_nothing() -> None:
    node, loop = syncing(2)
    loop.feed((np.nan, "x"), (np.inf, "x"), (1.0, "x"), stream="pipe0")

    loop.feed((1.05, "x"), stream="pipe1")

    assert loop.given == [(1.05, "sync")]
    assert node.n_not_finite == 2


def test_a_new_epoch_of_an_input_drops_and_counts_what_waits() -> None:
    node, loop = syncing(2, window=10)
    loop.feed((1.0, "x"), stream="pipe0")

    loop.announce("pipe1", new_epoch=True)
    loop.feed((1.1, "x"), stream="pipe1")

    assert loop.given == []
    assert (node.n_dropped, node.n_waiting) == (1, 1)


def test_events_that_wait_for_a_dead_input_take_no_memory_for_ever() -> None:
    found = Coincidences()
    found.begin(2, 2)

    events: list[Event] = [(float(i), "x") for i in range(5000)]
    for time, _ in events:
        found.add(0, time, 0.1)

    assert (found.n_waiting, found.n_dropped) == (1024, 3976)
    assert found.add(1, 4999.05, 0.1) == 4999.05

from __future__ import annotations

import itertools
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
from rigmesh_nodes._event_filter import Veto
from rigmesh_nodes.event_logic import EventFilter

EVENTS = markers(*[(i / 7, f"{i}") for i in range(40)])


class TestEventFilter(NodeTests):
    make = partial(EventFilter, before=0.1, after=0.1)
    feed = EVENTS


class TestEventFilterThatHolds(NodeTests):
    make = partial(EventFilter, hold=0.3)
    feed = EVENTS


def filtering(n_blocking: int = 1, **parameters: Any) -> tuple[EventFilter, EventLoop]:
    node = EventFilter(**parameters)
    streams = {"events": "events", **{f"block{i}": "block" for i in range(n_blocking)}}
    return node, EventLoop(node, streams).start()


# --- windows ------------------------------------------------------------------------------------


def test_without_blocking_streams_everything_passes() -> None:
    node, loop = filtering(0, before=10, after=10)

    loop.feed((1.0, "a"), (2.0, "b"))

    assert loop.given == [(1.0, "a"), (2.0, "b")]
    assert node.n_passed == 2


def test_an_event_within_the_window_of_a_blocking_one_does_not_pass() -> None:
    node, loop = filtering(before=0.5, after=1)
    loop.feed((10.0, "artefact"), stream="block0")

    loop.feed(*[(time, f"{time}") for time in (9.4, 9.5, 10.0, 11.0, 11.1)])

    assert [time for time, _ in loop.given] == [9.4, 11.1]
    assert (node.n_passed, node.n_blocked) == (2, 3)


def test_an_event_that_is_not_held_is_given_at_once_whatever_blocks_it_later() -> None:
    _, loop = filtering(before=1)

    loop.feed((1.0, "a"))
    given_at_once = loop.given
    loop.feed((1.2, "artefact"), stream="block0")

    assert given_at_once == loop.given == [(1.0, "a")]


def test_a_held_event_is_blocked_by_what_comes_later() -> None:
    node, loop = filtering(before=0.3, hold=0.5)
    loop.feed((1.0, "a"), (1.25, "b"))
    loop.clock.advance(1.4)

    loop.feed((1.2, "artefact"), stream="block0")
    before = (loop.given, node.n_waiting)
    loop.clock.advance(2)

    assert before == ([], 2)
    assert loop.given == [(1.25, "b")]
    assert (node.n_passed, node.n_blocked, node.n_waiting) == (1, 1, 0)


def test_a_held_event_passes_when_its_time_is_over_with_its_own_stamp() -> None:
    _, loop = filtering(hold=0.5)
    loop.feed((1.0, "a"))

    loop.clock.advance(1.49)
    before = loop.given
    loop.clock.advance(1.5)

    assert before == []
    assert loop.given == [(1.0, "a")]


def test_an_event_older_than_the_time_to_hold_it_passes_at_once() -> None:
    _, loop = filtering(hold=0.5)
    loop.clock.advance(3)

    loop.feed((1.0, "a"))

    assert loop.given == [(1.0, "a")]


def test_only_certain_texts_block() -> None:
    _, loop = filtering(after=1, block_texts=["artefact"])

    loop.feed((1.0, "fine"), (5.0, "artefact"), stream="block0")
    loop.feed((1.1, "a"), (5.1, "b"))

    assert loop.given == [(1.1, "a")]


@pytest.mark.parametrize(
    ("need", "passed"),
    [("any", [4.0]), (1, [4.0]), (2, [1.0, 4.0]), (3, [1.0, 2.0, 4.0]), ("all", [1.0, 2.0, 4.0])],
)
def test_so_many_streams_have_to_block_an_event(need: str | int, passed: list[float]) -> None:
    _, loop = filtering(3, after=0.5, need=need)
    loop.feed((1.0, "x"), (1.1, "x"), (2.0, "x"), (3.0, "x"), stream="block0")
    loop.feed((2.0, "x"), (3.0, "x"), stream="block1")
    loop.feed((3.0, "x"), stream="block2")

    loop.feed(*[(time, "event") for time in (1.0, 2.0, 3.0, 4.0)])

    assert [time for time, _ in loop.given] == passed


def test_more_blocking_streams_than_there_are_cannot_be_needed() -> None:
    with pytest.raises(NodeError, match=r"node\.need: 3 of 2 blocking streams are too many"):
        filtering(2, need=3)


def test_clocks_of_devices_are_compared_on_the_local_clock() -> None:
    _, loop = filtering(after=0.5)
    clock = ClockModel(offset=100.0)

    loop.feed((101.0, "artefact"), stream="block0")
    loop.feed((1.2, "a"), (1.8, "b"), clock=clock)

    assert loop.given == [(1.8, "b")]
    assert loop.output.chunks[0].clock is clock


# --- cuts and order -----------------------------------------------------------------------------

times = st.lists(st.integers(0, 100).map(lambda i: i / 10), max_size=15).map(sorted)


@given(events=times, blocking=times, cuts=st.lists(st.floats(0, 10), max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_passes_held_events_does_not_depend_on_cuts_and_order(
    events: list[float], blocking: list[float], cuts: list[float], data: st.DataObject
) -> None:
    _, loop = filtering(before=0.25, after=0.55, hold=11)
    edges = [-1.0, *sorted(cuts), 11.0]

    for start, stop in itertools.pairwise(edges):
        chunks: dict[str, list[Event]] = {
            stream: [(time, "x") for time in found if start < time <= stop]
            for stream, found in (("events", events), ("block0", blocking))
        }
        for stream in data.draw(st.permutations(sorted(chunks))):
            if chunks[stream]:
                loop.feed(*chunks[stream], stream=stream)
        loop.clock.advance(stop)
    loop.clock.advance(30)

    expected = [t for t in events if not any(b - 0.25 <= t <= b + 0.55 for b in blocking)]
    assert [time for time, _ in loop.given] == expected


# --- faults -------------------------------------------------------------------------------------


def test_stamps_that_are_no_times_neither_pass_nor_block() -> None:
    for hold in (0.0, 0.5):
        node, loop = filtering(before=1, after=1, hold=hold)

        loop.feed((np.nan, "x"), (np.inf, "x"), stream="block0")
        loop.feed((np.nan, "broken"), (1.0, "a"), (-np.inf, "broken"))
        loop.clock.advance(5)

        assert loop.given == [(1.0, "a")]
        assert node.n_not_finite == 2


def test_a_new_epoch_of_an_input_drops_what_is_held_and_forgets_what_blocks() -> None:
    node, loop = filtering(after=10, hold=1)
    loop.feed((1.0, "artefact"), stream="block0")
    loop.feed((1.1, "held"))

    loop.announce("block0", new_epoch=True)
    loop.feed((1.2, "a"))
    loop.clock.advance(5)

    assert loop.given == [(1.2, "a")]
    assert node.n_dropped == 1


def test_nothing_passes_after_the_end() -> None:
    _, loop = filtering(hold=1)
    loop.feed((1.0, "a"))

    loop.end()
    loop.clock.advance(5)

    assert loop.given == []


def test_old_blocking_events_take_no_memory_for_ever() -> None:
    veto = Veto(1, 1)

    for i in range(20_000):
        veto.add(0, i / 10)

    assert veto.blocks(1999.95, 0, 0.1)
    assert not veto.blocks(2000.5, 0, 0.1)
    assert len(veto._times[0]) <= 4096


def test_blocking_events_may_come_out_of_order() -> None:
    veto = Veto(1, 1)
    for time in (5.0, 1.0, 3.0):
        veto.add(0, time)

    assert [t for t in range(7) if veto.blocks(t, 0, 0.5)] == [1, 3, 5]

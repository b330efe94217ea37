from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.event_loop import EventLoop

from rigmesh.node.testing import NodeTests
from rigmesh.streams import ClockModel, Markers, StreamInfo
from rigmesh_nodes.event_logic import EventDelay


def some_events() -> Markers:
    times = np.random.default_rng(1).uniform(0, 10, 60)
    chunk = Markers.at(sorted(times.tolist()), [f"event {i}" for i in range(60)])
    chunk.info = StreamInfo.markers("detector.events")
    return chunk


class TestEventDelayOnTime(NodeTests):
    make = partial(EventDelay, detection_lock_out=0.1, stimulation_lock_out=0.3)
    feed = some_events()


class TestEventDelayByAFixedTime(NodeTests):
    make = partial(EventDelay, delay=0.25, detection_lock_out=0.1, stimulation_lock_out=0.2)
    feed = some_events()


class TestEventDelayAtRandom(NodeTests):
    make = partial(EventDelay, delay=0.1, jitter=0.9, seed=3, stimulation_lock_out=0.2)
    feed = some_events()


def delayed(**parameters: Any) -> tuple[EventDelay, EventLoop]:
    node = EventDelay(**parameters)
    return node, EventLoop(node).start()


# --- delays -------------------------------------------------------------------------------------


def test_without_a_delay_an_event_is_given_before_the_hook_returns() -> None:
    _, loop = delayed()

    loop.feed((5.0, "ripple"))

    assert loop.given == [(5.0, "ripple")]


def test_a_delayed_event_is_given_when_it_is_due_and_stamped_so() -> None:
    node, loop = delayed(delay=0.5)
    loop.feed((1.0, "ripple"))

    loop.clock.advance(1.499)
    before = loop.given
    waiting = node.n_waiting
    loop.clock.advance(1.5)

    assert (before, waiting) == ([], 1)
    assert loop.given == [(1.5, "ripple")]
    assert (node.n_given, node.n_waiting) == (1, 0)


def test_the_time_until_an_event_comes_is_part_of_its_delay() -> None:
    node, loop = delayed(delay=0.5)
    loop.clock.advance(1.3)
    loop.feed((1.0, "ripple"))

    loop.clock.advance(1.5)

    assert loop.given == [(1.5, "ripple")]
    assert node.n_late == 0


def test_an_event_whose_delay_is_over_is_given_at_once_and_counted() -> None:
    node, loop = delayed(delay=0.5)
    loop.clock.advance(3)

    loop.feed((1.0, "ripple"))

    assert loop.given == [(1.5, "ripple")]
    assert node.n_late == 1


def test_random_delays_are_within_their_bounds_and_those_of_the_seed() -> None:
    times = np.arange(200) * 10.0
    events = [(time, "go") for time in times.tolist()]
    given = []
    for seed in (1, 1, 2):
        _, loop = delayed(delay=1, jitter=2, seed=seed)
        loop.feed(*events)
        loop.clock.advance(10_000)
        given.append(np.array([time for time, _ in loop.given]) - times)

    assert given[0].tolist() == given[1].tolist() != given[2].tolist()
    assert given[0].min() >= 1
    assert given[0].max() <= 3
    assert np.histogram(given[0], bins=4, range=(1, 3))[0].min() > 30


def test_events_come_in_the_order_in_which_they_are_due() -> None:
    _, loop = delayed(jitter=5)

    loop.feed(*[(i / 10, f"{i}") for i in range(50)])
    loop.clock.advance(100)

    given = loop.given
    assert len(given) == 50
    assert given == sorted(given)
    assert [text for _, text in given] != [f"{i}" for i in range(50)]


def test_events_of_a_device_clock_are_due_by_the_local_clock_and_stamped_by_theirs() -> None:
    _, loop = delayed(delay=0.5)
    clock = ClockModel(offset=100.1, drift=1e-5, reference=0.3)
    loop.clock.advance(101.0)
    loop.feed((1.0, "ripple"), clock=clock)

    loop.clock.advance(clock.to_local(1.5) - 1e-3)
    before = loop.given
    loop.clock.advance(clock.to_local(1.5))

    assert before == []
    assert loop.given == [(1.5, "ripple")]
    assert loop.output.chunks[0].clock is clock


@pytest.mark.parametrize("drift", [-3e-5, 1e-7, 1.7e-5])
def test_no_rounding_of_a_clock_keeps_an_event_from_being_given(drift: float) -> None:
    clock = ClockModel(offset=-1234.56789, drift=drift, reference=77.7)
    _, loop = delayed(delay=0.1)
    stamps = np.random.default_rng(0).uniform(2000, 3000, 300)

    for stamp in sorted(stamps.tolist()):
        loop.feed((stamp, "go"), clock=clock)
        loop.clock.advance(clock.to_local(stamp + 0.1))

    assert len(loop.given) == 300


def test_a_delay_that_is_changed_holds_for_later_events() -> None:
    node, loop = delayed(delay=5)
    loop.feed((1.0, "slow"))

    loop.runner.set_parameters({"delay": 0})
    loop.feed((2.0, "quick"))
    quick = loop.given
    loop.clock.advance(6)

    assert quick == [(2.0, "quick")]
    assert loop.given == [(2.0, "quick"), (6.0, "slow")]
    assert node.n_waiting == 0


# --- lock-outs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_events_after_an_accepted_one_are_ignored(delay: float) -> None:
    node, loop = delayed(delay=delay, detection_lock_out=1)

    loop.feed_at_once((1.0, "a"), (1.9, "b"), (2.1, "c"), (2.5, "d"), (3.2, "e"))
    loop.clock.advance(10)

    assert loop.given == [(1.0 + delay, "a"), (2.1 + delay, "c"), (3.2 + delay, "e")]
    assert (node.n_detection_locked_out, node.n_stimulation_locked_out) == (2, 0)


@pytest.mark.parametrize("delay", [0.0, 0.25])
def test_nothing_is_given_within_the_stimulation_lock_out(delay: float) -> None:
    node, loop = delayed(delay=delay, stimulation_lock_out=1)

    loop.feed_at_once((1.0, "a"), (1.9, "b"), (2.1, "c"), (2.5, "d"), (3.2, "e"))
    loop.clock.advance(10)

    assert loop.given == [(1.0 + delay, "a"), (2.1 + delay, "c"), (3.2 + delay, "e")]
    assert (node.n_detection_locked_out, node.n_stimulation_locked_out) == (0, 2)


def test_no_two_random_delays_bring_events_closer_than_the_stimulation_lock_out() -> None:
    node, loop = delayed(jitter=2, stimulation_lock_out=0.5)

    loop.feed_at_once(*[(i / 10, "go") for i in range(300)])
    loop.clock.advance(100)

    times = [time for time, _ in loop.given]
    assert np.diff(times).min() >= 0.5
    assert node.n_given + node.n_stimulation_locked_out == 300


def test_an_event_that_is_not_given_has_been_detected_all_the_same() -> None:
    node, loop = delayed(detection_lock_out=1, stimulation_lock_out=1.5)

    loop.feed((0.0, "a"), (1.2, "too soon to stimulate"), (1.6, "too soon to detect"), (3, "b"))

    assert [text for _, text in loop.given] == ["a", "b"]
    assert (node.n_detection_locked_out, node.n_stimulation_locked_out) == (1, 1)


def test_a_stamp_from_just_before_the_last_event_is_locked_out_too() -> None:
    _, loop = delayed(stimulation_lock_out=1)

    loop.feed((5.0, "a"), (4.5, "from before"), (1.0, "from a clock that was set back"))

    assert [text for _, text in loop.given] == ["a", "from a clock that was set back"]


# --- beginning, ending, faults ------------------------------------------------------------------


def test_a_reset_drops_what_waits_and_ends_the_lock_outs() -> None:
    node, loop = delayed(delay=1, detection_lock_out=100, stimulation_lock_out=100)
    loop.feed((1.0, "a"), (1.1, "b"))

    node.reset()
    counts = (node.n_waiting, node.n_detection_locked_out, node.n_dropped)
    loop.feed((2.0, "c"))
    loop.clock.advance(10)

    assert counts == (0, 0, 0)
    assert loop.given == [(3.0, "c")]


def test_a_new_epoch_drops_and_counts_what_waits() -> None:
    node, loop = delayed(delay=1, detection_lock_out=100)
    loop.feed((1.0, "a"))

    loop.announce("events", new_epoch=True)
    loop.feed((1.5, "b"))
    loop.clock.advance(10)

    assert loop.given == [(2.5, "b")]
    assert node.n_dropped == 1


def test_nothing_is_given_after_the_end() -> None:
    _, loop = delayed(delay=1)
    loop.feed((1.0, "a"))

    loop.end()
    loop.clock.advance(10)

    assert loop.given == []


def test_a_run_begins_with_no_lock_out_of_the_last_one() -> None:
    node, loop = delayed(delay=0.1, detection_lock_out=1000)
    loop.feed((1.0, "a"))
    loop.clock.advance(2)
    loop.runner.finish()

    loop.runner.begin_run()
    loop.start()
    loop.feed((3.0, "b"))
    loop.clock.advance(4)

    assert loop.given == [(1.1, "a"), (3.1, "b")]
    assert node.n_given == 1


@pytest.mark.parametrize("delay", [0.0, 0.5])
@pytest.mark.parametrize("stamp", [np.nan, np.inf, -np.inf])
def test_a_stamp_that_is_no_time_is_counted_and_locks_nothing_out(
    delay: float, stamp: float
) -> None:
    node, loop = delayed(delay=delay, detection_lock_out=1, stimulation_lock_out=1)

    loop.feed((stamp, "broken"), (1.0, "a"))
    loop.clock.advance(5)

    assert loop.given == [(1.0 + delay, "a")]
    assert node.n_not_finite == 1


def test_a_stamp_of_the_far_future_waits_and_holds_up_nothing() -> None:
    node, loop = delayed(delay=1)

    loop.feed((1e300, "never"), (1.0, "a"))
    loop.clock.advance(10_000)

    assert loop.given == [(2.0, "a")]
    assert node.n_waiting == 1

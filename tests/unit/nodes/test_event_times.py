from __future__ import annotations

import math

import pytest

from rigmesh.node import Node
from rigmesh.node.testing import TestRuntime
from rigmesh.streams import ClockModel
from rigmesh_nodes._event_times import Alarm, LockOut, RateLimit, Waiting, to_raw


def test_a_lock_out_counts_from_the_last_event_that_passed() -> None:
    lock_out = LockOut()

    passed = [time for time in (0.0, 0.6, 1.0, 1.9, 2.2) if lock_out.passes(time, 1.0)]

    assert passed == [0.0, 1.0, 2.2]


def test_in_no_second_more_than_the_limit_passes() -> None:
    limit = RateLimit(3)
    times = [i / 10 for i in range(50)]

    passed = [time for time in times if limit.passes(time)]

    assert max(sum(t <= time < t + 1 for time in passed) for t in times) == 3
    assert len(passed) == 15


def test_what_waits_comes_when_it_is_due_and_in_that_order() -> None:
    waiting: Waiting[str] = Waiting()
    for due, item in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (1.0, "a again")]:
        waiting.put(due, item)

    first = waiting.take(2.0)

    assert first == [(1.0, "a"), (1.0, "a again"), (2.0, "b")]
    assert (len(waiting), waiting.next_due) == (1, 3.0)
    assert waiting.clear() == 1
    assert (len(waiting), waiting.next_due) == (0, math.inf)


def test_only_so_much_can_wait() -> None:
    waiting: Waiting[int] = Waiting(most=2)

    assert [waiting.put(1.0, i) for i in range(3)] == [True, True, False]


class Sleeper(Node):
    """Waits for alarms."""


def test_an_alarm_rings_once_for_the_earliest_time_until_it_is_set_again() -> None:
    clock, rung = TestRuntime(), []
    node = Sleeper()
    node.runtime = clock
    alarm = Alarm(node, lambda: rung.append(clock.now))

    for when in (5.0, 3.0, 4.0, 3.0):
        alarm.set(when)
    clock.advance(4.5)
    alarm.set(5.0)
    clock.advance(20)

    assert rung == [3.0, 5.0]


def test_an_alarm_for_no_sensible_time_is_looked_at_now_and_then() -> None:
    clock, rung = TestRuntime(), []
    node = Sleeper()
    node.runtime = clock
    alarm = Alarm(node, lambda: rung.append(clock.now))

    alarm.set(math.inf)
    alarm.set(1e300)
    clock.advance(10_000)

    assert rung == [3600.0]


@pytest.mark.parametrize("drift", [0.0, 2e-5])
def test_a_local_time_maps_onto_the_clock_of_a_stream(drift: float) -> None:
    clock = ClockModel(offset=12.5, drift=drift, reference=100.0)

    assert to_raw(clock, clock.to_local(321.25)) == pytest.approx(321.25, abs=1e-9)

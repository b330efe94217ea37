"""Lanes serve in order; timers run in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rigmesh.node.lane import Lane, Timers
from rigmesh.streams import local_clock
from rigmesh.transports.testing import wait_until


@pytest.fixture
def timers() -> Iterator[Timers]:
    timers = Timers()
    yield timers
    timers.close()


def _enter(lane: Lane, entered: threading.Event) -> None:
    with lane:
        entered.set()


def test_threads_get_their_turn_in_the_order_they_came() -> None:
    lane, served, threads = Lane(), list[int](), []

    def take_turn(number: int) -> None:
        with lane:
            served.append(number)

    with lane:
        for number in range(8):
            thread = threading.Thread(target=take_turn, args=(number,))
            thread.start()
            threads.append(thread)
            wait_until(lambda number=number: len(lane._waiting) == number + 1)  # type: ignore[misc]
    for thread in threads:
        thread.join(10)

    assert served == list(range(8))


def test_the_holder_may_enter_again() -> None:
    lane = Lane()
    entered = threading.Event()
    other = threading.Thread(target=_enter, args=(lane, entered))

    with lane:
        with lane:
            other.start()
            wait_until(lambda: len(lane._waiting) == 1)
        inside = entered.is_set()
    other.join(10)

    assert not inside
    assert entered.is_set()


def test_only_one_thread_is_in_a_lane() -> None:
    lane, inside, most = Lane(), list[int](), list[int]()

    def work(number: int) -> None:
        for _ in range(500):
            with lane:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(most) == 2000
    assert set(most) == {1}


def test_a_lane_is_free_after_an_error() -> None:
    lane = Lane()

    with pytest.raises(ZeroDivisionError), lane:
        _ = 1 / 0
    entered = threading.Event()
    thread = threading.Thread(target=_enter, args=(lane, entered))
    thread.start()
    thread.join(10)

    assert entered.is_set()


def test_timers_run_in_the_order_of_their_times(timers: Timers) -> None:
    ran: list[str] = []
    done = threading.Event()
    now = local_clock()

    timers.call_at(now + 0.09, done.set)
    timers.call_at(now + 0.06, lambda: ran.append("late"))
    timers.call_at(now + 0.03, lambda: ran.append("first of two"))
    timers.call_at(now + 0.03, lambda: ran.append("second of two"))
    done.wait(10)

    assert ran == ["first of two", "second of two", "late"]


def test_a_timer_never_runs_early(timers: Timers) -> None:
    due = local_clock() + 0.05
    ran: list[float] = []

    timers.call_at(due, lambda: ran.append(local_clock()))
    wait_until(lambda: bool(ran))

    assert ran[0] >= due


def test_a_timer_whose_time_is_past_runs_at_once(timers: Timers) -> None:
    ran = threading.Event()

    timers.call_at(local_clock() - 100, ran.set)

    assert ran.wait(10)


def test_a_timer_may_set_another(timers: Timers) -> None:
    ran = threading.Event()

    timers.call_at(0, lambda: timers.call_at(0, ran.set))

    assert ran.wait(10)


def test_closed_timers_run_nothing_any_more() -> None:
    timers, ran = Timers(), threading.Event()
    timers.call_at(local_clock() + 0.02, ran.set)

    timers.close()
    timers.call_at(0, ran.set)

    assert not ran.wait(0.05)


def test_timers_may_be_closed_by_one_of_them() -> None:
    timers, ran = Timers(), threading.Event()

    def close() -> None:
        timers.close()
        ran.set()

    timers.call_at(0, close)

    assert ran.wait(10)


def test_a_timer_that_is_never_due_keeps_no_other_from_running() -> None:
    timers, ran = Timers(), threading.Event()
    timers.call_at(float("inf"), lambda: None)
    timers.call_at(1e300, lambda: None)

    timers.call_at(0.0, ran.set)

    assert ran.wait(20)
    timers.close()

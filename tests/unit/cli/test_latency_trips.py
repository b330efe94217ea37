"""Which message came back when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.cli._latency_trips import RoundTrip, match

sorted_times = st.lists(st.floats(0, 100), max_size=30).map(sorted)


def test_each_message_is_matched_with_its_arrival() -> None:
    assert match([1, 2, 3], [1.25, 2.5, 3.125]) == [0.25, 0.5, 0.125]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_message_shifts_no_other(lost: int) -> None:
    sent = [1.0, 1.5, 2.0]
    received = [left + 0.125 for at, left in enumerate(sent) if at != lost]

    took = match(sent, received)

    assert took == [None if at == lost else 0.125 for at in range(3)]


def test_a_message_that_is_late_is_told_as_late_as_it_was() -> None:
    assert match([1.0, 1.5, 2.0], [1.75, 1.875, 2.125]) == [0.75, 0.375, 0.125]


def test_what_comes_far_too_late_does_not_count() -> None:
    assert match([1.0], [2.5]) == [None]


def test_what_nobody_sent_does_not_count() -> None:
    assert match([5.0], [1.0, 5.25]) == [0.25]


def test_an_arrival_that_is_stamped_before_the_end_of_the_writing_took_no_time() -> None:
    assert match([1.0], [0.9999]) == [0.0]


@given(sorted_times, sorted_times)
def test_no_arrival_counts_twice_and_none_is_negative(
    sent: list[float], received: list[float]
) -> None:
    took = match(sent, received)

    found = [each for each in took if each is not None]
    assert len(took) == len(sent)
    assert len(found) <= len(received)
    assert all(0 <= each <= 1 for each in found)


def test_a_round_trip_counts_what_was_sent_within_its_time() -> None:
    trip = RoundTrip("ttl.fired", "ttl_in.events", [1.0, 2.0, 3.0, 4.0], [1.1, 2.1, 4.1])

    histogram, n_missing = trip.histogram(1.5, 3.5)

    assert (histogram.total, n_missing) == (1, 1)
    assert histogram.percentile(50) == pytest.approx(0.1, rel=0.07)


def test_a_round_trip_is_complete_when_all_has_come_back() -> None:
    trip = RoundTrip("ttl.fired", "ttl_in.events", [1.0, 2.0, 3.0], [1.1, 2.1])

    assert trip.is_complete(2.5)
    assert not trip.is_complete(3.5)

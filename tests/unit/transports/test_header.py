"""The words at the beginning of a ring."""

from __future__ import annotations

import pytest

from rigmesh.errors import StreamError
from rigmesh.streams import IDENTITY, Cause, ClockModel, Gap, StreamInfo
from rigmesh.transports.layout import HEADER_BYTES, Geometry, Header
from rigmesh.transports.ring import capacity_for, open_ring


@pytest.fixture
def header() -> Header:
    header = Header(memoryview(bytearray(HEADER_BYTES)))
    header.initialise(Geometry(100, 0, 10), 2, 1234, first=0, blocking=False)
    return header


def test_a_ring_of_another_layout_is_refused(header: Header) -> None:
    header.words[Header.VERSION] = 99

    with pytest.raises(StreamError, match="ring layout 99, this rigmesh reads 2"):
        header.geometry("ring")


def test_a_piece_of_memory_that_is_too_small_is_refused() -> None:
    with pytest.raises(StreamError, match="too small"):
        open_ring(memoryview(bytearray(100)), "ring")


def test_a_clock_that_was_never_set_is_the_local_one(header: Header) -> None:
    assert header.clock is IDENTITY


def test_the_last_clock_model_is_the_one_in_use(header: Header) -> None:
    models = [ClockModel(float(n), n / 10, n / 100, n / 1000) for n in range(1, 6)]

    for model in models:
        header.clock = model

    assert header.clock == models[-1]


def test_the_first_gaps_are_told_one_by_one(header: Header) -> None:
    gaps = [Gap(Cause.DEVICE, 2, index, 3) for index in range(100)]

    for gap in gaps:
        header.add_gap(gap)

    assert header.gaps_since(0, 0) == (100, gaps)


def test_gaps_that_were_written_over_are_told_as_one(header: Header) -> None:
    for index in range(1000):
        header.add_gap(Gap(Cause.DEVICE, 2, index, 3))

    count, gaps = header.gaps_since(10, 30)

    assert count == 1000
    assert sum(gap.count for gap in gaps) == header.lost - 30 == 2970
    assert (gaps[0].exact, gaps[0].index) == (False, gaps[1].index)


def test_gaps_before_a_sample_are_counted_with_what_they_lost(header: Header) -> None:
    for index in (5, 10, 10, 20):
        header.add_gap(Gap(Cause.DEVICE, 2, index, 7))

    assert header.gaps_before(10, 0) == (1, 7)
    assert header.gaps_before(11, 0) == (3, 21)
    assert header.gaps_before(10, 2) == (2, 14)
    assert header.gaps_before(0, 0) == (0, 0)


def test_a_slot_keeps_a_long_name_as_far_as_it_fits(header: Header) -> None:
    slot = header.slot(3)

    slot.claim(1, "å" * 100, "/bell", lossless=True, start=5)

    assert slot.name.startswith("å" * 31)
    assert slot.is_named("å" * 100)
    assert not slot.is_named("å")
    assert slot.bell == "/bell"


def test_slots_do_not_touch_each_other(header: Header) -> None:
    for number in range(32):
        header.slot(number).claim(number, f"r{number}", f"/b{number}", lossless=False, start=number)

    slots = [header.slot(number) for number in range(32)]

    assert [slot.name for slot in slots] == [f"r{number}" for number in range(32)]
    assert [slot.cursor for slot in slots] == list(range(32))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (StreamInfo.signal("s", channels=4, sampling_rate=1000.0), 10_000),
        (StreamInfo.signal("s", channels=4, sampling_rate=0.5), 64),
        (StreamInfo.signal("s", channels=4, sampling_rate=0.0), 16_384),
        (StreamInfo.signal("s", channels=4096, sampling_rate=0.0), 512),
        (StreamInfo.markers("m"), 16_384),
    ],
)
def test_a_ring_is_sized_in_seconds(info: StreamInfo, expected: int) -> None:
    assert capacity_for(info, 10.0) == expected


def test_each_chunk_is_stamped(header: Header) -> None:
    assert header.stamps_of(0) == (0, 0)

    for number in range(1, 200):
        header.stamp(10 * number, 1000 + number, 2000 + number)

    for number in range(140, 200):
        for index in (10 * number - 10, 10 * number - 1):
            assert header.stamps_of(index) == (1000 + number, 2000 + number)


def test_a_chunk_stamped_long_ago_counts_as_the_oldest_that_is_known(header: Header) -> None:
    for number in range(1, 200):
        header.stamp(10 * number, 1000 + number, 2000 + number)

    received, _ = header.stamps_of(5)

    assert 1001 < received < 1140

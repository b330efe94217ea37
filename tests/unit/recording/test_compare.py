"""Two recordings of one stream: the same, or what differs and where it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.recording import Capture, open_recording
from rigmesh.recording.compare import StreamComparison, compare_streams, parts_by_name
from rigmesh.streams import Cause, Chunk, Frames, Gap, Markers, Signal, StreamInfo

INFO = StreamInfo.signal("amp.signal", channels=["Cz", "Pz"], sampling_rate=100, unit="uV")
EVENTS = StreamInfo.markers("box.events")

Compare = Callable[..., StreamComparison]


@pytest.fixture
def compared(tmp_path: Path) -> Compare:
    """Records two lots of chunks and compares the first with the second."""

    def compare(first: Sequence[Chunk], second: Sequence[Chunk], **more: Any) -> StreamComparison:
        folders = []
        for name, chunks in (("a.h5", first), ("b.h5", second)):
            capture = Capture.create(tmp_path / name, "run", {})
            for chunk in chunks:
                capture.append(chunk)
            capture.finish()
            folders.append(tmp_path / name)
        with open_recording(folders[0]) as one, open_recording(folders[1]) as other:
            (recorded,), (found,) = parts_by_name(one).values(), parts_by_name(other).values()
            return compare_streams(recorded, found, **more)

    return compare


def signal(
    n: int = 50, *, index: int = 0, epoch: int = 0, gaps: Sequence[Gap] = (),
    at: float | None = None, info: StreamInfo = INFO, change: Any = None,
) -> Signal:  # fmt: skip
    """Make samples that carry their numbers, every 1/128 s: stamps that are exact."""
    numbers = np.arange(index, index + n)
    data = np.stack([numbers, -numbers], axis=1).astype(info.dtype)
    if change is not None:
        change(data)
    stamps = (10 + index / 128 if at is None else at) + np.arange(n) / 128
    return Signal(data, stamps, index=index, epoch=epoch, gaps=tuple(gaps), info=info)


def events(*given: tuple[float, str]) -> list[Chunk]:
    texts = [text for _, text in given]
    return [Markers(texts, np.array([time for time, _ in given]), info=EVENTS)]


def test_the_same_is_the_same_however_it_was_cut(compared: Compare) -> None:
    found = compared([signal(50)], [signal(20), signal(30, index=20)])

    assert found.is_same
    assert str(found) == "amp.signal: max |Δ| = 0"


def test_the_first_sample_that_differs_is_named(compared: Compare) -> None:
    def change(data: Any) -> None:
        data[20, 1] += 0.25
        data[30, 0] -= 2.0

    found = compared([signal()], [signal(change=change)])

    assert not found.is_same
    assert (found.n_differing, found.largest) == (2, 2.0)
    assert found.first == (0, 20)
    assert found.first_time == 10 + 20 / 128


@pytest.mark.parametrize(("atol", "is_same"), [(0.0, False), (0.2, False), (0.25, True)])
def test_values_may_differ_by_what_is_allowed(
    compared: Compare, atol: float, is_same: bool
) -> None:
    def change(data: Any) -> None:
        data[20, 1] += 0.25

    found = compared([signal()], [signal(change=change)], atol=atol)

    assert found.is_same is is_same
    assert found.largest == 0.25


@pytest.mark.parametrize(
    ("one", "other", "largest"),
    [
        (np.nan, np.nan, 0.0), (np.inf, np.inf, 0.0), (0.0, -0.0, 0.0), (np.nan, 1.0, math.inf),
        (np.inf, -np.inf, math.inf), (np.inf, 1e300, math.inf),
    ],
)  # fmt: skip
def test_odd_numbers_are_compared(
    compared: Compare, one: float, other: float, largest: float
) -> None:
    def put(value: float) -> Any:
        return lambda data: data.__setitem__((3, 0), value)

    found = compared([signal(change=put(one))], [signal(change=put(other))])

    assert found.largest == largest
    assert found.is_same is (largest == 0.0)


@pytest.mark.parametrize(
    ("dtype", "one", "other", "largest"),
    [
        ("int64", 2**62, 2**62 + 1, 1.0),
        ("int64", -(2**63), 2**63 - 1, 2.0**64),
        ("uint64", 0, 2**64 - 1, 2.0**64),
        ("int8", -128, 127, 255.0),
        ("uint8", 3, 1, 2.0),
    ],
)
def test_integers_are_compared_exactly(
    compared: Compare, dtype: str, one: int, other: int, largest: float
) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100, dtype=dtype)
    first, second = (
        Signal(np.full((5, 1), value, dtype), np.arange(5.0), info=info) for value in (one, other)
    )

    found = compared([first], [second])

    assert (found.n_differing, found.largest) == (5, largest)


def test_samples_are_paired_by_epoch_and_index(compared: Compare) -> None:
    lost = Gap(Cause.OVERRUN, 0, 30, 10, 0.1)
    recorded = [signal(20), signal(20, index=30, gaps=[lost]), signal(10, epoch=1, at=20)]

    found = compared(recorded, [signal(50), signal(10, epoch=1, at=20)])

    assert found.is_same  # what the recorder was too slow for is nobody's result
    assert (found.n_recorded, found.n_replayed) == (50, 60)


def test_samples_that_are_missing_or_extra_are_counted(compared: Compare) -> None:
    missing = compared([signal(50), signal(10, epoch=1, at=20)], [signal(40)])

    assert (missing.missing, missing.extra, missing.n_differing) == (20, 0, 0)


def test_more_samples_than_were_recorded_are_counted(compared: Compare) -> None:
    found = compared([signal(40)], [signal(50)])

    assert (found.missing, found.extra) == (0, 10)


def test_what_was_counted_from_elsewhere_is_paired_by_its_stamps(compared: Compare) -> None:
    same = signal(30, index=20)
    later = Signal(same.data, same.raw_timestamps, index=700, info=INFO)

    found = compared([later], [signal(50)])

    assert (found.missing, found.extra, found.n_differing) == (0, 20, 0)


def test_other_stamps_are_a_difference(compared: Compare) -> None:
    found = compared([signal()], [signal(at=10.001)])

    assert not found.is_same
    assert found.n_differing == 50
    assert found.largest_stamp == pytest.approx(0.001)
    assert "stamps" in found.remarks[0]


def test_other_descriptions_are_told(compared: Compare) -> None:
    other = StreamInfo.signal(
        "amp.signal", channels=["Cz", "Oz"], sampling_rate=100, unit="uV", dtype="float32"
    )

    found = compared([signal()], [signal(info=other)])

    assert found.remarks == [
        "dtype: float64, now float32", "channels: Pz (uV), now Oz (uV)",
    ]  # fmt: skip
    assert not found.n_differing


def test_another_number_of_channels_is_no_pair(compared: Compare) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100)
    other = Signal(np.zeros((50, 1)), signal().raw_timestamps, info=info)

    found = compared([signal()], [other])

    assert (found.missing, found.extra) == (50, 50)
    assert found.remarks[0] == "sample_shape: (2,), now (1,)"


def test_gaps_of_the_device_are_compared(compared: Compare) -> None:
    gap = Gap(Cause.DEVICE, 0, 20, 7, 0.07)
    recorded = [signal(20), signal(20, index=20, gaps=[gap], at=11)]

    same = compared(recorded, recorded)

    assert same.is_same


def test_gaps_that_are_gone_are_told(compared: Compare) -> None:
    gap = Gap(Cause.DEVICE, 0, 20, 7, 0.07)
    recorded = [signal(20), signal(20, index=20, gaps=[gap], at=11)]

    found = compared(recorded, [signal(20), signal(20, index=20, at=11)])

    assert found.remarks == ["gaps: 1 of 7 samples, now 0 of 0 samples"]


def test_pictures_are_compared(compared: Compare) -> None:
    info = StreamInfo.frames("cam.out", shape=(4, 6), sampling_rate=30)
    pictures = np.zeros((5, 4, 6), np.uint8)
    other = pictures.copy()
    other[3, 2, 1] = 9

    found = compared(
        [Frames(pictures, np.arange(5) / 30, info=info)],
        [Frames(other, np.arange(5) / 30, info=info)],
    )

    assert (found.n_differing, found.largest, found.first) == (1, 9.0, (0, 3))


def test_events_are_compared_by_time_and_text(compared: Compare) -> None:
    recorded = events((1.0, "a"), (2.0, "b"), (2.0, "b"), (3.0, "c"))

    found = compared(recorded, events((1.0, "a"), (2.0, "b"), (2.5, "x"), (3.0, "d")))

    assert (found.missing, found.extra) == (2, 2)
    assert str(found) == "box.events 2/4 identical"
    assert [(e.time, e.text, e.is_recorded) for e in found.events] == [
        (2.0, "b", True), (2.5, "x", False), (3.0, "c", True), (3.0, "d", False),
    ]  # fmt: skip
    assert found.first_time == 2.0


def test_the_order_of_events_counts(compared: Compare) -> None:
    found = compared(events((1.0, "a"), (1.0, "b")), events((1.0, "b"), (1.0, "a")))

    assert not found.is_same
    assert found.remarks == ["the same events in another order"]


def test_only_some_of_many_differing_events_are_listed(compared: Compare) -> None:
    found = compared(events(*((float(n), "a") for n in range(500))), events((-1.0, "b")))

    assert (found.missing, found.extra, len(found.events)) == (500, 1, 10)


def test_a_stream_that_is_not_there_is_missing(compared: Compare, tmp_path: Path) -> None:
    compared([signal()], [signal()])

    with open_recording(tmp_path / "a.h5") as one:
        (recorded,) = parts_by_name(one).values()
        found = compare_streams(recorded, [])

    assert not found.is_same
    assert found.missing == 50


@given(st.lists(st.integers(-3, 3), max_size=30), st.lists(st.integers(-3, 3), max_size=30))
def test_a_difference_is_found_whatever_it_is(one: list[int], other: list[int]) -> None:
    from rigmesh.recording.compare import _apart

    n = min(len(one), len(other))
    if not n:
        return
    first, second = (np.array(each[:n])[:, None] for each in (one, other))

    assert _apart(first, second).tolist() == [abs(a - b) for a, b in zip(one, other, strict=False)]

"""Rows by time and times by row, holes, and traces between two times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.display import timeline
from rigmesh.display.timeline import Timeline, begin_of
from rigmesh.recording import EpochRows, RecordedStream, RowGap
from rigmesh.streams import Cause, Gap, StreamInfo

RATE = 100.0


def stream_of(
    stamps: npt.NDArray[np.float64],
    *,
    gaps: tuple[RowGap, ...] = (),
    epochs: tuple[EpochRows, ...] = (),
    rate: float = RATE,
    n_channels: int = 1,
) -> RecordedStream:
    info = StreamInfo.signal("amp", channels=n_channels, sampling_rate=rate, dtype="int32")
    data = np.arange(len(stamps))[:, None] + np.zeros(n_channels, int)
    return RecordedStream(
        "amp", info, 1, data.astype(np.int32), stamps, stamps, epochs=epochs, gaps=gaps
    )


def even(n: int, start: float = 50.0) -> npt.NDArray[np.float64]:
    return start + np.arange(n) / RATE


class Counted:
    """Stamps that count how many of them are read."""

    def __init__(self, stamps: npt.NDArray[np.float64]) -> None:
        self._stamps = stamps
        self.n_read = 0

    def __len__(self) -> int:
        return len(self._stamps)

    def __getitem__(self, wanted: slice) -> Any:
        found = self._stamps[wanted]
        self.n_read += len(found)
        return found


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "_BLOCK", 64)


@pytest.mark.parametrize("n", [1, 100, 5000])
def test_a_row_is_found_by_its_time(n: int) -> None:
    random = np.random.default_rng(1)
    stamps = even(n) + random.uniform(0, 0.4 / RATE, n) + np.arange(n) ** 2 * 1e-7
    line = Timeline(stream_of(stamps))

    for time in [*random.uniform(stamps[0] - 1, stamps[-1] + 1, 200), *stamps[:: n // 10 or 1]]:
        assert line.row_at(time) == np.searchsorted(stamps, time)


def test_times_of_neighbours_are_exact_and_those_far_apart_nearly() -> None:
    stamps = even(5000) + np.random.default_rng(2).uniform(0, 0.4 / RATE, 5000)
    line = Timeline(stream_of(stamps))

    near = line.times(np.arange(1000, 1100))
    far = line.times(np.arange(0, 5001, 100))

    np.testing.assert_array_equal(near, stamps[1000:1100])
    np.testing.assert_allclose(far[:-1], stamps[::100], atol=1 / RATE)
    assert far[-1] == pytest.approx(stamps[-1] + 1 / RATE)


def test_few_stamps_of_a_long_recording_are_read() -> None:
    stamps = Counted(even(100_000))
    line = Timeline(RecordedStream("amp", stream_of(even(1)).info, 1, stamps, stamps, stamps))

    line.row_at(333.3)
    line.row_at(333.4)

    assert stamps.n_read < 40 * 64


def test_a_time_in_a_gap_leads_to_the_row_after_it() -> None:
    stamps = np.concatenate((even(1000), even(1000, start=100.0)))
    line = Timeline(stream_of(stamps, gaps=(RowGap(1000, Gap(Cause.DEVICE, 0, 1000, 4000)),)))

    assert line.row_at(80.0) == 1000


def test_holes_are_gaps_pauses_and_restarts() -> None:
    stamps = np.concatenate((even(100), even(100, 60.0), even(100, 70.0), even(100, 71.0)))
    gaps = (
        RowGap(100, Gap(Cause.OVERRUN, 0, 1000, 900)),
        RowGap(400, Gap(Cause.DISK, 1, 1, 50)),
    )
    epochs = (
        EpochRows(0, 0, 200, 0, None, 900),
        EpochRows(0, 200, 100, 0, None, 0),
        EpochRows(1, 300, 100, 0, None, 50),
    )
    line = Timeline(stream_of(stamps, gaps=gaps, epochs=epochs))

    found = [(h.row, h.cause, h.count, round(h.start, 6), round(h.stop, 6)) for h in
             line.holes(-np.inf, np.inf)]  # fmt: skip

    assert found == [
        (100, "overrun", 900, 51.0, 60.0),
        (200, "pause", 0, 61.0, 70.0),
        (400, "disk", 50, 72.0, 72.5),
    ]
    assert [h.row for h in line.holes(60.5, 65.0)] == [200]


def test_traces_are_the_samples_with_one_more_at_each_side() -> None:
    line = Timeline(stream_of(even(1000)))

    found = line.traces(51.0, 51.1, 1000)

    assert found.is_exact
    assert found.minimum[:, 0].tolist() == list(range(99, 111))
    np.testing.assert_array_equal(found.times, even(1000)[99:111])


def test_traces_of_many_samples_are_their_extremes() -> None:
    line = Timeline(stream_of(even(10_000), n_channels=3))

    found = line.traces(50.0, 150.0, 100, channels=[2])

    assert found.minimum.shape == (100, 1)
    assert found.minimum[0, 0] == 0
    assert found.maximum[-1, 0] == 9999
    assert (np.diff(found.times) > 0).all()


def test_no_line_bridges_a_hole() -> None:
    stamps = np.concatenate((even(1000), even(1000, start=100.0)))
    line = Timeline(stream_of(stamps, gaps=(RowGap(1000, Gap(Cause.DEVICE, 0, 1000, 4000)),)))

    exact, coarse = line.traces(59.5, 100.5, 1000), line.traces(50, 110, 7)

    for found in (exact, coarse):
        empty = np.isnan(found.minimum[:, 0])
        assert empty.sum() == 1
        assert found.times[empty][0] == pytest.approx(80.0)
        assert (np.diff(found.times) > 0).all()
        assert not ((found.times[~empty] > 61) & (found.times[~empty] < 99)).any()
    assert np.nanmax(coarse.maximum) == 1999


def test_seconds_are_counted_from_the_recording_unless_that_is_far_away() -> None:
    lines = [Timeline(stream_of(even(10))), Timeline(stream_of(even(0)))]

    assert begin_of(lines, 48.0) == 48.0
    assert begin_of(lines, 1e6) == 50.0
    assert begin_of(lines, None) == 50.0
    assert begin_of([], 7.0) == 7.0


def test_a_stream_without_samples_has_no_rows(tmp_path: Path) -> None:
    line = Timeline(stream_of(even(0)))

    assert line.row_at(1.0) == 0
    assert list(line.holes(0, 100)) == []
    assert len(line.traces(0, 1, 100).times) == 0

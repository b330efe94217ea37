"""Signals as lines of text."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from rich.console import Console

from rigmesh.cli.sparklines import LiveSignals, clipped, columns_for, sparkline
from rigmesh.errors import StreamNotFound, WaitTimeout
from rigmesh.streams import Cause, Chunk, Gap, Markers, Signal, StreamInfo, local_clock
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import StreamCounters
from rigmesh_proto.v1.stream_pb2 import StreamInfo as WireInfo

N = 500


class Played:
    """A reader of chunks that are there already, and then of none."""

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = list(chunks)

    def read(self, timeout: float | None = None) -> Chunk | None:
        if self._chunks:
            return self._chunks.pop(0)
        raise WaitTimeout("nothing more")

    def close(self) -> None:
        pass


def test_a_spike_is_seen_in_either_direction() -> None:
    quiet = np.zeros(9)
    down, up = quiet.copy(), quiet.copy()
    down[3], up[6] = -1.0, 1.0

    assert sparkline(down, up) == "▅▅▅▁▅▅█▅▅"


def test_a_dense_wave_is_a_band_that_does_not_flicker() -> None:
    assert set(sparkline(np.full(20, -1.0), np.full(20, 1.001))) == {"█"}


def test_what_is_missing_is_a_dot_and_what_is_constant_a_line() -> None:
    constant = np.array([3.0, np.nan, 3.0])

    assert sparkline(constant, constant) == "▅·▅"
    assert sparkline(np.full(4, np.nan), np.full(4, np.nan)) == "····"


def test_texts_that_would_move_the_cursor_do_not() -> None:
    assert clipped(["a\x1b[2J", "b\nc"], 40) == "a [2J │ b c"
    assert clipped(["x" * 50], 10) == "…" + "x" * 9


@pytest.fixture
def live() -> Iterator[LiveSignals]:
    now = local_clock()
    amp = StreamInfo.signal(
        "amp.signal", channels=["Cz", "Pz", "O1", "O2", "Oz"], sampling_rate=100, unit="uV"
    )
    # The last column need not be whole.
    data = np.minimum(np.arange(N), 399)[:, None] * np.ones(5) / 10
    stamps = now - N / 100 + np.arange(N) / 100
    readers = {
        "amp.signal": Played(Signal(data, stamps, info=amp)),
        "marks.markers": Played(
            Markers(["go", "[red]stop"], np.array([now, now]), info=StreamInfo.markers("marks"))
        ),
    }

    def open_reader(name: str) -> Played:
        if name not in readers:
            raise StreamNotFound(f"{name} has not begun")
        return readers[name]

    with LiveSignals(open_reader, 120, 30) as made:
        yield made


def shown(live: LiveSignals, *names: str) -> str:
    status = pb.Status(
        streams=[
            WireInfo(name=name, kind="markers" if "marks" in name else "signal") for name in names
        ],
        stream_counters=[StreamCounters(stream=name, produced=5, time=1.0) for name in names],
    )
    console = Console(width=140, file=io.StringIO())
    with console.capture() as captured:
        console.print(live.draw(status))
    return captured.get()


def test_channels_are_lines_with_their_range(live: LiveSignals) -> None:
    shown(live, "amp.signal")
    text = ""
    while "0 … 39.9 uV" not in text:
        text = shown(live, "amp.signal")

    assert "Cz" in text
    assert "O2 +1" in text
    assert "█" in text


def test_markers_are_shown_as_texts_and_counted(live: LiveSignals) -> None:
    text = ""
    while "2 events" not in text:
        text = shown(live, "marks.markers")

    assert "go │ [red]stop" in text


def test_a_stream_that_has_not_begun_says_so(live: LiveSignals) -> None:
    text = ""
    while "has not begun" not in text:
        text = shown(live, "other.signal")

    assert "waiting" in text


@pytest.mark.parametrize("rate", [0.5, 1, 3, 8, 100, 250, 460, 500, 1000, 2000, 30_000, 96_000])
@pytest.mark.parametrize("most", [16, 62, 72])
def test_the_columns_are_the_last_ten_seconds(rate: float, most: int) -> None:
    factor, n = columns_for(rate, most)

    assert n <= most
    assert n * factor / rate == pytest.approx(10, abs=factor / rate / 2 + 1e-9)


def test_a_slow_signal_shows_ten_seconds_only() -> None:
    info = StreamInfo.signal("slow.signal", channels=1, sampling_rate=1)
    stamps = local_clock() - 60 + np.arange(60.0)
    chunk = Signal(np.arange(60.0)[:, None], stamps, info=info)

    text = _until_range(chunk, "slow.signal", "59")

    assert "50 … 59" in text


def test_a_gap_of_an_irregular_integer_signal_is_not_drawn_as_zero() -> None:
    info = StreamInfo.signal("gaze.signal", channels=1, sampling_rate=0, dtype="int16")
    now = local_clock()
    first = Signal(np.full((20, 1), 700, np.int16), np.linspace(now - 8, now - 6.1, 20), info=info)
    gap = Gap(Cause.DEVICE, 0, 40, 20, 2.0)
    second = Signal(
        np.full((20, 1), 800, np.int16), np.linspace(now - 4, now - 2.1, 20), index=40, gaps=(gap,),
        info=info,
    )  # fmt: skip

    text = _until_range(first, "gaze.signal", "800", second)

    assert "700 … 800" in text


def _until_range(chunk: Chunk, name: str, newest: str, *more: Chunk) -> str:
    """Show a stream until its newest value is in its range."""
    with LiveSignals(lambda _: Played(chunk, *more), 120, 30) as live:
        text = ""
        while newest not in text:
            text = shown(live, name)
    return text

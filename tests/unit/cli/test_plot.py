"""Recordings and streams as figures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.cli._plot_collect import Collector
from rigmesh.cli._plot_draw import draw, save
from rigmesh.cli._plot_picture import Channels, Events, Picture, Signals, picture_of
from rigmesh.cli.plot import plot
from rigmesh.errors import GraphError, RecordingError, UnknownName
from rigmesh.recording import Capture, RecordedStream, RowGap, recover
from rigmesh.streams import Cause, ChannelInfo, Gap, Markers, Signal, StreamInfo

AMP = StreamInfo.signal("amp.signal", channels=["Cz", "Pz", "2"], sampling_rate=100, unit="uV")
BODY = StreamInfo.signal(
    "body.signal", channels=[ChannelInfo("ECG", "mV"), ChannelInfo("resp", "V")], sampling_rate=50
)
MARKS = StreamInfo.markers("marks.markers")
ODD = "<b>$x^2$ & \x1b"
FIRST = 1000.0


def signal(info: StreamInfo, n: int, *, gap: int = 0) -> RecordedStream:
    stamps = FIRST + np.arange(n) / info.sampling_rate
    gaps: tuple[RowGap, ...] = ()
    if gap:
        stamps[gap:] += 2.0
        missing = round(2 * info.sampling_rate)
        gaps = (RowGap(gap, Gap(Cause.DEVICE, 0, gap + missing, missing)),)
    data = np.sin(np.arange(n)[:, None] / 7) * np.arange(1, info.n_channels + 1)
    return RecordedStream(info.name, info, 1, data, stamps, stamps, gaps=gaps)


def marks(times: list[float], texts: list[str]) -> RecordedStream:
    stamps = FIRST + np.array(times)
    return RecordedStream(MARKS.name, MARKS, 1, texts, stamps, stamps)


def drawn(picture: Picture, **more: Any) -> Any:
    return draw(picture, title="session", **more)


# --- what is drawn -------------------------------------------------------------------------------


def test_samples_and_events_are_taken_from_the_window() -> None:
    streams = [marks([0.5, 2.0, 2.5, 9.0], ["a", "b", "c", "d"]), signal(AMP, 1000)]

    picture = picture_of(streams, FIRST, (2.0, 3.0), Channels(""), 5000)

    events, amp = picture.panels
    assert isinstance(events, Events)
    assert isinstance(amp, Signals)
    assert (list(events.texts), events.n) == (["b", "c"], 2)
    np.testing.assert_allclose(amp.times[[0, -1]], [1.99, 3.0], atol=0.011)
    assert (picture.start, picture.stop) == (2.0, 3.0)


def test_without_a_window_all_is_drawn() -> None:
    picture = picture_of([signal(AMP, 1000, gap=500)], FIRST, (None, None), Channels(""), 200)

    (amp,) = picture.panels
    assert isinstance(amp, Signals)
    assert (picture.start, picture.stop) == pytest.approx((0.0, 11.99))
    assert [(hole.start, hole.stop) for hole in amp.holes] == [pytest.approx((5.0, 7.0))]
    assert np.nanmax(amp.maximum) == pytest.approx(3.0, abs=0.01)
    assert len(amp.times) <= 201


@pytest.mark.parametrize(
    ("asked", "found"),
    [("Pz", ["Pz"]), ("0-1", ["Cz", "Pz"]), ("2,Cz", ["2", "Cz"]), ("1-99", ["Pz", "2"])],
)
def test_channels_are_chosen_by_name_or_number(asked: str, found: list[str]) -> None:
    picture = picture_of([signal(AMP, 100)], FIRST, (None, None), Channels(asked), 100)

    (amp,) = picture.panels
    assert isinstance(amp, Signals)
    assert (list(amp.channels), amp.n_channels) == (found, 3)


def test_a_channel_that_is_nowhere_is_said() -> None:
    with pytest.raises(UnknownName, match=r"no channel 'Oz'.*Cz, Pz"):
        picture_of([signal(AMP, 100)], FIRST, (None, None), Channels("Cz,Oz"), 100)


def test_of_very_many_channels_the_first_are_drawn_and_that_is_said() -> None:
    many = StreamInfo.signal("probe", channels=100, sampling_rate=100)
    picture = picture_of([signal(many, 50)], FIRST, (None, None), Channels(""), 100)

    assert picture.notes == [
        "probe: the first 64 of 100 channels; --channels chooses others"
    ]  # fmt: skip


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(GraphError, match="no samples"):
        picture_of([signal(AMP, 0)], FIRST, (None, None), Channels(""), 100)
    with pytest.raises(GraphError, match="nothing is between 3 and 2 s"):
        picture_of([signal(AMP, 100)], FIRST, (3.0, 2.0), Channels(""), 100)


# --- the figure ----------------------------------------------------------------------------------


def test_the_drawn_line_has_the_samples() -> None:
    picture = picture_of([signal(AMP, 100)], FIRST, (None, None), Channels("Cz"), 100)
    (axes,) = drawn(picture).axes

    line = axes.lines[0]
    times, values = line.get_xdata(), line.get_ydata()
    np.testing.assert_allclose(times, np.arange(100) / 100, atol=1e-9)
    expected = np.sin(np.arange(100) / 7)
    assert np.corrcoef(values, expected)[0, 1] == pytest.approx(1.0)
    assert axes.get_xlabel() == "time (s)"
    assert any(text.get_text().endswith("µV") for text in axes.texts)


def test_panels_gaps_and_labels_are_there(tmp_path: Path) -> None:
    streams = [marks([1.0, 2.0], [ODD, "go"]), signal(AMP, 500, gap=200), signal(BODY, 400)]
    picture = picture_of(streams, FIRST, (None, None), Channels(""), 300)
    figure = drawn(picture, dark=True)
    save(figure, tmp_path / "a.svg")

    events, amp, body = figure.axes
    assert {text.get_text() for text in events.texts} == {"<b>$x^2$ &", "go"}
    assert len(amp.patches) == 1
    assert "resp (" in body.get_yticklabels()[1].get_text()
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "&lt;b&gt;$x^2$ &amp;" in text
    assert "amp.signal" in text


def test_many_events_of_few_kinds_are_rows() -> None:
    times = np.linspace(0, 9, 200).tolist()
    picture = picture_of(
        [marks(times, ["left", "right"] * 100)], FIRST, (None, None), Channels(""), 100
    )
    (events,) = drawn(picture).axes

    assert [label.get_text() for label in events.get_yticklabels()] == ["left", "right"]


def test_the_same_picture_makes_the_same_file(tmp_path: Path) -> None:
    picture = picture_of([signal(AMP, 100)], FIRST, (None, None), Channels(""), 100)
    for name in ("a.svg", "b.svg", "a.png", "b.png", "a.pdf"):
        save(drawn(picture, size=(4.0, 2.0)), tmp_path / name, 50)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_signals_without_a_finite_value_are_drawn_empty() -> None:
    data = np.full((50, 3), np.nan)
    data[0] = np.inf
    stamps = FIRST + np.arange(50) / 100
    stream = RecordedStream("amp", AMP, 1, data, stamps, stamps)

    drawn(picture_of([stream], FIRST, (None, None), Channels(""), 100)).canvas.draw()


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A recording that has not been sealed."""
    capture = Capture.create(tmp_path / "session.h5", "run-1", {})
    data: npt.NDArray[np.float64] = np.zeros((300, 3))
    stamps = FIRST + np.arange(300) / 100
    capture.append(Signal(data, stamps, info=AMP))
    capture.append(Markers(["go"], np.array([FIRST + 1]), info=MARKS))
    capture.finish({"amp.signal": {0: (0, 300)}, "marks.markers": {0: (0, 1)}})
    return tmp_path / "session.h5"


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_recording_is_drawn_also_before_it_is_sealed(
    grown: Path, tmp_path: Path, is_sealed: bool
) -> None:
    if is_sealed:
        recover(grown)
    plot([str(grown)], tmp_path / "out.svg", streams=["amp.signal"], channels="Cz")

    text = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert "session.h5" in text
    assert "amp.signal" in text
    assert "marks.markers" not in text


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"output": Path("a.jpg")}, GraphError, r"a\.jpg ends in \.jpg"),
        ({"size": "big"}, GraphError, "--size 'big'"),
        ({"size": "900x2"}, GraphError, "1 to 100 inches"),
        ({"what": ["none/such.h5"]}, RecordingError, "no recording none/such.h5"),
        ({"streams": ["amp"]}, UnknownName, "no stream 'amp'.*amp.signal"),
        ({"output": Path("none/a.png")}, GraphError, "cannot write none/a.png"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    grown: Path, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        plot(**{"what": [str(grown)], "output": Path("a.png"), **arguments})


def test_seconds_of_a_stream_are_kept_as_if_recorded() -> None:
    kept = Collector()
    kept.describe(AMP)
    for first, gaps in ((0, ()), (50, (Gap(Cause.OVERRUN, 0, 50, 20),))):
        stamps = FIRST + np.arange(first, first + 30) / 100
        kept.take(Signal(np.full((30, 3), first), stamps, index=first, gaps=gaps))
    kept.take(Signal(np.zeros((5, 3)), FIRST + 2 + np.arange(5) / 100, epoch=1))

    stream = kept.stream()

    assert stream is not None
    assert len(stream) == 65
    assert [found.row for found in stream.gaps] == [30]
    assert [(e.epoch, e.first_row, e.n) for e in stream.epochs] == [(0, 0, 60), (1, 60, 5)]
    assert stream.data[30:31][0].tolist() == [50, 50, 50]


def test_a_stream_of_another_format_is_kept_anew() -> None:
    kept = Collector()
    kept.describe(AMP)
    kept.take(Signal(np.zeros((5, 3)), np.arange(5.0)))
    kept.describe(BODY)
    kept.take(Signal(np.zeros((4, 2)), np.arange(4.0)))

    stream = kept.stream()

    assert stream is not None
    assert (stream.info.name, len(stream)) == ("body.signal", 4)

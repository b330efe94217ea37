"""What a browser is sent of a stream: each column once, to pixel width, and never a queue."""

from __future__ import annotations

import io
import threading
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh.display import Feed, MarkerBuffer, SignalBuffer
from rigmesh.recording.pyramid import Envelope
from rigmesh.streams import Cause, Gap, Markers, Signal, StreamInfo, local_clock
from rigmesh.web import thumbnails
from rigmesh.web.feeds import Looked
from rigmesh.web.live_messages import factor_of, pack, unpack
from rigmesh.web.live_view import LiveView, View
from rigmesh.web.live_window import signal_window
from rigmesh.web.thumbnails import encode, shrunk

RATE = 1000.0
NAME = "amp.signal"


class _Silent:
    """A feed whose buffer is filled by hand."""

    state, error, n_lost, age = "live", "", 0, 0.01


def _looked(buffer: SignalBuffer | MarkerBuffer, kind: str = "signal") -> Looked:
    return Looked("socket", NAME, kind, buffer, cast("Feed", _Silent()))


def _signal(n_channels: int = 2) -> SignalBuffer:
    buffer = SignalBuffer(20.0)
    buffer.describe(StreamInfo.signal(NAME, channels=n_channels, sampling_rate=RATE, unit="uV"))
    return buffer


def _feed(buffer: SignalBuffer, first: int, n: int, *, gaps: tuple[Gap, ...] = ()) -> None:
    numbers = np.arange(first, first + n, dtype=np.float32)
    data = np.stack([numbers, -numbers], axis=1)
    stamps = 100.0 + numbers.astype(np.float64) / RATE
    buffer.take(Signal(data, stamps, index=first, gaps=gaps, info=buffer.info))


def _view_of(buffer: SignalBuffer, *, seconds: float, width: int) -> LiveView:
    view = LiveView()
    view.show(View((NAME,), seconds, width))
    view.look_at({NAME: _looked(buffer)})
    return view


def _columns(message: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return times, least and greatest values by channel."""
    header, payload = unpack(message)
    told = header["streams"][0]["columns"]
    n, n_channels, at = told["n"], told["n_channels"], told["offset"]
    times = np.frombuffer(payload, np.float64, n, at)
    at += 8 * n
    least = np.frombuffer(payload, np.float32, n * n_channels, at).reshape(n_channels, n)
    at += -(-4 * n * n_channels // 8) * 8
    greatest = np.frombuffer(payload, np.float32, n * n_channels, at).reshape(n_channels, n)
    return times, least, greatest


def test_a_message_is_taken_apart_as_it_was_put_together() -> None:
    header, payload = unpack(pack({"a": "µ"}, [b"12345", b"6"]))

    assert header == {"a": "µ"}
    assert payload == b"12345\0\0\0" + b"6" + b"\0" * 7


@pytest.mark.parametrize(("seconds", "width", "factor"), [(2.0, 2000, 1), (4.0, 1000, 4)])
def test_messages_one_after_the_other_hold_each_column_once(
    seconds: float, width: int, factor: int
) -> None:
    buffer = _signal()
    view = _view_of(buffer, seconds=seconds, width=width)
    times, least, greatest = [], [], []

    for first in range(0, 1200, 60):
        _feed(buffer, first, 60)
        found = _columns(view.message({}))
        times.append(found[0])
        least.append(found[1])
        greatest.append(found[2])

    edges = np.arange(0, 1200, factor)
    assert np.array_equal(np.concatenate(least, axis=1)[0], edges)
    assert np.array_equal(np.concatenate(greatest, axis=1)[0], edges + factor - 1)
    assert np.array_equal(np.concatenate(greatest, axis=1)[1], -edges)
    middles = 100.0 + (edges + (factor - 1) / 2) / RATE
    assert np.allclose(np.concatenate(times), middles, rtol=0, atol=1e-9)


def test_who_was_away_for_long_is_sent_what_fits_the_screen() -> None:
    buffer = _signal()
    view = _view_of(buffer, seconds=1.0, width=1000)
    _feed(buffer, 0, 500)
    view.message({})

    for first in range(500, 15_500, 1000):
        _feed(buffer, first, 1000)
    header, _ = unpack(message := view.message({}))
    times, least, _greatest = _columns(message)

    assert header["streams"][0]["columns"]["is_new"]
    assert len(times) <= 1002
    assert least[0, -1] == 15_499


def test_a_change_of_the_view_begins_anew() -> None:
    buffer = _signal()
    view = _view_of(buffer, seconds=1.0, width=1000)
    _feed(buffer, 0, 2000)
    view.message({})

    view.show(View((NAME,), 2.0, 500))
    header, _ = unpack(view.message({}))

    told = header["streams"][0]
    assert (told["columns"]["is_new"], told["columns"]["factor"]) == (True, 4)
    assert [channel["unit"] for channel in told["info"]["channels"]] == ["uV", "uV"]


def test_a_gap_is_missing_columns() -> None:
    buffer = _signal()
    view = _view_of(buffer, seconds=1.0, width=1000)
    _feed(buffer, 0, 100)
    gap = Gap(Cause.DEVICE, 0, 150, 50, 0.05)
    _feed(buffer, 150, 100, gaps=(gap,))

    _times, least, _greatest = _columns(view.message({}))

    assert np.isnan(least[0, 100:150]).all()
    assert np.array_equal(least[0, 150:], np.arange(150, 250))


def test_a_window_of_the_past_is_exact() -> None:
    buffer = _signal()
    view = _view_of(buffer, seconds=1.0, width=1000)
    for first in range(0, 10_000, 1000):
        _feed(buffer, first, 1000)

    message, is_partial = view.window(102.0, 102.5, 1000, 7, is_last=False)
    header, _ = unpack(message)
    times, least, _greatest = _columns(message)

    assert header["number"] == 7
    assert not is_partial
    assert header["streams"][0]["reaches"] == pytest.approx(100.0)
    assert np.array_equal(least[0], np.arange(1999, 2501))
    assert times[1] == pytest.approx(102.0)


def _irregular(n: int, seconds: float) -> SignalBuffer:
    buffer = SignalBuffer(20.0)
    info = StreamInfo.signal(NAME, channels=1, sampling_rate=0)
    buffer.describe(info)
    stamps = 100.0 + np.arange(n) * seconds / n
    for first in range(0, n, 5000):
        piece = slice(first, first + 5000)
        data = np.arange(n, dtype=np.float32)[piece, None]
        buffer.take(Signal(data, stamps[piece], index=first, info=info))
    return buffer


def test_a_window_of_many_irregular_samples_reaches_its_end() -> None:
    view = _view_of(_irregular(30_000, 10.0), seconds=10.0, width=1000)

    times, least, _greatest = _columns(view.window(100.0, 110.0, 1000, 1)[0])

    assert len(times) <= 8000
    assert times[0] < 100.1
    assert times[-1] > 109.9
    assert np.isfinite(least[0, :-1]).all()


def test_all_irregular_samples_that_are_followed_are_seen() -> None:
    view = _view_of(_irregular(30_000, 10.0), seconds=10.0, width=1000)

    times, least, _greatest = _columns(view.message({}))

    assert len(times) <= 4000
    assert times[0] < 100.1
    assert least[0, 0] == 0
    assert times[-1] > 109.9


def test_few_irregular_samples_have_a_column_each() -> None:
    view = _view_of(_irregular(50, 10.0), seconds=10.0, width=1000)

    followed = _columns(view.message({}))
    paused = _columns(view.window(100.0, 110.0, 1000, 1)[0])

    assert followed[1].tolist() == [list(range(50))]
    assert paused[1][0, np.isfinite(paused[1][0])].tolist() == list(range(50))


def test_a_stream_of_another_host_is_named_as_it_was_asked_for() -> None:
    view = LiveView()
    view.show(View((f"{NAME}@rig-2",), 1.0, 1000))
    view.look_at({f"{NAME}@rig-2": _looked(_signal())})

    header, _ = unpack(view.message({}))

    assert [stream["name"] for stream in header["streams"]] == [f"{NAME}@rig-2"]


def test_markers_come_once() -> None:
    buffer = MarkerBuffer()
    buffer.describe(StreamInfo.markers(NAME))
    view = LiveView()
    view.show(View((NAME,), 10.0, 100))
    view.look_at({NAME: _looked(buffer, "markers")})
    now = local_clock()

    buffer.take(Markers.at([now], ["one"]))
    first = unpack(view.message({}))[0]["streams"][0]
    buffer.take(Markers.at([now + 1], ["two"]))
    second = unpack(view.message({}))[0]["streams"][0]

    assert first["markers"] == [[now, "one"]]
    assert second["markers"] == [[now + 1, "two"]]
    assert (first["is_new"], second["is_new"]) == (True, False)


@pytest.mark.parametrize(
    "said",
    [
        {"streams": 5},
        {"streams": ["a"] * 100, "seconds": float("nan"), "width": -1},
        {"streams": [None, {}, "x" * 10_000], "seconds": "10", "width": 1e300},
        {"seconds": True, "width": [1]},
    ],
)
def test_what_a_browser_says_becomes_something_sensible(said: dict[str, Any]) -> None:
    view = View.from_json(said, 32)

    assert len(view.streams) <= 32
    assert (view.seconds, view.width) == (10.0, 800)
    assert all(len(name) <= 200 for name in view.streams)


def test_wide_windows_use_the_bins_that_are_there() -> None:
    factors = [factor_of(30_000, seconds, 1000) for seconds in (0.01, 0.4, 1, 10, 600)]

    assert factors == [1, 12, 16, 288, 18_000]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((480, 640), "uint8"), ((1000, 2000, 3), "uint8"), ((20, 30, 1), "uint16"), ((4, 4), "f4")],
)
def test_a_frame_becomes_a_small_picture(shape: tuple[int, ...], dtype: str) -> None:
    frame = np.arange(np.prod(shape)).reshape(shape).astype(dtype)

    pixels = shrunk(frame)
    picture, media_type = encode(frame)

    assert max(pixels.shape[:2]) <= 360
    assert pixels.dtype == np.uint8
    assert picture.startswith({"image/jpeg": b"\xff\xd8", "image/png": b"\x89PNG"}[media_type])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_without_pillow_a_picture_is_a_png(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the picture back")
    monkeypatch.setattr(thumbnails, "_HAS_PILLOW", False)
    frame = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)

    picture, media_type = encode(frame)

    assert media_type == "image/png"
    assert np.array_equal(np.asarray(image.open(io.BytesIO(picture))), frame)


class _Busy(SignalBuffer):
    """Gets more samples while somebody looks at it."""

    def columns(self, factor: int, first: int, n: int) -> Envelope:
        found = super().columns(factor, first, n)
        start = self.rows[1]
        data = np.arange(start, start + 5000, dtype=np.float32)[:, None]
        more = Signal(data, np.arange(start, start + 5000) / 1000.0)
        thread = threading.Thread(target=self.take, args=(more,))
        thread.start()
        thread.join(0.2)  # it has to wait, or is long done
        self.late = thread
        return found


def test_times_are_those_of_the_columns_whatever_comes_meanwhile() -> None:
    buffer = _Busy(10.0)
    buffer.describe(StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000.0))
    numbers = np.arange(10_000.0)
    buffer.take(Signal(numbers[:, None].astype(np.float32), numbers / 1000.0))

    columns = signal_window(buffer, 0.0, 10.0, 1200, None).columns
    buffer.late.join()

    middles = (columns.least[0] + columns.greatest[0]) / 2000
    np.testing.assert_allclose(columns.times[:-1], middles[:-1], atol=1e-4)

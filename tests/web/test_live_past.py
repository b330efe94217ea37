"""The page of the live streams goes back into what is recorded of them."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uvicorn
from tests.web.conftest import Until, Visit
from tests.web.recorded import GAP, SIGNAL, TRIALS, N, Recorded, record
from tests.web.recorded import RATE as RECORDED_RATE
from tests.web.served import Served, Visitor
from websockets.sync.client import ClientConnection, connect

from rigmesh.client import Manager
from rigmesh.display import MarkerBuffer, SignalBuffer
from rigmesh.recording import open_recording
from rigmesh.streams import Markers, Signal
from rigmesh.web.app import create_app
from rigmesh.web.browse_bins import BinCache
from rigmesh.web.browse_open import Library
from rigmesh.web.live_messages import unpack
from rigmesh.web.live_past import Past
from rigmesh.web.live_window import marker_window, signal_window
from rigmesh.web.recordings_root import Root
from rigmesh.web.settings import Address, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Page

RATE = 10_000
_KEPT = 1.0
_SERVE = f"""
import os, sys
from pathlib import Path
from rigmesh.web.serve import serve
from rigmesh.web.settings import Address, Settings

socket, recordings = Path(os.environ["RIGMESH_SOCKET"]), Path(sys.argv[-1])
listen = Address.parse("127.0.0.1:0")
settings = Settings(listen, socket=socket, recordings=recordings, live_seconds={_KEPT})
serve(settings, lambda where: print(where, flush=True))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the recordings."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@pytest.fixture
def served(tmp_path: Path, daemon_socket: Path, root: Path) -> Iterator[Served]:
    """A page that keeps little."""
    command = (sys.executable, "-c", _SERVE)
    with Served(tmp_path, root, socket=daemon_socket, command=command) as made:
        yield made


def _record(manager: Manager, path: Path) -> Any:
    """Record a source that counts its samples, and cues."""
    manager.create_node(
        "sim.Oscillators", name="amp", n_channels=2, sampling_rate=RATE, sample_number=True
    )
    manager.create_node("sim.Markers", name="cues", period=0.1, texts=["go", "stop"])
    recorder = manager.create_node("record.HDF5Recorder", name="rec", path=str(path))
    recorder.streams.connect(manager["amp"].output)
    recorder.streams.connect(manager["cues"].output)
    manager.start_all()
    return recorder


def _look(visit: Visit, served: Served) -> Page:
    page = visit(served, "/live?stream=amp.signal&seconds=1")
    page.evaluate('async () => { window.live = await import("/static/live.js"); }')
    page.wait_for_function(
        "() => live.streams.get('amp.signal')?.columns?.newest > 0", timeout=60_000
    )
    return page


def _go_back(page: Page, seconds: float, zoom: int = 0) -> None:
    """Stand still, and go back by the keyboard, as a person does."""
    page.get_by_role("button", name="Following").click()
    page.locator("#traces").focus()
    for _ in range(round(seconds * 10)):
        page.keyboard.press("ArrowLeft")
    for _ in range(zoom):
        page.keyboard.press("+")


def _window(page: Page) -> dict[str, Any]:
    """Return what came of the window: range, times, and the first channel."""
    found: dict[str, Any] = page.evaluate(
        """() => {
            const { window } = live.streams.get("amp.signal"), range = live.traces.range;
            if (!window) return { range, times: [], least: [], greatest: [] };
            const [least, greatest] = [[...window.least(0)], [...window.greatest(0)]];
            return { range, times: [...window.times], least, greatest };
        }"""
    )
    return {name: np.array(values, np.float64) for name, values in found.items()}


def _reached(page: Page, until: Until, factor: int = 1) -> dict[str, Any]:
    """Wait for a window that fills the page."""
    found: dict[str, Any] = {}

    def is_whole() -> bool:
        found.update(_window(page))
        times, (start, stop) = found["times"], found["range"]
        edge = 2 * factor / RATE
        return len(times) > 1 and abs(times[0] - start) < edge and abs(stop - times[-1]) < edge

    until(is_whole)
    return found


def _check(found: dict[str, Any], edge: float) -> None:
    """See that each sample is there once, where it was in time."""
    least, greatest, times = found["least"], found["greatest"], found["times"]
    assert not np.isnan(least).any()
    assert (np.diff(times) > 0).all()
    # At the seam a column may have the first sample of the next one, too.
    steps = least[1:] - greatest[:-1]
    assert set(steps.tolist()) <= {0.0, 1.0}
    assert (steps == 0).sum() <= 3
    middles = (least + greatest) / 2 / RATE
    assert np.ptp(times - middles) < edge


def test_one_goes_back_as_far_as_the_recording_reaches(
    manager: Manager, served: Served, visit: Visit, root: Path, until: Until
) -> None:
    recorder = _record(manager, root / "part{part}_rest.h5")
    page = _look(visit, served)
    page.wait_for_timeout(1500)
    recorder.call("split")
    page.wait_for_timeout(2000)

    # Half of it is in the page's buffer; then nothing of it, and it lies in two files.
    _go_back(page, 0.5)
    _check(_reached(page, until, 16), 16 / RATE)
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    older = _reached(page, until, 16)
    _check(older, 16 / RATE)
    with open_recording(root / "part2_rest.h5") as second:
        split = second.streams["amp.signal"].data[0:1][0, 0]
    assert older["least"][0] < split < older["least"][-1]
    for _ in range(8):
        page.keyboard.press("+")
    exact = _reached(page, until)

    assert np.array_equal(exact["least"], exact["greatest"])
    assert np.array_equal(np.diff(exact["least"]), np.ones(len(exact["least"]) - 1))
    assert len(exact["least"]) == pytest.approx(np.ptp(exact["range"]) * RATE, abs=4)


def test_once_the_file_is_made_it_is_reached_too(
    manager: Manager, served: Served, visit: Visit, root: Path, until: Until
) -> None:
    _record(manager, root / "rest.h5")
    page = _look(visit, served)
    page.wait_for_timeout(3000)
    manager.stop_all()
    until(lambda: (root / "rest.h5").exists())
    page.wait_for_timeout(1500)

    _go_back(page, 2)

    _check(_reached(page, until, 16), 16 / RATE)


def test_what_is_recorded_elsewhere_is_not_reached(
    manager: Manager, served: Served, visit: Visit, root: Path, tmp_path: Path
) -> None:
    (root / "link").symlink_to(tmp_path)
    _record(manager, root / "link" / "rest.h5")
    page = _look(visit, served)
    page.wait_for_timeout(4000)

    _go_back(page, 3.5)
    page.get_by_text("Kept from").wait_for()
    page.wait_for_timeout(500)
    found = _window(page)

    is_shown = (found["times"] < found["range"][1]) & ~np.isnan(found["least"])
    assert not is_shown.any()
    assert (tmp_path / "rest.h5.capture").exists()


@pytest.fixture
def recorded(root: Path) -> Recorded:
    """A file with a gap."""
    return record(root / "rest.h5")


@pytest.fixture
def past(root: Path, tmp_path: Path, recorded: Recorded) -> Iterator[Past]:
    """It, a link to it, and one that is not there."""
    (root / "linked.h5").symlink_to(recorded.path)
    paths = [root / "linked.h5", root / "none.h5", tmp_path / "other.h5", recorded.path]
    library = Library(Root(root), BinCache(tmp_path / "bins"))
    yield Past(library, lambda: map(str, paths))
    library.close()


def _kept(recorded: Recorded, first: int) -> SignalBuffer:
    """Return what a page has that looked from a sample on, which it counts itself."""
    buffer = SignalBuffer(10.0)
    buffer.describe(SIGNAL)
    numbers = np.arange(first, first + 10_000)
    data = np.repeat(numbers[:, None] % 30_000, 3, axis=1).astype(np.int16)
    stamps = recorded.first + numbers / RECORDED_RATE
    buffer.take(Signal(data, stamps, index=first, info=SIGNAL))
    return buffer


@pytest.mark.parametrize("first", [35_000, 39_999, N])
def test_recorded_and_kept_samples_are_joined(past: Past, recorded: Recorded, first: int) -> None:
    buffer, begin = _kept(recorded, first), recorded.first

    found = signal_window(buffer, begin + 34.9, begin + 40.1, 4000, past)
    numbers = found.columns.least[0]

    assert found.is_short
    assert found.reaches == pytest.approx(begin)
    assert np.array_equal(numbers, np.arange(34_899, 40_102)[: len(numbers)] % 30_000)
    assert len(numbers) >= 5201
    expected = begin + np.arange(34_899, 34_899 + len(numbers)) / RECORDED_RATE
    assert np.allclose(found.columns.times, expected, rtol=0, atol=1e-6)


def test_what_was_not_recorded_is_missing(past: Past, recorded: Recorded) -> None:
    buffer, begin = _kept(recorded, N + 1000), recorded.first

    found = signal_window(buffer, begin + 15, begin + 45, 1000, past).columns
    missing = np.isnan(found.least[0])
    times = found.times - begin

    assert (np.diff(times) >= 0).all()
    between = (times > N / RECORDED_RATE) & (times < (N + 1000) / RECORDED_RATE)
    hole = (times > GAP[0] / RECORDED_RATE) & (times < GAP[1] / RECORDED_RATE)
    assert missing[hole].all()
    assert hole.any()
    assert missing[between].all()
    edges = np.array([*GAP, N, N + 1000]) / RECORDED_RATE
    near = np.abs(times[missing][:, None] - edges).min(axis=1)
    assert (near < 0.05).sum() >= 4
    assert np.nanmax(found.greatest[0]) == 29_999


def test_what_is_kept_needs_no_file(past: Past, recorded: Recorded) -> None:
    buffer, begin = _kept(recorded, 35_000), recorded.first

    for start, stop in ((36, 38), (44, 46), (50, 60)):
        assert not signal_window(buffer, begin + start, begin + stop, 500, None).is_short
    before = signal_window(buffer, begin - 9, begin - 8, 500, past)

    assert (before.columns.times > begin - 8).all()
    assert before.reaches == pytest.approx(begin)


def test_recorded_markers_come_before_those_that_are_kept(past: Past, recorded: Recorded) -> None:
    stamps, kinds = recorded.first + recorded.trials, recorded.kinds
    buffer = MarkerBuffer()
    buffer.describe(TRIALS)
    buffer.take(Markers(kinds[20:], stamps[20:], info=TRIALS))

    found, is_short = marker_window("paradigm.events", buffer, stamps[5], stamps[25], past)

    assert is_short
    assert [text for _, text in found] == kinds[5:26]
    assert np.allclose([when for when, _ in found], stamps[5:26], rtol=0, atol=1e-6)


def test_only_names_in_the_folder_are_names(root: Path, tmp_path: Path) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(tmp_path)
    made = Root(root)

    assert made.name_of(str(root / "sub" / "a.h5")) == "sub/a.h5"
    assert made.name_of(str(root / "sub" / ".." / "a.h5")) == "a.h5"
    for outside in (root / "link" / "a.h5", root / ".." / "a.h5", "/etc/passwd", "a\0b", "", "b"):
        assert made.name_of(str(outside)) is None


def test_a_slow_disk_keeps_no_live_message_back(
    manager: Manager, root: Path, daemon_socket: Path
) -> None:
    _record(manager, root / "rest.h5")
    with _page_in_here(daemon_socket, root) as (library, wire):
        first = _next(wire, "live", lambda h: h["streams"][0].get("age") is not None)["now"]
        _next(wire, "live", lambda h: h["now"] > first + 3)
        start, stop = first - 0.5, first + 0.5

        with _Stuck(library):
            _ask(wire, 1, start, stop)
            at_once = _next(wire, "window")
            for _ in range(10):
                newest = _next(wire, "live")["now"]
            _ask(wire, 2, newest - 0.5, newest)
            kept = _next(wire, "window")
        whole = _next(wire, "window")

    assert at_once["is_partial"]
    assert at_once["streams"][0]["reaches"] > stop
    assert kept["number"] == 2
    assert (whole["number"], whole["is_partial"]) == (1, False)
    assert whole["streams"][0]["reaches"] < stop
    assert whole["streams"][0]["columns"]["n"] > 250
    cues = whole["streams"][1]["markers"]
    assert {text for _, text in cues} == {"go", "stop"}
    assert all(start <= when <= stop for when, _ in cues)
    assert len({when for when, _ in cues}) == len(cues)


@contextmanager
def _page_in_here(daemon_socket: Path, root: Path) -> Iterator[tuple[Any, ClientConnection]]:
    """Serve the page in a thread; yield its library, and the WebSocket of somebody who looks."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listen = Address(*listening.getsockname())
        app = create_app(Settings(listen, socket=daemon_socket, recordings=root, live_seconds=1))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            with Visitor(f"http://{listen}") as visitor:
                visitor.log_in(app.state.login.one_time)
                assert visitor.get("/api/recordings").status_code == 200
                cookies = "; ".join(f"{name}={v}" for name, v in visitor.client.cookies.items())
                headers = {"Cookie": cookies, **visitor.origin}
                with connect(f"ws://{listen}/api/live", additional_headers=headers) as wire:
                    streams = ["amp.signal", "cues.markers"]
                    wire.send(json.dumps({"streams": streams, "seconds": 1, "width": 500}))
                    yield app.state.library, wire
        finally:
            server.should_exit = True
            thread.join()


def _next(
    wire: ClientConnection, kind: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
) -> dict[str, Any]:
    """Return the head of the next message that is wanted; all that come are drawn."""
    while True:
        message = wire.recv(timeout=20)
        assert isinstance(message, bytes)
        header, _ = unpack(message)
        if header["kind"] == "live":
            wire.send(json.dumps({"drawn": header["number"]}))
        if header["kind"] == kind and wanted(header):
            return header


def _ask(wire: ClientConnection, number: int, start: float, stop: float) -> None:
    window = {"start": start, "stop": stop, "width": 500, "number": number}
    wire.send(json.dumps({"window": window}))


class _Stuck:
    """Holds up whoever opens a recording, as a disk may."""

    def __init__(self, library: Any) -> None:
        self._lock: threading.Lock = library._lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

"""The page of the live streams, in a real browser, while a graph runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.web.conftest import Until, Visit
from tests.web.served import Served

from rigmesh.client import Manager

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PHONE = {"width": 375, "height": 740}
_HOSTILE = "<img src=x onerror='broken=1'>"

_COMPARE = """() => {
    const { traces } = live, { ctx, bbox } = traces.plot, [t0, t1] = traces.range;
    const paper = ctx.getImageData(bbox.left + 1, bbox.top + 1, 1, 1).data;
    const { height, middle } = traces.rowsAt();
    let misses = 0, checked = 0;
    traces.rows.forEach((row, i) => {
        const { n, times, least } = row.source;
        for (let k = 100; k < n - 100; k += 37) {
            const x = bbox.left + (times[k] - t0) / (t1 - t0) * bbox.width;
            // The bar that shows the scale is at the right.
            if (x < bbox.left + 5 || x > bbox.left + bbox.width - 150) continue;
            const value = (least[k] - row.offset) / row.span;
            const y = middle(i) - value * height;
            const seen = ctx.getImageData(Math.round(x) - 1, Math.round(y) - 2, 3, 5).data;
            let isDrawn = false;
            for (let p = 0; p < seen.length; p += 4) {
                const apart = Math.abs(seen[p] - paper[0]) + Math.abs(seen[p + 1] - paper[1]);
                isDrawn ||= apart > 80;
            }
            checked += 1;
            if (!isDrawn) misses += 1;
        }
    });
    return [misses, checked];
}"""
"""Looks for the colour of a curve where a value is to be drawn; counts where it is not."""


def _numbered(manager: Manager, **options: Any) -> None:
    """Make a source whose first channel counts its samples."""
    manager.create_node(
        "sim.Oscillators",
        **{"name": "amp", "n_channels": 4, "sampling_rate": 500, "sample_number": True, **options},
    )


def _look(visit: Visit, served: Served, path: str, **options: Any) -> Page:
    """Open the page; what its module exports is then ``window.live``."""
    page = visit(served, path, **options)
    page.evaluate('async () => { window.live = await import("/static/live.js"); }')
    return page


def _columns(page: Page, stream: str = "amp.signal", channel: int = 0) -> dict[str, list[float]]:
    """Return what the page has of a channel: times, least and greatest values."""
    found: dict[str, list[float]] = page.evaluate(
        """([stream, channel]) => {
            const { times, least, greatest } = live.streams.get(stream).columns.source(channel);
            return { times: [...times], least: [...least], greatest: [...greatest] };
        }""",
        [stream, channel],
    )
    return found


def _until_samples(page: Page, n: int, stream: str = "amp.signal") -> None:
    page.wait_for_function(
        """([stream, n]) => {
            const columns = live.streams.get(stream)?.columns;
            return columns && columns.stop - columns.first > n;
        }""",
        arg=[stream, n],
        timeout=60_000,
    )


def test_the_page_shows_the_samples_of_a_graph_that_runs(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _numbered(manager)
    manager.start_all()

    page = _look(visit, served, "/live?stream=amp.signal&seconds=1")
    _until_samples(page, 400)
    first = _columns(page)
    page.wait_for_timeout(500)
    later = _columns(page)

    # On so many pixels each sample has a column of its own, and so its number.
    assert first["least"] == first["greatest"]
    numbers = [int(value) for value in later["least"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[-1] > first["least"][-1] + 100
    steps = [b - a for a, b in zip(later["times"], later["times"][1:], strict=False)]
    assert all(abs(step - 1 / 500) < 1e-6 for step in steps)


def test_a_curve_is_drawn_where_its_values_are(
    manager: Manager, served: Served, visit: Visit
) -> None:
    manager.create_node(
        "sim.Oscillators", name="amp", n_channels=2, sampling_rate=500, noise=0,
        frequencies=[0.5, 1.0],
    )  # fmt: skip
    manager.start_all()

    page = _look(
        visit, served, "/live?stream=amp.signal&seconds=2", viewport={"width": 900, "height": 700}
    )
    _until_samples(page, 900)
    page.keyboard.press("Space")
    page.wait_for_function('() => live.streams.get("amp.signal").window?.n > 900')
    page.wait_for_timeout(300)
    misses, checked = page.evaluate(_COMPARE)

    assert checked > 20
    assert misses == 0


def test_time_stands_still_and_goes_back_as_far_as_is_kept(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _numbered(manager)
    manager.start_all()
    page = _look(visit, served, "/live?stream=amp.signal&seconds=1")
    _until_samples(page, 400)
    page.wait_for_timeout(1500)

    page.get_by_role("button", name="Following").click()
    page.locator("#traces").focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        """() => {
            const shown = live.streams.get("amp.signal").window;
            return shown?.n && Math.abs(shown.times[0] - live.traces.range[0]) < 0.05;
        }"""
    )
    url = page.url
    shown, kept = page.evaluate(
        """() => {
            const { window, columns } = live.streams.get("amp.signal");
            const newest = columns.least[0][columns.stop - 1];
            return [[...window.least(0)], [live.traces.range[0] + live.state.unix, newest]];
        }"""
    )

    assert [int(v) for v in shown] == list(range(int(shown[0]), int(shown[0]) + len(shown)))
    assert shown[-1] < kept[1] - 300
    from_, to = (float(v) for v in re.findall(r"(?:from|to)=([\d.]+)", url))
    assert abs(from_ - kept[0]) < 0.01
    assert abs(to - from_ - 1.0) < 0.01


def test_zooming_out_ends_where_the_server_still_answers(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _numbered(manager)
    manager.start_all()
    page = _look(visit, served, "/live?stream=amp.signal&seconds=600")
    _until_samples(page, 20)

    page.get_by_role("button", name="Following").click()
    page.locator("#traces").focus()
    for _ in range(20):
        page.keyboard.press("-")
    page.wait_for_timeout(500)
    width = page.evaluate("live.traces.range[1] - live.traces.range[0]")
    page.get_by_role("button", name="Follow", exact=True).click()
    page.get_by_role("button", name="Following").click()
    page.wait_for_function('() => live.streams.get("amp.signal").window?.n')

    assert 9.9e4 < width < 1.001e5


def test_the_url_restores_the_view(manager: Manager, served: Served, visit: Visit) -> None:
    _numbered(manager)
    manager.create_node("sim.Oscillators", name="other", n_channels=2)
    manager.start_all()
    page = _look(visit, served, "/live?stream=amp.signal")
    _until_samples(page, 100)

    page.get_by_label("Seconds shown").select_option("5")
    page.locator("summary").click()
    page.get_by_role("checkbox", name="other.signal").check()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Larger").click()
    page.goto(page.url)
    page.evaluate('async () => { window.live = await import("/static/live.js"); }')

    _until_samples(page, 100, "other.signal")
    state = page.evaluate("[live.state.chosen, live.state.seconds, live.state.gain]")
    assert state == [["amp.signal", "other.signal"], 5, 1]


def test_markers_and_pictures_are_shown_beside_the_traces(
    manager: Manager, served: Served, visit: Visit
) -> None:
    manager.create_node("sim.Markers", name="cues", period=0.1, texts=["go", "stop"])
    manager.create_node("sim.Camera", name="camera", width=320, height=240)
    manager.start_all()

    page = _look(visit, served, "/live?stream=cues.markers&stream=camera.frames")

    page.wait_for_function('() => document.querySelector(".video canvas")?.dataset.frame > 3')
    page.get_by_text(re.compile(r"\d+ in view")).wait_for()
    texts = page.evaluate('live.streams.get("cues.markers").raster.markers.map((m) => m.text)')
    assert set(texts) == {"go", "stop"}
    size = page.evaluate(
        '(({ width, height }) => [width, height])(document.querySelector(".video canvas"))'
    )
    assert size == [320, 240]


def test_latencies_are_shown(manager: Manager, served: Served, visit: Visit) -> None:
    _numbered(manager, sample_number=False)
    manager.create_node("filters.LowPass", name="low", cutoff=20)
    manager["low"].input.connect(manager["amp"].output)
    manager.start_all()

    page = _look(visit, served, "/live?stream=amp.signal")
    page.get_by_role("button", name="Latency").click()

    page.get_by_text(re.compile(r"median .* p99 .* longest")).wait_for()
    assert "low.signal" in page.get_by_label("Latency to").locator("option").all_inner_texts()


def test_names_and_texts_of_strangers_stay_text(
    manager: Manager, served: Served, visit: Visit
) -> None:
    manager.create_node("sim.Markers", name="cues", period=0.1, texts=[_HOSTILE])
    _numbered(manager)
    rename = manager.create_node(
        "channels.Rename", name=_HOSTILE, names={"ch0": _HOSTILE}, units={"ch1": _HOSTILE}
    )
    rename.input.connect(manager["amp"].output)
    manager.start_all()

    stream = next(iter(rename.outputs.values())).stream
    page = _look(visit, served, f"/live?stream=cues.markers&stream={stream}&stream={_HOSTILE}")
    _until_samples(page, 100, stream)
    page.get_by_text(re.compile(r"\d+ in view")).wait_for()
    for path in ("/rigs", f"/graph?node={_HOSTILE}", f"/rigs?x={_HOSTILE}"):
        page.goto(served.base + path)
        page.wait_for_timeout(800)
        assert "rigmesh" in page.title()
        assert page.locator("img:not([src='/static/icon.svg'])").count() == 0


def test_a_stream_that_is_not_there_yet_is_shown_once_it_is(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _numbered(manager)

    page = _look(visit, served, "/live?stream=amp.signal&seconds=1")
    page.get_by_text("start the graph").wait_for()
    manager.start_all()

    _until_samples(page, 50)


def test_looking_while_recording_loses_nothing(
    manager: Manager, served: Served, visit: Visit, tmp_path: Path, until: Until
) -> None:
    _numbered(manager)
    recorder = manager.create_node("record.HDF5Recorder", path=str(tmp_path / "r.h5"))
    recorder.input.connect(manager["amp"].output)
    manager.start_all()

    page = _look(visit, served, "/live?stream=amp.signal&seconds=1")
    _until_samples(page, 400)
    page.goto(served.base + "/rigs")
    page.get_by_text("recording", exact=True).wait_for()
    manager.stop_all()

    until(lambda: recorder.report.get("verdict"))
    assert recorder.report["verdict"] == "OK"
    page.get_by_text("OK", exact=True).wait_for()


def test_a_phone_s_width_is_enough(manager: Manager, served: Served, visit: Visit) -> None:
    _numbered(manager, name="amp_with_quite_a_long_name_as_people_give_them", n_channels=16)
    manager.create_node("sim.Markers", name="cues", period=0.2)
    manager.start_all()
    stream = "amp_with_quite_a_long_name_as_people_give_them.signal"

    page = visit(served, viewport=_PHONE)
    for path in ("/rigs", f"/live?stream={stream}&stream=cues.markers", "/graph"):
        page.goto(served.base + path)
        page.locator("main :visible", has_text="amp_with").first.wait_for()
        page.wait_for_timeout(1000)
        assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"], path


def test_a_browser_that_does_not_draw_is_sent_nothing_more(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _numbered(manager)
    manager.start_all()
    page = _look(visit, served, "/live?stream=amp.signal&seconds=1")
    _until_samples(page, 100)

    page.evaluate("window.requestAnimationFrame = () => 0")
    page.wait_for_timeout(500)
    before = _columns(page)["least"][-1]
    page.wait_for_timeout(1000)
    after = _columns(page)["least"][-1]

    assert after == before

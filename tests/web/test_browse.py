"""Recordings in a real browser: what a person sees, and can do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import h5py
import numpy as np
import pytest
from tests.web.recorded import Recorded, begin, record
from tests.web.served import Served

from rigmesh.recording import seal
from rigmesh.streams import ChannelInfo, Markers, Signal, StreamInfo, local_clock
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import TokenFile

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
Look = Callable[..., "Page"]
HOSTILE = '<img src=x onerror="document.body.dataset.hacked=1">{{7*7}}\'"'
PARAMETERS = "&by=text&from=-0.25&to=0.75&bin=0.05&target=sorter.spikes&events=paradigm.events"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def token(home: Path) -> str:
    """A link would be good for one browser only."""
    folder = home / "config/rigmesh/tls"
    folder.mkdir(parents=True, mode=0o700)
    tokens = TokenFile(folder / "tokens.json")
    tokens.clear()
    return tokens.add(Role.VIEWER, note="a viewer")[1]


@pytest.fixture(scope="module")
def served(home: Path, root: Path, token: str) -> Iterator[Served]:
    with Served(home, "--recordings", root) as made:
        yield made


@pytest.fixture
def look(served: Served, token: str, visit: Visit) -> Look:
    """Open a page as somebody who may only look."""
    return lambda path, **options: visit(served, path, token, **options)


@pytest.fixture(scope="module")
def recorded(root: Path) -> Recorded:
    return record(root / "rest.h5")


def drawn(page: Page) -> None:
    page.locator("main[data-drawn]").wait_for()


def wait(page: Page, condition: Callable[[], object]) -> None:
    """Wait for a condition: the page's policy keeps Playwright from waiting inside of it."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(30)


def window_of(page: Page) -> tuple[float, float]:
    """Return the window as the URL has it, once it has stopped changing."""
    page.wait_for_timeout(300)  # the page writes it when nothing has moved for a while
    asked = parse_qs(urlsplit(page.url).query)
    return float(asked["t0"][0]), float(asked["t1"][0])


def numbers(page: Page) -> dict[str, list[int]]:
    """Return the counts that the page shows, by group."""
    page.locator(".around").scroll_into_view_if_needed()
    page.locator(".around .numbers:not([hidden])").wait_for()
    page.evaluate("document.querySelector('.around .numbers').open = true")
    page.wait_for_selector(".around .numbers td")
    titles = page.locator(".around .numbers thead th").all_inner_texts()[1:]
    rows = page.locator(".around .numbers tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map(cell => Number(cell.textContent)))"
    )
    columns = np.array(rows, dtype=int).T.tolist()
    return {title.rpartition(" (")[0]: own for title, own in zip(titles, columns, strict=True)}


# --- the list ------------------------------------------------------------------------------------


def test_the_list_says_what_there_is_and_leads_to_it(look: Look, recorded: Recorded) -> None:
    page = look("/recordings")
    row = page.locator("tr[data-name='rest.h5']")
    row.get_by_text("OK with gaps (1, 2000.0 ms)").wait_for()
    told = row.inner_text()
    row.get_by_role("link", name="rest.h5", exact=True).click()
    page.wait_for_url("**/browse?file=rest.h5*")

    assert "40 s" in told
    assert "amp.signal" in told
    drawn(page)


def test_a_recording_is_fetched_by_a_click(look: Look, recorded: Recorded) -> None:
    page = look("/recordings")
    with page.expect_download() as fetched:
        page.get_by_role("link", name="Download rest.h5").click()

    assert Path(fetched.value.path()).read_bytes() == recorded.path.read_bytes()
    assert fetched.value.suggested_filename == "rest.h5"


def test_a_recording_is_found_by_what_is_in_it(look: Look, recorded: Recorded) -> None:
    page = look("/recordings")
    page.get_by_text("OK with gaps").wait_for()
    search = page.get_by_label("Find recordings")
    search.fill("s01 spikes")
    n_found = page.locator("tbody tr").count()
    search.fill("nothing like it")
    page.get_by_text("No recording has all of these words.").wait_for()

    assert n_found == 1
    assert page.locator("tbody tr").count() == 0


# --- around events -------------------------------------------------------------------------------


def test_the_histogram_is_numpys(look: Look, recorded: Recorded) -> None:
    with h5py.File(recorded.path) as file:
        trials = file["streams/paradigm.events/timestamps"][:]
        spikes = file["streams/sorter.spikes/timestamps"][:]
    page = look(f"/browse?file=rest.h5{PARAMETERS}")
    shown = numbers(page)

    edges = np.arange(-5, 16) * 0.05
    assert set(shown) == {"left", "right", "rest"}
    for label, counts in shown.items():
        own = trials[np.array(recorded.kinds) == label]
        expected = np.histogram((spikes[None, :] - own[:, None]).ravel(), edges)[0]
        assert counts == expected.tolist()


def test_the_form_changes_what_is_counted(look: Look, recorded: Recorded) -> None:
    page = look(f"/browse?file=rest.h5{PARAMETERS}")
    numbers(page)
    page.get_by_label("only where").last.select_option("unit")
    page.get_by_label("grouped by").select_option("")
    wait(page, lambda: page.locator(".around .numbers thead th").count() == 2)
    page.get_by_label("this").select_option("2")
    page.get_by_role("status").get_by_text(f"of {recorded.units.count(2)} others").wait_for()
    (counts,) = numbers(page).values()

    chosen = recorded.spikes[np.array(recorded.units) == 2]
    relative = (chosen[None, :] - recorded.trials[:, None]).ravel()
    assert counts == np.histogram(relative, np.arange(-5, 16) * 0.05)[0].tolist()
    asked = parse_qs(urlsplit(page.url).query)
    assert asked["target_only"] == ["unit"]
    assert asked["target_is"] == ["2"]


def test_a_click_into_the_raster_goes_to_the_event(look: Look, recorded: Recorded) -> None:
    page = look(f"/browse?file=rest.h5&t0=3&t1=5{PARAMETERS}&by=")
    drawn(page)
    page.locator("canvas.raster").click(position={"x": 300, "y": 6})

    assert sum(window_of(page)) / 2 == pytest.approx(recorded.trials[0], abs=0.1)


# --- the window ----------------------------------------------------------------------------------


def test_the_url_restores_the_view(look: Look, recorded: Recorded) -> None:
    page = look(f"/browse?file=rest.h5{PARAMETERS}")
    drawn(page)
    page.get_by_role("button", name="Zoom in (+)").click()
    page.get_by_role("button", name="On (→)").click()
    page.get_by_role("button", name="Larger (↑)").click()
    page.locator("summary", has_text="amp.signal").click()
    page.get_by_label("Pz").uncheck()
    page.get_by_label("Show sorter.spikes").uncheck()
    window = window_of(page)
    shown = (page.locator(".where").inner_text(), numbers(page))

    again = page.context.new_page()
    again.goto(page.url)
    drawn(again)

    assert window[1] - window[0] == pytest.approx(20, abs=0.1)
    assert (again.locator(".where").inner_text(), numbers(again)) == shown
    assert not again.get_by_label("Show sorter.spikes").is_checked()
    again.locator("summary", has_text="amp.signal").click()
    assert not again.get_by_label("Pz").is_checked()
    assert again.get_by_label("Cz").is_checked()
    assert window_of(again) == window


def test_keys_move_and_zoom(look: Look, recorded: Recorded) -> None:
    page = look("/browse?file=rest.h5&t0=10&t1=12")
    drawn(page)
    page.locator(".traces").focus()
    found = []
    for key in ("ArrowRight", "ArrowLeft", "+", "-", "Home", "End", "a"):
        page.keyboard.press(key)
        found.append(window_of(page))

    widths = [stop - start for start, stop in found]
    assert found[0][0] == pytest.approx(10.2)
    assert found[1][0] == pytest.approx(10.0)
    assert widths[2] == pytest.approx(1.4)
    assert widths[3] == pytest.approx(2.0)
    assert found[4][0] == pytest.approx(0.0)
    assert found[5][1] == pytest.approx(40, abs=0.01)
    assert found[6] == pytest.approx((0, 40), abs=0.01)


def test_a_wheel_zooms_and_a_drag_moves(look: Look, recorded: Recorded) -> None:
    page = look("/browse?file=rest.h5&t0=10&t1=12")
    drawn(page)
    box = page.locator(".traces .u-over").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    zoomed = window_of(page)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 4, y, steps=3)
    page.mouse.up()
    moved = window_of(page)

    assert zoomed[1] - zoomed[0] < 1.5
    assert sum(zoomed) / 2 == pytest.approx(11, abs=0.02)
    width = zoomed[1] - zoomed[0]
    assert moved[0] - zoomed[0] == pytest.approx(-width / 4, rel=0.05)


def test_the_tree_shows_shapes_gaps_and_the_files_groups(look: Look, recorded: Recorded) -> None:
    page = look("/browse?file=rest.h5&t0=0&t1=4")
    drawn(page)
    page.locator("summary", has_text="amp.signal").click()
    page.get_by_role("button", name=re.compile("2 s, 2.000 samples, overrun")).click()
    centre = sum(window_of(page)) / 2
    page.locator("summary", has_text="HDF5").click()
    page.locator(".node summary", has_text="streams").click()
    page.locator(".node .node summary", has_text="amp.signal").click()
    page.locator(".node .node .node summary", has_text="data").wait_for()

    assert centre == pytest.approx(21, abs=0.01)
    assert "38\u202f000 × 3 int16 · 1 kHz" in page.locator(".tree-streams").inner_text()
    assert "38\u202f000 × 3 int16" in page.locator(".node .node .node").first.inner_text()


# --- strangers and growth ------------------------------------------------------------------------


def test_hostile_names_stay_text(look: Look, root: Path) -> None:
    signal = StreamInfo.signal(
        f"amp {HOSTILE}", channels=[ChannelInfo(HOSTILE, HOSTILE)], sampling_rate=100
    )
    events = StreamInfo.markers(f"marks {HOSTILE}")
    capture = begin(root / "odd.h5")
    now = local_clock()
    capture.append(Signal(np.arange(1000.0)[:, None], now + np.arange(1000) / 100, info=signal))
    texts = [HOSTILE, HOSTILE, "plain", "\udc80\0"]
    capture.append(Markers(texts, now + np.array([1.0, 3, 5, 7]), info=events))
    capture.note({"kind": "note", "time": now + 2, "text": HOSTILE})
    capture.finish({signal.name: {0: (0, 1000)}, events.name: {0: (0, 4)}})
    seal(capture)
    (root / f"{HOSTILE.replace('/', '')[:40]}.h5").write_bytes((root / "odd.h5").read_bytes())

    listed = look("/recordings")
    listed.get_by_text("OK").first.wait_for()
    listed.locator("tbody a", has_text="odd.h5").click()
    listed.wait_for_url("**/browse*")
    drawn(listed)
    for title in ("amp <img", "Notes", "About", "Context"):
        listed.locator("summary", has_text=title).click()
    listed.get_by_text(HOSTILE).first.wait_for()

    assert listed.locator("main img").count() == 0
    assert listed.evaluate("document.body.dataset.hacked") is None
    assert HOSTILE in listed.locator(".tree").inner_text()
    assert HOSTILE in listed.locator(".around-legend").inner_text()


def test_a_recording_that_grows_is_followed(look: Look, root: Path) -> None:
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=1000, dtype="int16")
    capture = begin(root / "run.h5")
    now, n = local_clock(), 0

    def grow() -> None:
        nonlocal n
        data = np.arange(n, n + 500)[:, None].repeat(2, 1).astype(np.int16)
        stamps = now + np.arange(n, n + 500) / 1000
        capture.append(Signal(data, stamps, index=n, info=info))
        capture.commit()
        n += 500

    for _ in range(4):
        grow()
    page = look("/browse?file=run.h5")
    drawn(page)
    follow = page.locator("#follow")
    before = page.locator(".where").inner_text()
    for _ in range(6):
        grow()
    page.get_by_text("5\u202f000 × 2 int16").wait_for()
    wait(page, lambda: re.search(r" of 5(\.\d+)? s", page.locator(".where").inner_text()))

    assert follow.get_attribute("aria-pressed") == "true"
    assert re.search(r" of 2(\.\d+)? s", before)
    page.keyboard.press("Home")
    assert follow.get_attribute("aria-pressed") == "false"
    grow()
    page.get_by_text("5\u202f500 × 2 int16").wait_for()
    assert window_of(page)[0] == pytest.approx(0, abs=0.01)

    capture.finish({"amp.signal": {0: (0, n)}})
    seal(capture)
    page.get_by_text("OK", exact=True).wait_for()
    assert follow.is_hidden()
    page.get_by_role("link", name="Download").wait_for()


def test_it_is_readable_on_a_phone_and_in_the_dark(look: Look, recorded: Recorded) -> None:
    page = look("/browse?file=rest.h5", viewport={"width": 390, "height": 800}, color_scheme="dark")
    drawn(page)

    width: Any = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390

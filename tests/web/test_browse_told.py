"""What the pages of recordings say when not all is shown, or there is nothing yet."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.web.recorded import Recorded, begin, record
from tests.web.served import Served, Visitor, tokens_in

from rigmesh.recording import Capture, seal
from rigmesh.streams import Signal, StreamInfo, local_clock
from rigmesh_daemon.security.rules import Role

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Visit = Callable[..., "Page"]
AMP = StreamInfo.signal("amp.signal", channels=2, sampling_rate=1000, dtype="int16")
AROUND = "&from=0&to=1&bin=0.5&target=sorter.spikes&events=paradigm.events"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    tokens = tokens_in(home)
    with Served(home, "--recordings", root, tokens=tokens) as made:
        yield made


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    assert served.tokens is not None
    return served.tokens.add(Role.VIEWER)[1]


@pytest.fixture
def visitor(served: Served, token: str) -> Iterator[Visitor]:
    with served.visitor(token) as made:
        yield made


@pytest.fixture(scope="module")
def recorded(root: Path) -> Recorded:
    return record(root / "rest.h5")


@pytest.fixture(scope="module")
def linked(root: Path) -> Path:
    capture = Capture.create(root / "linked.h5", "run-1", {}, "hdf5", {"link": True})
    grow(capture, 1000)
    capture.finish({"amp.signal": {0: (0, 1000)}})
    return seal(capture)


def grow(capture: Capture, n: int) -> None:
    data = np.arange(n)[:, None].repeat(2, 1).astype(np.int16)
    capture.append(Signal(data, local_clock() + np.arange(n) / 1000, info=AMP))
    capture.commit()


# --- without a browser ---------------------------------------------------------------------------


def test_a_video_that_is_recorded_hides_no_other_recording(
    visitor: Visitor, root: Path, recorded: Recorded
) -> None:
    for name in ("cam.mkv", "suffixless"):
        Capture.create(root / name, "run-1", {}, "hdf5").close()

    answer = visitor.get("/api/recordings")

    assert answer.status_code == 200
    listed = {entry["name"] for entry in answer.json()["recordings"]}
    assert "rest.h5" in listed
    assert not listed & {"cam.mkv", "suffixless"}


@pytest.mark.parametrize(
    "asked",
    [
        {"target": "amp.signal", "from": -1e12, "to": 1e12},
        {"target": "amp.signal", "from": 0, "to": 1e5},
        {"target": "sorter.spikes", "from": -1e12, "to": 1e12, "bin": 1e-3},
    ],
)
def test_what_would_take_all_memory_is_refused(
    visitor: Visitor, recorded: Recorded, asked: dict[str, Any]
) -> None:
    query = {"file": "rest.h5", "events": "paradigm.events", **asked}

    answer = visitor.client.get("/api/browse/around", params=query)

    assert answer.status_code == 422
    assert len(answer.json()["message"]) > 10


def test_samples_beside_a_file_are_shown_and_not_fetched(visitor: Visitor, linked: Path) -> None:
    about = visitor.get("/api/recordings/about?file=linked.h5").json()
    tree = visitor.get("/api/browse/tree?file=linked.h5").json()
    traces = visitor.get("/api/browse/traces?file=linked.h5&stream=amp.signal&t0=0&t1=1")
    fetched = visitor.get("/api/recordings/file?file=linked.h5")

    assert (about["verdict"], about["is_linked"]) == ("OK", True)
    assert tree["is_linked"]
    assert traces.status_code == 200
    assert fetched.status_code == 422
    assert "linked.h5.data beside it" in fetched.json()["message"]


# --- in a browser --------------------------------------------------------------------------------


def changed(page: Page, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Let the page be told something else; traces have it in their heads."""

    def fulfil(route: Route) -> None:
        answer = route.fetch()
        body = answer.body()
        if path == "traces":
            (length,) = struct.unpack_from("<I", body)
            told = json.loads(body[4 : 4 + length])
            change(told)
            head = json.dumps(told).encode()
            head += b" " * (-(len(head) + 4) % 8)
            route.fulfill(
                response=answer, body=struct.pack("<I", len(head)) + head + body[4 + length :]
            )
            return
        told = json.loads(body)
        change(told)
        route.fulfill(response=answer, body=json.dumps(told))

    page.route(f"**/api/browse/{path}*", fulfil)


def test_a_recording_that_was_opened_before_its_first_sample_is_shown_by_itself(
    served: Served, token: str, root: Path, visit: Visit
) -> None:
    capture = begin(root / "early.h5")
    page = visit(served, "/browse?file=early.h5", token)
    page.get_by_text("No stream has begun yet.").first.wait_for()
    page.wait_for_timeout(500)  # the page writes what it shows into its address meanwhile
    grow(capture, 2000)

    page.locator("main[data-drawn]").wait_for()
    assert page.get_by_label("Show amp.signal").is_checked()
    capture.close()


def test_a_page_on_which_no_stream_is_wanted_stays_so(
    served: Served, token: str, recorded: Recorded, visit: Visit
) -> None:
    page = visit(served, "/browse?file=rest.h5&stream=amp.signal", token)
    page.locator("main[data-drawn]").wait_for()
    page.get_by_label("Show amp.signal").uncheck()
    page.reload()

    page.get_by_text("Choose a stream to see it.").wait_for()


def test_a_raster_without_room_for_all_events_says_so(
    served: Served, token: str, recorded: Recorded, visit: Visit
) -> None:
    page = visit(served, "/recordings", token)
    n = len(recorded.trials)

    def cut(told: dict[str, Any]) -> None:
        (group,) = told["groups"]
        group["raster"], group["events"] = group["raster"][:5], group["events"][:5]
        told["n_shown"] = 5

    changed(page, "around", cut)
    page.goto(f"{served.base}/browse?file=rest.h5{AROUND}")
    page.locator(".around").scroll_into_view_if_needed()

    status = page.locator(".around-status")
    status.get_by_text("the raster has room for 5 of them, the first").wait_for()
    assert status.inner_text().startswith(f"{n} events")


def test_a_table_that_is_cut_says_so(
    served: Served, token: str, recorded: Recorded, visit: Visit
) -> None:
    page = visit(served, "/recordings", token)

    def cut(told: dict[str, Any]) -> None:
        for table in told["tables"]:
            table["is_cut"] = table["key"] == "sorter.spikes"

    changed(page, "tables", cut)
    page.goto(f"{served.base}/browse?file=rest.h5{AROUND}")
    page.locator(".around").scroll_into_view_if_needed()

    said = f"only the first {len(recorded.spikes)} rows of sorter.spikes are looked at"
    page.locator(".around-status").get_by_text(said).wait_for()


def test_a_file_that_cannot_be_read_through_is_said_to_be_that(
    served: Served, token: str, recorded: Recorded, visit: Visit
) -> None:
    page = visit(served, "/recordings", token)
    asked: list[str] = []
    changed(
        page, "traces", lambda told: told.update(progress=0.25, fault="no space left on device")
    )
    page.goto(f"{served.base}/browse?file=rest.h5&t0=0&t1=4&stream=amp.signal")
    page.locator(".progress").get_by_text("no space left on device").wait_for()
    page.wait_for_timeout(300)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)  # it would ask again after 0.7 s

    assert "reading the file" not in page.locator(".progress").inner_text()
    assert not [url for url in asked if "/api/browse/traces" in url]


def test_samples_beside_a_file_are_told_where_it_would_be_fetched(
    served: Served, token: str, linked: Path, visit: Visit
) -> None:
    page = visit(served, "/recordings", token)
    row = page.locator("tr[data-name='linked.h5']")
    row.get_by_text("samples in linked.h5.data").wait_for()

    assert row.get_by_role("link", name="Download").count() == 0
    page.goto(f"{served.base}/browse?file=linked.h5")
    page.locator("main[data-drawn]").wait_for()
    page.get_by_text("samples in linked.h5.data beside it").wait_for()
    assert page.locator(".download").is_hidden()


def test_a_clock_has_no_second_60(served: Served, token: str, visit: Visit) -> None:
    page = visit(served, "/recordings", token)
    said = page.evaluate(
        "import('/static/common.js').then(({ clock }) => "
        "[clock(1763750099.7), clock(1763750099.97, 1), clock(1763750039.25, 2)])"
    )

    assert [text[5:] for text in said] == [":00", ":00.0", ":59.25"]
    assert said[0][:5] == said[1][:5] != said[2][:5]


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example/x"])
def test_a_link_through_the_log_in_does_not_lead_to_another_host(
    served: Served, token: str, browser: Any, path: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route(re.compile("^https?://evil"), lambda route: route.abort())
    page.goto(f"{served.base}/login?next={served.base}{path}#token={token}")
    page.wait_for_url(lambda url: "/login" not in url)

    assert page.url == f"{served.base}//evil.example/x"
    assert all(url.startswith(served.base) for url in asked)
    context.close()


@pytest.mark.parametrize(
    ("wanted", "reached"), [("/recordings?find=a", "/recordings?find=a"), ("http://", "/")]
)
def test_the_log_in_leads_to_what_was_wanted(
    served: Served, token: str, browser: Any, wanted: str, reached: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{served.base}/login?next={wanted}#token={token}")

    page.wait_for_url(lambda url: url.startswith(served.base + reached) and "/login" not in url)
    context.close()

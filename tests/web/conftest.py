"""What the tests of the page share: Chromium, graphs that run, and the page as a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.web.served import Served

from rigmesh.client import Manager

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-features=SpareRendererForSitePerProcess",
]  # fmt: skip

Visit = Callable[..., "Page"]
Until = Callable[[Callable[[], object]], None]


@contextmanager
def http_server() -> Iterator[str]:
    """Serve nothing in particular."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Nothing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a screen.

    For a module: as long as Playwright runs, its event loop does, and `asyncio.run` is refused.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no {_CHROMIUM}")
    with playwright.sync_playwright() as made:
        chromium = made.chromium.launch(executable_path=str(_CHROMIUM), headless=True, args=FLAGS)
        with http_server() as base:
            # Some of Chromium's processes begin with the first page that is asked for.
            page = chromium.new_page()
            page.goto(base)
            page.evaluate("localStorage.length")
            page.close()
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page of the one that is served, logged in; it must neither fail nor ask elsewhere.

    Called with the server, a path, a token (by default that of the link), and what a browser
    context takes.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(served: Served, path: str = "/", token: str = "", **options: Any) -> Page:
        context = browser.new_context(ignore_https_errors=True, **options)
        contexts.append(context)
        shown = token or served.token
        answer = context.request.post(
            f"{served.base}/api/login", data={"token": shown}, headers={"Origin": served.base}
        )
        assert answer.status == 204, answer.text()
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("request", lambda r: _check_origin(r.url, served.base, faults))
        page.on("websocket", lambda w: _check_origin(w.url, served.base, faults))
        page.on("console", lambda m: _check_console(m, faults))
        page.goto(served.base + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def _check_origin(url: str, base: str, faults: list[str]) -> None:
    bases = (base, base.replace("http", "ws", 1), "blob:" + base, "data:")
    if not url.startswith(bases):
        faults.append(f"asked for {url}")


def _check_console(message: Any, faults: list[str]) -> None:
    if message.type == "error" and "the server responded with" not in message.text:
        faults.append(f"console: {message.text}")


@pytest.fixture(autouse=True)
def _no_daemon_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIGMESH_SOCKET", raising=False)


@pytest.fixture
def manager() -> Iterator[Manager]:
    """A manager with a daemon of its own."""
    with Manager(private=True) as made:
        yield made


@pytest.fixture
def daemon_socket(manager: Manager) -> Path:
    """The socket of that daemon."""
    private = manager._private
    assert private is not None
    return private.socket


@pytest.fixture
def served(tmp_path: Path, daemon_socket: Path) -> Iterator[Served]:
    """The page of that daemon, for its user, by a one-time link."""
    with Served(tmp_path, socket=daemon_socket) as made:
        yield made


@pytest.fixture
def until() -> Until:
    """Wait for a condition; fail with its name when it does not come about."""

    def wait(condition: Callable[[], object], timeout: float = 40.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {condition}"
            time.sleep(0.02)

    return wait

"""The live page: what its server takes, and how old samples are when a browser has drawn them.

``python -m benchmarks.web`` prints a table and writes it to ``benchmarks/results``. A graph gives
64 channels at 1 kHz, then 384 at 30 kHz, and ``rigmesh web`` shows 10 s of them to a headless
Chromium, then to as many others as asked for, who do not draw. Ages are those of the newest sample
on the screen at the end of each drawing, by the clock of the daemon's host.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
from benchmarks.hop import machine
from playwright.sync_api import Page, sync_playwright
from tests.web.conftest import FLAGS
from tests.web.served import Served, Visitor, tokens_in
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from rigmesh.client import Manager
from rigmesh.client.private import PrivateDaemon
from rigmesh.node import Node, Output, param
from rigmesh.streams import Signal, StreamInfo, local_clock
from rigmesh_daemon.security.rules import Role

CHROMIUM = "/usr/bin/chromium"
STREAM = "amp.signal"
WIDTH, HEIGHT = 1400, 900
WARM_UP = 15.0

_WATCH = """() => {
    const box = document.getElementById("traces");
    window.ages = [];
    new MutationObserver(() => window.ages.push(Number(box.dataset.age)))
        .observe(box, { attributes: true, attributeFilter: ["data-drawn"] });
}"""


class Repeated(Node):
    """Gives a second of noise again and again, in chunks of 10 ms, at next to no cost."""

    signal = Output(Signal)

    n_channels: int = param(default=64, ge=1, doc="Number of channels.")
    rate: int = param(default=1000, ge=100, doc="Samples per second.")

    def prepare(self) -> None:
        """Announce the channels."""
        self.signal.announce(
            StreamInfo.signal(
                STREAM, channels=self.n_channels, sampling_rate=self.rate, dtype="int16"
            )
        )

    def acquire(self) -> Iterator[None]:
        """Push until stopped."""
        random = np.random.default_rng(1)
        data = random.normal(0, 100, (self.rate, self.n_channels)).astype(np.int16)
        n, n_sent, begin = self.rate // 100, 0, local_clock()
        offsets = np.arange(n) / self.rate
        while self.wait_until(begin + (n_sent + n) / self.rate):
            place = n_sent % self.rate
            self.signal.push(Signal(data[place : place + n], begin + n_sent / self.rate + offsets))
            n_sent += n
            yield


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


@contextmanager
def looking(visitor: Visitor) -> Iterator[None]:
    """Look as a browser does, without drawing."""
    cookie = "; ".join(f"{k}={v}" for k, v in visitor.client.cookies.items())
    url = visitor.base.replace("http", "ws", 1) + "/api/live"
    headers = {"Cookie": cookie}
    with connect(url, origin=Origin(visitor.base), additional_headers=headers) as ws:

        def draw() -> None:
            ws.send(json.dumps({"streams": [STREAM], "seconds": 10, "width": WIDTH}))
            try:
                for message in ws:
                    if isinstance(message, bytes):
                        ws.send('{"drawn": 1}')
            except ConnectionClosed:
                return

        thread = threading.Thread(target=draw)
        thread.start()
        yield
        ws.close()
        thread.join()


def measured(served: Served, page: Page, seconds: float) -> tuple[float, list[float]]:
    """Return the server's CPU, of a core, and the ages of what was drawn, in ms."""
    server = psutil.Process(served.process.pid)
    time.sleep(WARM_UP)
    page.evaluate("window.ages = []")
    before, since = server.cpu_times(), time.monotonic()
    page.wait_for_timeout(1e3 * seconds)
    after, took = server.cpu_times(), time.monotonic() - since
    ages = [1e3 * age for age in page.evaluate("window.ages") if age]
    cpu = after.user + after.system - before.user - before.system
    return cpu / took, ages


def rows(channels: int, rate: int, seconds: float, others: int) -> Iterator[str]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        daemon = PrivateDaemon()
        stack.callback(daemon.close)
        manager = stack.enter_context(Manager(socket=daemon.socket))
        manager.create_node(Repeated, name="amp", n_channels=channels, rate=rate)
        tokens = tokens_in(folder)
        served = stack.enter_context(Served(folder, socket=daemon.socket, tokens=tokens))
        manager.start_all()
        chromium = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=CHROMIUM, args=FLAGS
        )
        stack.callback(chromium.close)
        context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        token = tokens.add(Role.VIEWER)[1]
        context.request.post(
            f"{served.base}/api/login", data={"token": token}, headers={"Origin": served.base}
        )
        page = context.new_page()
        page.goto(f"{served.base}/live?stream={STREAM}")
        page.wait_for_function("() => document.getElementById('traces')?.dataset.age")
        page.evaluate(_WATCH)
        for n in dict.fromkeys((0, others)):
            with ExitStack() as lookers:
                for _ in range(n):
                    lookers.enter_context(looking(lookers.enter_context(served.visitor(token))))
                cpu, ages = measured(served, page, seconds)
            p50, p99 = np.percentile(ages, (50, 99))
            yield (
                f"| {channels} × {rate / 1000:g} kHz | 1 + {n} | {seconds:.0f} | {cpu:.1%} | "
                f"{len(ages) / seconds:.1f} | {p50:.0f} | {p99:.0f} | {max(ages):.0f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--others", type=int, default=4)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results"))
    options = parser.parse_args()
    lines = [
        f"# The live page ({time.strftime('%Y-%m-%d')})",
        "",
        machine().rstrip(),
        "- headless Chromium, software raster, on the same machine; 10 s in 1400 × 900 pixels",
        "- to reach: server ≤ 15 % of a core, age ≤ 500 ms",
        "",
        "| channels | browsers + others | s | server CPU, of a core | drawn /s "
        "| age p50, ms | p99, ms | longest, ms |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for channels, rate in ((64, 1000), (384, 30_000)):
        for row in rows(channels, rate, options.seconds, options.others):
            say(row)
            lines.append(row)
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.mkdir(exist_ok=True)
    (options.output / "web.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Recordings in the browser: how soon an overview and a window are there.

``python -m benchmarks.browse`` makes recordings of 10 min × 32 channels × 30 kHz, serves them by
``rigmesh web`` and asks for them as the page does; with Chromium at ``/usr/bin/chromium`` it also
opens the page. Prints tables and writes them to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.hop import machine
from benchmarks.recording import brain, info_of

from rigmesh.recording import Capture, seal
from rigmesh.streams import Markers, Signal, StreamInfo, local_clock

RATE, CHANNELS = 30_000, 32
COLUMNS = 1650  # of 1100 pixels, with a margin on both sides
WIDTHS = (600.0, 60.0, 10.0, 4.0, 3.0, 1.0, 0.1)
CHROMIUM = Path("/usr/bin/chromium")
OPENED = 11
COMMAND = "import typer; from rigmesh.cli.web import web; typer.run(web)"


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def record(path: Path, seconds: int) -> None:
    say(f"recording {path.name}")
    info, marks = info_of(CHANNELS), StreamInfo.markers("paradigm.events")
    fmt = {".h5": "hdf5", ".nwb": "nwb", ".xdf": "xdf"}[path.suffix]
    capture = Capture.create(path, "benchmark", {}, fmt)
    second, first = brain(CHANNELS), local_clock()
    for n in range(seconds):
        stamps = first + n + np.arange(RATE) / RATE
        capture.append(Signal(second, stamps, index=n * RATE, info=info))
    events = np.arange(1.0, seconds - 1, 0.5)
    texts = [("go", "stop")[k % 2] for k in range(len(events))]
    capture.append(Markers(texts, first + events, info=marks))
    capture.finish({info.name: {0: (0, seconds * RATE)}, marks.name: {0: (0, len(events))}})
    seal(capture)


class Page:
    """The page as a process, and somebody who asks it."""

    def __init__(self, root: Path, home: Path) -> None:
        env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(home / "cache")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--listen", "127.0.0.1:0", "--recordings", root],
            stdout=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.base, _, token = self.process.stdout.readline().strip().partition("/#token=")
        self.client = httpx.Client(base_url=self.base, trust_env=False, timeout=600)
        headers = {"Origin": self.base}
        self.client.post("/api/login", json={"token": token}, headers=headers).raise_for_status()

    def get(self, path: str, **query: Any) -> tuple[float, httpx.Response]:
        begin = time.perf_counter()
        answer = self.client.get(f"/api/browse/{path}", params=query)
        took = time.perf_counter() - begin
        answer.raise_for_status()
        return took, answer

    def traces(self, file: str, t0: float, t1: float) -> tuple[float, int]:
        took, answer = self.get(
            "traces", file=file, stream="amp.signal", t0=t0, t1=t1, columns=COLUMNS
        )
        return took, len(answer.content)

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait()


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def measured(page: Page, file: str, seconds: int, rounds: int) -> list[str]:
    """Return rows of the table for one file: the overview first of all, with nothing read yet."""
    say(f"asking for {file}")
    tree, _ = page.get("tree", file=file)
    first, _ = page.traces(file, 0, seconds)
    lines = [
        f"| {file} | open | {ms(tree)} | | |",
        f"| {file} | first overview | {ms(first)} | | |",
    ]
    begin = time.perf_counter()
    while page.get("edge", file=file)[1].json()["progress"] < 1:
        time.sleep(0.1)
    if (waited := time.perf_counter() - begin) > 0.2:
        lines.append(f"| {file} | until its bins are made | {waited:.1f} s | | |")
    random = np.random.default_rng(1)
    for width in (w for w in WIDTHS if w <= seconds):
        took, n_bytes = [], 0
        for _ in range(rounds):
            start = float(random.uniform(0, seconds - width))
            one, n_bytes = page.traces(file, start, start + width)
            took.append(one)
        row = (f"window of {width:g} s", ms(statistics.median(took)), ms(max(took)))
        lines.append(f"| {file} | {' | '.join(row)} | {n_bytes / 1e3:.0f} kB |")
    query = {"events": "paradigm.events", "by": "text", "from": -0.1, "to": 0.4}
    tables, _ = page.get("tables", file=file)
    counts, _ = page.get("around", file=file, target="paradigm.events", bin=0.01, **query)
    mean, _ = page.get("around", file=file, target="amp.signal", channel="3", **query)
    lines += [f"| {file} | tables of events | {ms(tables)} | | |",
              f"| {file} | histogram of 1,200 events around 1,200 | {ms(counts)} | | |",
              f"| {file} | mean of a channel around 1,200 events | {mean:.1f} s | | |"]  # fmt: skip
    return lines


def in_chromium(page: Page, file: str) -> list[str]:
    if not CHROMIUM.exists():
        return []
    from playwright.sync_api import sync_playwright

    say("opening it in Chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        context = browser.new_context(viewport={"width": 1440, "height": 1000})
        cookies = [{"name": c.name, "value": c.value, "url": page.base}
                   for c in page.client.cookies.jar]  # fmt: skip
        context.add_cookies(cookies)  # type: ignore[arg-type]
        took: list[float] = []

        def timed(act: Callable[[], object]) -> None:
            begin = time.perf_counter()
            before = drawn()
            act()
            while drawn() <= before:
                tab.wait_for_timeout(2)
            took.append(time.perf_counter() - begin)

        def drawn() -> int:
            return int(tab.evaluate("Number(document.querySelector('main')?.dataset.drawn ?? 0)"))

        url = f"{page.base}/browse?file={file}"
        for _ in range(OPENED):
            for before in context.pages:
                before.close()
            tab = context.new_page()
            timed(functools.partial(tab.goto, url, wait_until="commit"))
        tab.wait_for_timeout(1000)
        tab.locator(".traces").focus()
        for key in ["+"] * 24 + ["ArrowRight"] * 6:
            timed(functools.partial(tab.keyboard.press, key))
            tab.wait_for_timeout(150)
        browser.close()
    opened, zooms = took[:OPENED], took[OPENED:]
    what = "page opened until its overview is drawn"
    return [f"| {file} | {what}, the first time | {ms(opened[0])} | | |",
            f"| {file} | {what}, later | "
            f"{ms(statistics.median(opened[1:]))} | {ms(max(opened[1:]))} | |",
            f"| {file} | key pressed until the new window is drawn, 600 s to 0.1 s | "
            f"{ms(statistics.median(zooms))} | {ms(max(zooms))} | |"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a few seconds; nothing is kept")
    parser.add_argument("--folder", type=Path, help="where recordings are made, and found again")
    asked = parser.parse_args()
    seconds, rounds = (20, 3) if asked.quick else (asked.seconds, asked.rounds)
    with tempfile.TemporaryDirectory(prefix="rigmesh-browse-", dir=asked.folder) as temporary:
        root, home = Path(temporary, "recordings"), Path(temporary, "home")
        root.mkdir()
        home.mkdir()
        for name in ("probe.h5", "probe.nwb"):
            record(root / name, seconds)
        page = Page(root, home)
        try:
            lines = [line for name in ("probe.h5", "probe.nwb")
                     for line in measured(page, name, seconds, rounds)]  # fmt: skip
            lines += in_chromium(page, "probe.h5")
        finally:
            page.close()
    text = "\n".join(
        ["# Recordings in the browser", "", machine(), "",
         f"{seconds} s × {CHANNELS} channels × {RATE // 1000} kHz of int16; {COLUMNS} columns and "
         "all channels; the page's server and who asks it on one machine.", "",
         "| file | what | median | largest | answer |", "|---|---|---|---|---|", *lines, ""]
    )  # fmt: skip
    print(text)
    if not asked.quick:
        Path(__file__).with_name("results").joinpath("browse.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Makes the pictures of the documentation: real windows and pages of a rig that runs.

``python examples/pictures/make.py`` writes them into ``docs/images``. Windows are drawn without a
screen; for the pages it takes Chromium, and Playwright to drive it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from rigmesh.client import Manager

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "docs" / "images"
SETTLE = 12.0
"""Seconds after which every window has something to show."""

WINDOWS: dict[str, tuple[str, dict[str, Any], dict[str, list[str]]]] = {
    "oscilloscope": (
        "Oscilloscope",
        {"seconds": 5, "title": "EEG"},
        {"signal": ["eeg.signal"], "markers": ["marks.markers"]},
    ),
    "triggered": (
        "TriggeredOscilloscope",
        {"select": "standard", "channels": ["Fz", "Cz", "Pz", "O1"]},
        {"signal": ["alpha.filtered"], "events": ["marks.markers"]},
    ),
    "timefreq": (
        "TimeFreq",
        {"f_start": 4, "f_stop": 40, "channels": ["Fz", "Cz", "Pz", "O1"]},
        {"signal": ["eeg.signal"], "markers": ["marks.markers"]},
    ),
    "spectrum": ("viewers.Spectrum", {}, {"signal": ["eeg.signal"]}),
    "raster": (
        "Raster",
        {"group": r'"unit": (\d+)'},
        {"events": ["probe.truth", "marks.markers"]},
    ),
    "images": ("ImageViewer", {}, {"frames": ["camera.frames"]}),
}

_EEG = "stream=eeg.signal&seconds=5"
PAGES = {
    "web-rigs": (1280, 800, "/"),
    "web-live": (1280, 800, f"/live?{_EEG}&stream=marks.markers&stream=camera.frames"),
    "web-live-phone": (390, 844, f"/live?{_EEG}"),
    "web-graph": (1280, 800, "/graph"),
    "web-recordings": (1280, 800, "/recordings"),
    "web-browse": (
        1280,
        1150,
        "/browse?file=session.h5&stream=alpha.filtered&stream=marks.markers&stream=spikes.events"
        "&follow=1&width=4&events=marks.markers&by=text&target=spikes.events"
        "&from=-0.2&to=0.6&bin=0.02",
    ),
}
"""Width and height of each, and where it is."""


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def open_windows(manager: Manager) -> None:
    """Open one window of each kind."""
    for name, (type_, parameters, inputs) in WINDOWS.items():
        window = manager.create_node(type_, name=name, **parameters)
        for port, streams in inputs.items():
            for stream in streams:
                node, _, output = stream.partition(".")
                window.inputs[port].connect(manager[node].outputs[output])


def picture_panel(socket: Path, path: Path) -> None:
    """Show the panel until it knows the rig, and take its picture."""
    from PyQt5 import QtWidgets

    from rigmesh.viewers.panel import Panel

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["rigmesh"])
    panel = Panel(find_socket=lambda: socket)
    panel.show()
    end = time.monotonic() + 6
    while time.monotonic() < end:
        application.processEvents()
        time.sleep(0.02)
        if not panel.selected and panel.nodes:
            panel.choose(next(key for key in panel.nodes if key.endswith("alpha")))
    panel.grab().save(str(path))
    panel.close()


@contextlib.contextmanager
def served(socket: Path, recordings: Path) -> Iterator[str]:
    """Serve the page; yield the link that one logs in with."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("rigmesh"), "web", "--listen", "127.0.0.1:0",
         "--recordings", recordings],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "RIGMESH_SOCKET": str(socket)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def picture_pages(link: str) -> None:
    """Take pictures of pages, one of them as a phone shows it."""
    from playwright.sync_api import sync_playwright

    base = link.partition("/#")[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(link)
        page.wait_for_timeout(2000)
        for name, (width, height, path) in PAGES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.goto(base + path)
            page.wait_for_timeout(6000)
            page.screenshot(path=str(PICTURES / f"{name}.png"))
            say(name)
        browser.close()


def main() -> None:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("windows", "pages"))
    wanted = parser.parse_args().only
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Manager(private=True) as manager:
        recording = Path(folder) / "session.h5"
        manager.load(HERE / "rig.yaml", settings={"recorder": {"path": str(recording)}})
        if wanted != "pages":
            open_windows(manager)
        manager.start_all()
        time.sleep(SETTLE)
        socket = Path(manager.where("eeg.signal"))
        if wanted != "pages":
            for name, window in manager.windows.items():
                window.grab(PICTURES / f"{name}.png")
                say(name)
            picture_panel(socket, PICTURES / "panel.png")
        if wanted != "windows":
            with served(socket, Path(folder)) as link:
                picture_pages(link)
        manager.stop_all()


if __name__ == "__main__":
    main()

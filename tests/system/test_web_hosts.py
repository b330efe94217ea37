"""The pages of a machine without a daemon, which show another one with a clock of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.machines import why_not
from tests.system.rig import Console, RigHost, rig_of

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.timeout(300),
]

_CHROMIUM = Path("/usr/bin/chromium")
_RATE = 500

MAKE = f"""
from rigmesh.client import Manager
manager = Manager()
amp = manager.add_host("AMP")
devices = amp.create_nodegroup("devices", buffer_seconds=60)
device = manager.create_node(
    "Oscillators", name="amp", host=devices, n_channels=4, sampling_rate={_RATE}, sample_number=True
)
band = manager.create_node("BandPass", name="alpha", host=amp.create_nodegroup("analysis"))
band.input.connect(device.output)
"""

LOOK = f"""
from playwright.sync_api import sync_playwright

playwright = sync_playwright().start()
chromium = playwright.chromium.launch(
    executable_path="{_CHROMIUM}", args=["--no-sandbox", "--disable-gpu"]
)
page, faults = chromium.new_page(), []
page.on("pageerror", lambda error: faults.append(str(error)))
page.goto("LINK")
page.get_by_text("Log out").wait_for()
"""

# From the ring of the other machine: it ran before anybody looked.
GO_BACK = """
page.get_by_role("button", name="Following").click()
page.locator("#traces").focus()
for _ in range(20):
    page.keyboard.press("-")
page.wait_for_function('''() => {
    const { window } = live.streams.get("amp.signal");
    return window && window.least(0)[0] === 0;
}''', timeout=60_000)
"""

COLUMNS = """
page.evaluate('''() => {
    const stream = live.streams.get("amp.signal");
    const { times, least, greatest } = stream.columns.source(0);
    const { age, lost } = stream;
    return { times: [...times], least: [...least], greatest: [...greatest], age, lost };
}''')
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[dict[str, RigHost]]:
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no {_CHROMIUM}")
    with rig_of(tmp_path, {"amp": 700}) as hosts:
        yield hosts


@pytest.fixture
def served(rig: dict[str, RigHost]) -> Iterator[str]:
    """The link to the pages that the desk serves."""
    desk = rig["desk"]
    with (desk.folder / "web.log").open("wb") as log:
        process = desk.machine.run(
            [str(Path(sys.executable).with_name("rigmesh")), "web", "--host", rig["amp"].address],
            env={**desk.env, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}, cwd=desk.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    assert link.startswith("http"), (desk.folder / "web.log").read_text()
    yield link
    process.terminate()
    process.wait(60)
    process.stdout.close()


def _look(browser: Console, code: str) -> Any:
    return browser.do(code, within=60)


def test_another_machine_is_started_shown_and_stopped(rig: dict[str, RigHost], served: str) -> None:
    with rig["desk"].console() as script, rig["desk"].console() as browser:
        script.do(MAKE.replace("AMP", rig["amp"].address))
        _look(browser, LOOK.replace("LINK", served))
        base = served.partition("#")[0].rstrip("/")

        _look(browser, "page.get_by_text('amp', exact=True).first.wait_for()")
        _look(browser, f"page.goto('{base}/graph')")
        _look(browser, "page.get_by_role('button', name='Start', exact=True).click()")
        _look(browser, "page.get_by_role('button', name='alpha, filters.BandPass, running')"
                       ".wait_for()")  # fmt: skip
        state = script.do("manager['amp'].state")
        _look(browser, f"page.goto('{base}/live?stream=amp.signal&seconds=1')")
        _look(
            browser,
            """
page.evaluate('async () => { window.live = await import("/static/live.js"); }')
page.wait_for_function('''() => {
    const columns = live.streams.get("amp.signal")?.columns;
    return columns && columns.stop - columns.first > 400;
}''', timeout=60_000)
""",
        )
        shown = _look(browser, COLUMNS)
        newest = script.do("import time\ntime.monotonic()")
        _look(browser, GO_BACK)
        _look(browser, f"page.goto('{base}/graph')")
        _look(browser, "page.locator('#stop:enabled').click()")
        _look(browser, "page.get_by_role('button', name='amp, sim.Oscillators, stopped')"
                       ".wait_for()")  # fmt: skip
        faults = _look(browser, "chromium.close(); playwright.stop(); faults")

    assert state == "running"
    times, numbers = np.array(shown["times"]), np.array(shown["least"])
    assert shown["least"] == shown["greatest"]
    assert (np.diff(numbers) == 1).all()
    assert shown["lost"] == 0
    # By the clock of who looks, not by that of the machine, which is 700 s ahead.
    assert abs(newest - times[-1]) < 30
    assert np.ptp(times - numbers / _RATE) < 0.01
    assert faults == []

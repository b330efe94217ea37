"""The same windows on a real X server that nobody sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt5 import QtGui

SCRIPT = """
import sys, time
from rigmesh.client import Manager

with Manager(private=True) as manager:
    source = manager.create_node("sim.Oscillators", n_channels=4)
    scope = manager.create_node("Oscilloscope", seconds=2)
    scope.input.connect(source.output)
    manager.start_all()
    for chunk in source.output.chunks(seconds=3):
        pass
    scope.grab(sys.argv[1])
"""


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of the test's own; its number is whatever is free."""
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            number = told.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start here")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def test_a_window_opens_on_an_x_server(display: str, tmp_path: Path) -> None:
    picture = tmp_path / "scope.png"
    environment = {k: v for k, v in os.environ.items() if k != "QT_QPA_PLATFORM"}

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, picture],
        env={**environment, "DISPLAY": display, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    image = QtGui.QImage(str(picture))
    colours = {image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(image.height())}
    assert len(colours) > 5

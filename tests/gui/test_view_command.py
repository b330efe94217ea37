"""``rigmesh view``: windows in front of a terminal, of a graph that runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rigmesh.client import Manager

RIGMESH = Path(sys.executable).with_name("rigmesh")


def until(condition: Callable[[], object], timeout: float = 40.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


@pytest.fixture
def manager() -> Iterator[Manager]:
    with Manager(private=True) as made:
        made.create_node("sim.Oscillators", name="amp")
        made.create_node("sim.Markers", name="marks")
        yield made


@pytest.fixture
def view(manager: Manager) -> Callable[..., subprocess.Popen[str]]:
    socket = manager.where("amp.signal")

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [RIGMESH, "view", *arguments],
            env={**os.environ, "RIGMESH_SOCKET": socket, "QT_QPA_PLATFORM": "offscreen"},
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_all_signals_and_markers_are_shown_until_ctrl_c(
    manager: Manager, view: Callable[..., subprocess.Popen[str]]
) -> None:
    manager.start_all()
    shown = view()
    try:
        until(lambda: len(rings_of(shown.pid)) == 2)

        shown.send_signal(signal.SIGINT)

        assert shown.wait(30) == 0
    finally:
        shown.kill()
        shown.communicate()
    assert manager["amp"].state == "running"


def test_the_panel_ends_with_ctrl_c(
    manager: Manager, view: Callable[..., subprocess.Popen[str]]
) -> None:
    shown = view("--panel")
    try:
        until(lambda: n_threads_of(shown.pid) >= 8)

        shown.send_signal(signal.SIGINT)

        assert shown.wait(30) in (0, 130)
    finally:
        shown.kill()
        shown.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["amq"], "no stream 'amq'; known: amp.signal, marks.markers"),
        (["amp", "--as", "ImageViewer"], "cannot show"),
        (["amp", "marks", "--as", "Spectrum"], "cannot show"),
    ],
)
def test_what_cannot_be_shown_is_told(
    view: Callable[..., subprocess.Popen[str]], arguments: list[str], said: str
) -> None:
    shown = view(*arguments)
    _, errors = shown.communicate(timeout=60)

    assert shown.returncode in (1, 2)
    assert said in " ".join(errors.split())
    assert "Traceback" not in errors


def test_without_a_screen_it_says_so(manager: Manager) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}

    done = subprocess.run(
        [RIGMESH, "view", "amp"], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1
    assert "there is no screen" in " ".join(done.stderr.split())


def rings_of(pid: int) -> set[str]:
    """Return the rings of streams that a process reads."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split()[-1] for line in lines if "/dev/shm/rigmesh-" in line}


def n_threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))

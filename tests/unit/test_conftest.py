"""The checks that every test is held to find what they look for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAKS = """
import socket, subprocess, threading
import pytest
from rigmesh.streams import StreamInfo
from rigmesh.transports import ShmTransport, process_token

kept = []
stop = threading.Event()

@pytest.fixture(scope="module", autouse=True)
def _clean_up():
    yield
    stop.set()
    for item in kept:
        item.close() if hasattr(item, "close") else item.kill() or item.wait()

def test_leaves_a_segment():
    info = StreamInfo.signal("test.left", channels=1, sampling_rate=100.0)
    kept.append(ShmTransport(process_token()).writer(info, 64))

def test_leaves_a_semaphore():
    kept.append(ShmTransport(process_token()).bell())

def test_leaves_a_process():
    kept.append(subprocess.Popen(["sleep", "60"]))

def test_leaves_a_thread():
    threading.Thread(target=stop.wait).start()

def test_leaves_a_socket():
    kept.append(socket.socket())

def test_leaves_nothing():
    threading.Timer(0.3, stop.is_set).start()
"""

SKIPS = """
import pytest

@pytest.mark.skip(reason="because")
def test_known():
    pass

@pytest.mark.skip(reason="because")
def test_unknown():
    pass
"""


def run(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a folder of their own, under this project's conftest."""
    (folder / "conftest.py").write_text(
        (Path(__file__).parents[1] / "conftest.py")
        .read_text(encoding="utf-8")
        .replace("_WITHIN = 5.0", "_WITHIN = 0.6"),
        encoding="utf-8",
    )
    (folder / "allowed_skips.txt").write_text("*::test_known  has a reason\n", encoding="utf-8")
    (folder / "test_it.py").write_text(source, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if k != "CI"} | environment,
    )


def test_a_test_that_leaves_something_behind_fails(tmp_path: Path) -> None:
    result = run(tmp_path, LEAKS)

    named = [line for line in result.stdout.splitlines() if line.startswith("ERROR ")]
    assert "6 passed, 5 errors" in result.stdout
    for what in ("segment", "semaphore", "process", "thread", "socket"):
        assert any(f"test_leaves_a_{what}" in line for line in named)


@pytest.mark.parametrize(("environment", "code"), [({}, 0), ({"CI": "1"}, 1)])
def test_an_unexpected_skip_fails_the_run_of_record(
    tmp_path: Path, environment: dict[str, str], code: int
) -> None:
    result = run(tmp_path, SKIPS, **environment)

    assert result.returncode == code
    assert ("test_unknown, which is not in" in result.stdout) == bool(code)
    assert "test_known, which is not in" not in result.stdout

"""The tutorials of closed loops: every command and every line of Python, as a reader types them.

What runs until Ctrl-C here runs until enough pulses were fired; whether limits of speed are held
is the matter of the computer, not of a test.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RIGMESH = Path(sys.executable).with_name("rigmesh")
BLOCK = re.compile(r"^```(sh|python no-run)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
N_PULSES = 6

pytestmark = pytest.mark.timeout(120)


class Reader:
    """Does what a tutorial says, in a folder with the examples.

    Parameters
    ----------
    folder : Path
        Where the reader is.
    daemons : str
        Folder of the daemons that the reader starts: others on this machine are not seen.
    """

    def __init__(self, folder: Path, daemons: str) -> None:
        self.folder = folder
        self.said: list[str] = []
        self._running: subprocess.Popen[str] | None = None
        known = {key: value for key, value in os.environ.items() if key != "RIGMESH_SOCKET"}
        self._environment = {**known, "TMPDIR": daemons, "COLUMNS": "120"}
        (folder / "examples").symlink_to(ROOT / "examples")

    def read(self, page: str) -> None:
        """Follow a page."""
        text = (ROOT / "docs" / "tutorials" / page).read_text(encoding="utf-8")
        for language, body in BLOCK.findall(text):
            if language == "sh":
                for line in body.replace("\\\n", " ").splitlines():
                    self._type(shlex.split(line))
            else:
                self.stop()
                self._run(sys.executable, "-W", "error", "-c", body)

    def stop(self) -> None:
        """Press Ctrl-C in the first terminal, if something runs there, after enough pulses."""
        if self._running is None:
            return
        self._await_pulses()
        process, self._running = self._running, None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=50)
        self.said.append(said)
        assert process.returncode == 0, said

    def close(self) -> None:
        """Leave nothing behind."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()

    def _type(self, words: list[str]) -> None:
        assert words[0] == "rigmesh"
        command, arguments = words[1], words[1:]
        if command == "run":
            self._start(arguments)
        elif command == "latency":
            self.stop()
            arguments = [*arguments, "--duration", "2"]  # the last one counts
            self._run(RIGMESH, *arguments, may_fail=True)
        else:
            if command == "info":
                self.stop()
            self._run(RIGMESH, *arguments)

    def _start(self, arguments: list[str]) -> None:
        self._running = subprocess.Popen(
            [RIGMESH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self._environment, cwd=self.folder,
        )  # fmt: skip
        assert self._running.stdout is not None
        while not (line := self._running.stdout.readline()).startswith("running"):
            assert line, "it ended"

    def _await_pulses(self) -> None:
        deadline = time.monotonic() + 60
        while int(self._run(RIGMESH, "get", "ttl.n_pulses")) < N_PULSES:
            assert time.monotonic() < deadline

    def _run(self, *words: str | Path, may_fail: bool = False) -> str:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=50, env=self._environment,
            cwd=self.folder,
        )  # fmt: skip
        allowed = (0, 1) if may_fail else (0,)
        assert done.returncode in allowed, f"{words}\n{done.stdout}{done.stderr}"
        self.said.append(done.stdout)
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with tempfile.TemporaryDirectory(prefix="rm-", dir="/tmp") as daemons:
        made = Reader(tmp_path, daemons)
        yield made
        made.close()


def test_a_ripple_loop_is_closed_as_the_tutorial_says(reader: Reader) -> None:
    reader.read("close-a-ripple-loop.md")

    said = "\n".join(reader.said)
    assert re.search(r"found [1-9]\d* of \d+ ripples, \d+ markers without one", said)
    assert re.search(r"found \d+ ms after the onset", said)
    assert "ripples.h5  OK" in said
    assert "limit" in said
    assert ET.parse(reader.folder / "latencies.svg").getroot().tag.endswith("svg")
    assert (reader.folder / "latencies.png").exists()


def test_a_rhythm_is_stimulated_at_a_phase_as_the_tutorial_says(reader: Reader) -> None:
    reader.read("stimulate-at-a-phase.md")

    said = "\n".join(reader.said)
    assert re.search(r"\d+ stimuli at -?\d+°, concentration \d\.\d\d", said)
    assert "phase.h5  OK" in said

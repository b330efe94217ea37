"""What is measured runs in processes of its own, at raised priority, and ends with us."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from benchmarks.loop.raised import raise_task

__all__ = [
    "HERE",
    "ROOT",
    "BenchError",
    "Program",
    "Terminal",
    "cpu_seconds",
    "drive",
    "nice_of_children",
    "python",
    "raise_processes",
]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class BenchError(Exception):
    """A program of the benchmark did not do its part."""


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this folder."""
    return [sys.executable, "-m", f"benchmarks.loop.{module}", *map(str, arguments)]


class Program:
    """A program that prints lines of JSON; killed, with all it started, on leaving.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    folder : Path
        For its temporary files, since one that is killed cannot remove them.
    """

    def __init__(self, command: list[str], folder: Path | None = None) -> None:
        self.name = " ".join(Path(word).name for word in command[:5])
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        if folder is not None:
            env["TMPDIR"] = str(folder)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "raised.py"), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            # A session of its own has an autogroup of its own, and Ctrl-C is for us alone.
            start_new_session=True,
            env=env,
        )
        if self._process.stdout is None:
            raise BenchError(f"{self.name} has no output")
        self._out = self._process.stdout.fileno()
        self._said = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self, timeout: float = 30.0) -> dict[str, Any]:
        """Return the next line that it prints.

        Raises
        ------
        BenchError
            If none comes.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._said:
            rest = max(0.0, deadline - time.monotonic())
            if not select.select([self._out], [], [], rest)[0]:
                raise BenchError(f"{self.name} said nothing for {timeout:.0f} s")
            more = os.read(self._out, 65536)
            if not more:
                status = self._process.wait(10)
                raise BenchError(f"{self.name} ended with status {status}; see above")
            self._said += more
        text, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(text)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end(psutil.Process(self._process.pid))
        # Its number is free for others only once it has been waited for.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _end(process: psutil.Process) -> None:
    """Kill a process and all it started, except who tidies up behind them and then ends."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.Error):
            if not any("resource_tracker" in word for word in member.cmdline()):
                member.kill()
    psutil.wait_procs(family[1:], timeout=2.0)


class Terminal:
    """A pty that takes the triggers; what was written to it is counted at the end.

    Nobody waits for them meanwhile, since that would wake a process at each trigger: a pty holds
    4095 bytes.

    Parameters
    ----------
    is_drained : bool
        Look twice a second, for runs that write more than that.
    """

    def __init__(self, *, is_drained: bool = False) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        self._counted = 0
        self._is_over = threading.Event()
        self._drain: threading.Thread | None = None
        if is_drained:
            self._drain = threading.Thread(target=self._keep_draining, daemon=True)
            self._drain.start()

    def count(self) -> int:
        """Return how many bytes were written in all."""
        if self._drain is not None:
            self._is_over.set()
            self._drain.join()
        self._read()
        return self._counted

    def _keep_draining(self) -> None:
        while not self._is_over.wait(0.5):
            self._read()

    def _read(self) -> None:
        while select.select([self._ours], [], [], 0)[0]:
            self._counted += len(os.read(self._ours, 65536))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        if self._drain is not None:
            self._drain.join()
        os.close(self._ours)
        os.close(self._theirs)


@dataclass(frozen=True)
class Sent:
    """What the sender did, and what it cost who listened.

    Parameters
    ----------
    packets, events : int
        How many it sent, and how many triggers they call for.
    cpu : float
        What those processes computed meanwhile, as a part of the time.
    """

    packets: int
    events: int
    cpu: float


def drive(port: int, channels: int, rate: float, seconds: float, pids: Iterable[int]) -> Sent:
    """Send packets to a port of this machine."""
    pids = list(pids)
    with Program(python("sender", port, channels, rate, seconds)) as sender:
        sender.line()
        before = sum(map(cpu_seconds, pids))
        sent = sender.line(seconds + 30)
        cpu = sum(map(cpu_seconds, pids)) - before
        sender.line()  # it has told the listener, too, that there is no more
    return Sent(sent["sent"], sent["events"], cpu / sent["seconds"])


def cpu_seconds(pid: int) -> float:
    """Return what a process has computed so far, all threads, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def nice_of_children() -> int:
    """Return the nice value that programs get: below 0 if this user may raise them."""
    program = "import json, os; print(json.dumps({'nice': os.nice(0)}))"
    with Program([sys.executable, "-c", program]) as child:
        return int(child.line()["nice"])


def raise_processes(pids: Iterable[int]) -> None:
    """Raise every thread of processes that run already; each has a session for itself."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # over meanwhile
            for task in Path(f"/proc/{pid}/task").iterdir():
                raise_task(int(task.name), pid)

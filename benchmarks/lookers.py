"""What ten open windows cost who makes the data: how long a push takes, with and without them.

``python -m benchmarks.lookers`` prints a table and writes it to ``benchmarks/results``. A source of
64 channels pushes 1000 chunks a second. Oscilloscopes are open beside it, and a process that reads
nothing; every two seconds another of them goes on and the rest are stopped, hundreds of times, so
that what else the machine does falls on all alike.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from benchmarks.hop import machine

from rigmesh.client import Manager, NodeHandle
from rigmesh.node import Node, Output, command, param
from rigmesh.streams import Signal, StreamInfo, local_clock

RATE = 1000
N_CHANNELS = 64
SETTLE, TURN = 0.5, 2.0
REDRAWS = 1000

Array = npt.NDArray[Any]

BURN = """
import time
from rigmesh.display import give_way

give_way()
while True:
    begin = time.monotonic()
    while time.monotonic() < begin + 0.025:
        pass
    time.sleep(0.006)
"""
"""What takes as much of a core as ten windows do, at the same priority."""


class Pusher(Node):
    """Pushes a sample of 64 channels every millisecond, and times each push."""

    signal = Output(Signal)

    n_channels: int = param(default=N_CHANNELS, ge=1, doc="Number of channels.")
    is_real_time: bool = param(default=False, doc="Goes before all that is not.")

    def prepare(self) -> None:
        """Announce the channels."""
        self.signal.announce(
            StreamInfo.signal(
                "pusher.signal", channels=self.n_channels, sampling_rate=RATE, dtype="float32"
            )
        )
        self._took: list[tuple[float, float]] = []

    def acquire(self) -> Iterator[None]:
        """Push until stopped."""
        data = np.random.default_rng(1).standard_normal((RATE, 1, self.n_channels), np.float32)
        number = 0
        if self.is_real_time:  # a script's own node is in no group whose `priority` would say it
            for thread in Path("/proc/self/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(50))
        due = local_clock()
        while self.wait_until(due):
            chunk = Signal(data[number % RATE] * 50, np.array([local_clock()]))
            begin = time.perf_counter()
            self.signal.push(chunk)
            self._took.append((begin, time.perf_counter() - begin))
            number += 1
            due += 1 / RATE
            yield

    @command
    def take(self) -> tuple[list[float], list[float]]:
        """Return when each push since the last call began, and how long it took, in seconds."""
        took, self._took = self._took, []
        return [at for at, _ in took], [seconds for _, seconds in took]


NOBODY, BUSY, WINDOWS = "no window", "a busy process", "windows"


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    """Have processes stand still, except for whom the block lets go on."""
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


def measure(
    n_windows: int, rounds: int, *, is_real_time: bool
) -> tuple[dict[str, list[Array]], dict[str, float]]:
    """Return the µs that pushes took beside each, turn by turn, and each one's share of a core."""
    found: dict[str, list[Array]] = {NOBODY: [], BUSY: [], WINDOWS: []}
    with ExitStack() as stack:
        manager = stack.enter_context(Manager(private=True))
        pusher = manager.create_node(Pusher, is_real_time=is_real_time)
        for _ in range(n_windows):
            window = manager.create_node("Oscilloscope", seconds=5)
            window.input.connect(pusher.output)
        manager.start_all()
        burn = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", BURN], start_new_session=True)
        )
        stack.callback(burn.kill)
        time.sleep(5)  # for windows to open
        beside = {BUSY: [psutil.Process(burn.pid)], WINDOWS: windows_of(psutil.Process())}
        stack.enter_context(stopped(*chain(*beside.values())))
        before = {kind: used(processes) for kind, processes in beside.items()}
        for number in range(rounds):
            for kind in np.random.default_rng(number).permutation(list(found)).tolist():
                found[kind].append(turn(pusher, beside.get(kind, [])))
            print(f"round {number + 1}/{rounds}", file=sys.stderr, flush=True)
        share = {
            kind: (used(processes) - before[kind]) / rounds / (SETTLE + TURN)
            for kind, processes in beside.items()
        }
    return found, share


def used(processes: list[psutil.Process]) -> float:
    """Return the seconds of processor that processes have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def windows_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the processes that draw."""
    below = process.children(recursive=True)
    return [one for one in below if "rigmesh.viewers" in one.cmdline()]


def turn(pusher: NodeHandle, going: list[psutil.Process]) -> Array:
    """Return how long pushes take while some processes go on."""
    for process in going:
        process.resume()
    time.sleep(SETTLE)
    begin = time.perf_counter()
    time.sleep(TURN)
    end = time.perf_counter()
    for process in going:
        process.suspend()
    # Asked for afterwards: an answer would be given by the process that pushes.
    at, took = map(np.array, pusher.call("take"))
    return took[(at >= begin) & (at < end)] * 1e6


def table(found: dict[str, list[Array]]) -> str:
    """Return the table as Markdown: of all pushes, and between what their ratio is likely to be."""
    lines = ["| beside | percentile | µs | ratio | 95 % of it |", "|---|---|---:|---:|---:|"]
    rng = np.random.default_rng(0)
    n = len(found[NOBODY])
    drawn = rng.integers(0, n, (REDRAWS, n))
    for name, percentile in (("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)):
        alone = percentiles(found[NOBODY], percentile, drawn)
        for kind, turns in found.items():
            here = percentiles(turns, percentile, drawn)
            low, high = np.percentile(here[1:] / alone[1:], [2.5, 97.5])
            lines.append(
                f"| {kind} | {name} | {here[0]:.1f} | {here[0] / alone[0]:.2f} | "
                f"{low:.2f} to {high:.2f} |"
            )
    return "\n".join(lines)


def percentiles(turns: list[Array], percentile: float, drawn: Array) -> Array:
    """Return a percentile of all turns, then of those drawn with replacement (a bootstrap)."""
    some = [np.concatenate([turns[number] for number in numbers]) for numbers in drawn]
    return np.array([np.percentile(each, percentile) for each in [np.concatenate(turns), *some]])


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/lookers.md"))
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    text = (
        f"# What windows cost who makes the data\n\n{machine()}\n\n64 channels, 1000 pushes a "
        f"second; {arguments.rounds} turns of {TURN:g} s each, in another order each time: with "
        "nothing beside; with a process that reads nothing and takes much of a core; with "
        f"{arguments.windows} oscilloscopes (drawn offscreen, in one process). Those whose turn it "
        "is not are stopped. The last column is from 1000 bootstraps over turns.\n"
    )
    for title, is_real_time in (("as any process", False), ("at a real-time priority", True)):
        found, share = measure(arguments.windows, arguments.rounds, is_real_time=is_real_time)
        shares = ", ".join(f"{kind} {part:.0%}" for kind, part in share.items())
        text += f"\n## The source runs {title}\n\n{table(found)}\n\nOf a core: {shares}.\n"
    print(text)
    arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""What ten open windows cost who makes the data: how long a push takes, with and without them.

``python -m benchmarks.lookers`` prints a table and writes it to ``benchmarks/results``. A source of
64 channels pushes 1000 chunks a second, first as any process does, then at a real-time priority;
oscilloscopes are opened and closed in turns of a few seconds, so that what else the machine does
falls on both alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
from benchmarks.hop import machine

from rigmesh.client import Manager, NodeHandle
from rigmesh.node import Node, Output, command, param
from rigmesh.streams import Signal, StreamInfo, local_clock

RATE = 1000
N_CHANNELS = 64
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
        self._took: list[int] = []

    def acquire(self) -> Iterator[None]:
        """Push until stopped."""
        if self.is_real_time:  # a script's own node is in no group whose `priority` would say it
            for thread in Path("/proc/self/task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(50))
        data = np.random.default_rng(1).standard_normal((RATE, 1, self.n_channels), np.float32)
        due = local_clock()
        number = 0
        while self.wait_until(due):
            chunk = Signal(data[number % RATE] * 50, np.array([local_clock()]))
            begin = time.perf_counter_ns()
            self.signal.push(chunk)
            self._took.append(time.perf_counter_ns() - begin)
            number += 1
            due += 1 / RATE
            yield

    @command
    def take(self) -> list[float]:
        """Return how long each push since the last call took, in µs."""
        took, self._took = self._took, []
        return [value / 1000 for value in took]


NOBODY, BUSY, WINDOWS = "no window", "a busy process", "windows"


@contextmanager
def beside(kind: str, manager: Manager, pusher: NodeHandle, n_windows: int) -> Iterator[None]:
    """Have windows open, or a process that takes as much of a core and reads nothing."""
    if kind == WINDOWS:
        windows = [manager.create_node("Oscilloscope", seconds=5) for _ in range(n_windows)]
        for window in windows:
            window.input.connect(pusher.output)
        yield
        for window in windows:
            window.remove()
    elif kind == BUSY:
        process = subprocess.Popen([sys.executable, "-c", BURN], start_new_session=True)
        yield
        process.kill()
        process.wait()
    else:
        yield


def measure(
    n_windows: int, seconds: float, rounds: int, *, is_real_time: bool
) -> dict[str, list[list[float]]]:
    """Return how long pushes took beside each, round by round."""
    found: dict[str, list[list[float]]] = {NOBODY: [], BUSY: [], WINDOWS: []}
    with Manager(private=True) as manager:
        pusher = manager.create_node(Pusher, is_real_time=is_real_time)
        manager.start_all()
        for number in range(rounds):
            for kind in (list(found), list(found)[::-1])[number % 2]:
                with beside(kind, manager, pusher, n_windows):
                    time.sleep(2)
                    pusher.call("take")
                    time.sleep(seconds)
                    found[kind].append(pusher.call("take"))
                print(f"round {number + 1}/{rounds}: {kind}", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[list[float]]]) -> str:
    """Return the table as Markdown: of all pushes together, and ratios round by round."""
    lines = [
        "| beside | percentile | µs | ratio | ratio, median of rounds | least and greatest |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for kind, rounds in found.items():
        for name, percentile in (("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)):
            alone, here = (
                [float(np.percentile(times, percentile)) for times in (*each, list(chain(*each)))]
                for each in (found[NOBODY], rounds)
            )
            ratios = [b / a for a, b in zip(alone, here, strict=True)]
            spread = f"{min(ratios[:-1]):.2f}, {max(ratios[:-1]):.2f}"
            lines.append(
                f"| {kind} | {name} | {here[-1]:.1f} | {ratios[-1]:.2f} | "
                f"{statistics.median(ratios[:-1]):.2f} | {spread} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0, help="a turn takes")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/lookers.md"))
    arguments = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    text = (
        f"# What windows cost who makes the data\n\n{machine()}\n\n64 channels, 1000 pushes a "
        f"second; {arguments.rounds} turns of {arguments.seconds:g} s each: with nothing "
        "beside; with a process that reads nothing and takes 80 % of a core, as the windows do; "
        f"with {arguments.windows} oscilloscopes (drawn offscreen, in one process).\n"
    )
    for title, is_real_time in (("as any process", False), ("real-time", True)):
        found = measure(
            arguments.windows, arguments.seconds, arguments.rounds, is_real_time=is_real_time
        )
        text += f"\n## Who makes the data runs {title}\n\n{table(found)}\n"
    print(text)
    arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

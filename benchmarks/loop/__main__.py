"""The closed loop and the hop between processes: rigmesh beside its peers, in the same run.

``python -m benchmarks.loop``, or ``python benchmarks/loop``, prints the tables and writes them with
a picture to ``benchmarks/results``. All take turns, round after round; each figure is the median of
the rounds' medians, or of their 99th percentiles. ``benchmarks/loop/README.md`` says what is
measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.loop.cells import HOPS, LOOPS, Hop, Loop
from benchmarks.loop.measured import OURS, SPINNING, Figures
from benchmarks.loop.ours import Rig
from benchmarks.loop.peers import Peers
from benchmarks.loop.plot import draw
from benchmarks.loop.processes import ROOT, BenchError, nice_of_children
from benchmarks.loop.report import Results, conditions, report

__all__ = ["main"]

RESULTS = ROOT / "benchmarks" / "results"
QUICK_SECONDS = 0.3

Found = dict[str, Figures]


@dataclass(frozen=True)
class Task:
    """One measurement of a round."""

    cell: str
    who: str
    measure: Callable[[], Found]


def tasks(cells: Sequence[Loop | Hop], rig: Rig, peers: Peers, seconds: float) -> Iterator[Task]:
    """Yield what a round consists of."""
    for cell in cells:
        yield Task(cell.name, OURS, partial(of_ours, rig, cell, seconds))
        for peer in cell.peers:
            if peer not in peers.missing:
                yield Task(cell.name, peer, partial(of_peer, peers, peer, cell, seconds))


def of_ours(rig: Rig, cell: Loop | Hop, seconds: float) -> Found:
    """Measure rigmesh."""
    if isinstance(cell, Loop):
        return rig.loop(cell, seconds)
    found = {OURS: rig.hop(cell, seconds)}
    if cell.unit == "µs":
        found[SPINNING] = rig.hop(cell, seconds, wait="spin")
    return found


def of_peer(peers: Peers, peer: str, cell: Loop | Hop, seconds: float) -> Found:
    """Measure a peer."""
    if isinstance(cell, Loop):
        return {peer: peers.loop(peer, cell, seconds)}
    return {peer: peers.hop(peer, cell, seconds)}


def run(task: Task, results: Results) -> None:
    """Measure; a peer that fails is noted, and all others go on."""
    try:
        found = task.measure()
    except BenchError as error:
        if task.who == OURS:
            raise
        results.notes.append(f"{task.cell}: {error}")
        return
    for who, figures in found.items():
        results.add(task.cell, who, figures)


def in_turn(round_tasks: Sequence[Task], results: Results, name: str) -> None:
    """Run one after the other."""
    for task in round_tasks:
        print(f"{name}: {task.cell}, {task.who}", file=sys.stderr, flush=True)
        run(task, results)


def at_once(all_tasks: Sequence[Task], results: Results) -> None:
    """Run rigmesh's in turn and the peers' beside them: to see that all work, not how fast."""
    pool = ThreadPoolExecutor(4)
    try:
        others: list[Future[None]] = [
            pool.submit(run, task, results) for task in all_tasks if task.who != OURS
        ]
        in_turn([task for task in all_tasks if task.who == OURS], results, "quick")
        for other in others:
            other.result()
    finally:
        pool.shutdown(cancel_futures=True)


def measure(cells: Sequence[Loop | Hop], options: argparse.Namespace, results: Results) -> None:
    """Measure all cells."""
    with contextlib.ExitStack() as ending:
        ending.callback(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        peers = ending.enter_context(Peers(options.ezmsg))
        rig = ending.enter_context(Rig(keep_groups=options.quick))
        # Once more Ctrl-C must not leave anything behind.
        ending.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        wanted = {peer for cell in cells for peer in cell.peers}
        results.notes += [
            f"no {peer}: {why}" for peer, why in peers.missing.items() if peer in wanted
        ]
        if options.quick:
            at_once(list(tasks(cells, rig, peers, QUICK_SECONDS)), results)
            return
        for number in range(options.rounds):
            name = f"round {number + 1}/{options.rounds}"
            in_turn(list(tasks(cells, rig, peers, options.seconds)), results, name)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/loop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often all take their turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round, peers at the same time: shows that all works; nothing is kept",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="CELL", help="cells whose names begin so"
    )
    parser.add_argument(
        "--ezmsg", type=Path, metavar="PYTHON", help="a Python that has ezmsg and numpy"
    )
    parser.add_argument("--name", default="loop", help="name of the files in benchmarks/results")
    parser.add_argument("--list", action="store_true", help="name the cells, and do nothing else")
    return parser.parse_args(arguments)


def compiler() -> str:
    """Return what compiles the stand-in for Falcon, if there is anything."""
    path = shutil.which("g++")
    if path is None:
        return ""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return said.stdout.partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and keep; the exit status says whether it was done, not what was found."""
    options = parse(arguments)
    every: tuple[Loop | Hop, ...] = (*LOOPS, *HOPS)
    if options.list:
        print("\n".join(cell.name for cell in every))
        return 0
    cells = [c for c in every if not options.only or c.name.startswith(tuple(options.only))]
    if not cells:
        print(f"no cell begins with {' or '.join(options.only)}; see --list", file=sys.stderr)
        return 2

    # A benchmark that is told to end ends its programs, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    head = [f"# Closed loop and hops ({time.strftime('%Y-%m-%d')})", ""]
    head += conditions(nice_of_children(), compiler())
    head += [f"- {options.rounds} rounds of {options.seconds:g} s, interleaved"]
    results = Results()
    try:
        measure(cells, options, results)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    head += [f"- load average after: {os.getloadavg()[0]:.1f}", ""]
    text = report(results)
    print(text)
    if not options.quick and not options.only:
        picture = RESULTS / f"{options.name}.svg"
        draw(results, picture)
        head += [f"![medians and 99th percentiles]({picture.name})", "", text]
        (RESULTS / f"{options.name}.md").write_text("\n".join(head), encoding="utf-8")
        print(f"kept in {RESULTS / options.name}.md and .svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())

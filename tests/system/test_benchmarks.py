"""The benchmark of the closed loop runs every cell with every peer; how fast is not tested."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from benchmarks.loop.cells import HOPS, LOOPS
from benchmarks.loop.measured import OURS, SPINNING, Check, Figures, median_of
from benchmarks.loop.payload import PAYLOADS, Tally, stamped
from benchmarks.loop.plot import draw
from benchmarks.loop.report import Results, report

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "loop")]
CELLS = (*LOOPS, *HOPS)


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment by which all that descends from a program is found; nothing may be left."""
    mark = uuid.uuid4().hex
    yield {**os.environ, "RIGMESH_BENCH_MARK": mark, "TMPDIR": str(tmp_path)}
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RIGMESH_BENCH_MARK") == mark:
                left.append(process.cmdline())
        except psutil.Error:
            continue
    assert not left
    assert not [path.name for path in tmp_path.glob("rigmesh-*")]


def rows_of(text: str, title: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    section = text.partition(f"## {title}")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


@pytest.mark.timeout(120)
def test_a_quick_run_measures_every_cell_with_every_peer(marked: dict[str, str]) -> None:
    results = ROOT / "benchmarks" / "results"
    before = {path.name: path.stat().st_mtime_ns for path in results.iterdir()}

    run = subprocess.run(
        [*COMMAND, "--quick"], env=marked, capture_output=True, text=True, timeout=110, check=False
    )

    assert run.returncode == 0, run.stderr
    absent = set(re.findall(r"^- no ([^:]+):", run.stdout, re.MULTILINE))
    assert absent <= {"ezmsg", "Falcon-like"}
    loops, hops = rows_of(run.stdout, "Closed loop"), rows_of(run.stdout, "One hop")
    for cells, rows in ((LOOPS, loops), (HOPS, hops)):
        expected = [who for c in cells for who in (OURS, *c.peers) if who not in absent]
        others = [row[1] for row in rows if not row[1].startswith("rigmesh, ")]
        assert others == expected, run.stdout
    assert "failed" not in run.stdout
    assert "nan" not in run.stdout
    assert {p.name: p.stat().st_mtime_ns for p in results.iterdir()} == before


@pytest.mark.timeout(120)
@pytest.mark.parametrize("cell", ["1 × 1", "32 ch × 1"])
def test_ctrl_c_ends_all_that_was_started(marked: dict[str, str], cell: str) -> None:
    command = [*COMMAND, "--rounds", "1", "--seconds", "60", "--only", cell]
    with subprocess.Popen(
        command, env=marked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("round 1/1"):
                break
        deadline = time.monotonic() + 30
        while not descendants(run.pid, "benchmarks.loop.sender", "benchmarks.loop.pairs", "group"):
            assert time.monotonic() < deadline
            time.sleep(0.02)

        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)

        assert run.returncode == 130, said


def descendants(pid: int, *names: str) -> list[str]:
    lines = [" ".join(p.cmdline()) for p in psutil.Process(pid).children(recursive=True)]
    return [line for line in lines if any(name in line for name in names)]


def test_an_unknown_cell_is_refused(marked: dict[str, str]) -> None:
    run = subprocess.run(
        [*COMMAND, "--only", "no such cell"],
        env=marked,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert "--list" in run.stderr


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (Check("median", 60), "pass"),
        (Check("median", 40), "MISS"),
        (Check("median", 1.3, of="bare loop"), "pass"),
        (Check("median", 1.2, of="bare loop"), "MISS"),
        (Check("rate", 1000, is_least=True), "pass"),
        (Check("rate", 0.5, of="bare loop", is_least=True), "MISS"),
        (Check("median", 1.3, of="bare ring"), "no bare ring"),
    ],
)
def test_a_check_says_whether_rigmesh_reaches_it(check: Check, verdict: str) -> None:
    figures = {OURS: Figures(50.0, 90.0, 1000.0), "bare loop": Figures(40.0, 60.0, 4000.0)}

    assert check.verdict(figures) == verdict


def test_what_was_lost_in_one_round_is_not_forgotten() -> None:
    rounds = [Figures(10.0, 20.0), Figures(11.0, 25.0, lost=3), Figures(50.0, 21.0)]

    assert median_of(rounds).median == 11.0
    assert median_of(rounds).p99 == 21.0
    assert median_of(rounds).lost == 3


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_message_is_as_large_as_it_says_and_carries_its_time(name: str) -> None:
    payload = PAYLOADS[name]
    tally = Tally(payload)

    for message in stamped(payload, 0.005):
        assert message.nbytes == payload.n_bytes
        tally.take(np.concatenate([message, message]))

    assert tally.n >= 2
    assert tally.n % 2 == 0


@pytest.mark.timeout(120)
def test_a_soak_counts_what_went_in_and_what_came_out(marked: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.loop.soak", "--quick"],
        env=marked, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip

    assert "| packets sent | 15,999 |" in run.stdout, run.stderr
    assert "| triggers written | 1,599 |" in run.stdout
    assert "█" in run.stdout


def test_tables_and_picture_show_every_cell(tmp_path: Path) -> None:
    results = Results()
    for cell in CELLS:
        for k, who in enumerate((OURS, SPINNING, *cell.peers)):
            for number in range(3):
                results.add(cell.name, who, Figures(30.0 + k + number, 90.0, 1e5 / (1 + k), 0.1))

    text = report(results)
    draw(results, tmp_path / "loop.svg")

    reached = rows_of(text, "To reach")
    assert {row[0] for row in reached} == {cell.name for cell in CELLS}
    assert {row[3] for row in reached} <= {"pass", "MISS"}
    assert all("recorded" not in row[2] for row in reached)
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8").startswith("<?xml")

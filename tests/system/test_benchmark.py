"""The benchmark runs and reports every transport; how fast they are is not tested."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATENCY = ("rigmesh ring", "multiprocessing pipe", "pyzmq", "pylsl")
THROUGHPUT = ("copy within a process", *LATENCY, "rigmesh ring, views")


@pytest.mark.timeout(120)
def test_the_benchmark_reports_every_transport(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "hop.py"), "--quick"]
    before = {path.name for path in (ROOT / "benchmarks" / "results").iterdir()}

    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )

    assert run.returncode == 0, run.stderr
    latency, _, throughput = run.stdout.partition("## Throughput")
    for table, names in ((latency, LATENCY), (throughput, THROUGHPUT)):
        rows = [line for line in table.splitlines() if line.startswith("| ")]
        assert [row.split("|")[1].split("(")[0].strip() for row in rows[1:]] == list(names)
    assert "nan" not in run.stdout
    assert {path.name for path in (ROOT / "benchmarks" / "results").iterdir()} == before

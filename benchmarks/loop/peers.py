"""What runs beside rigmesh, each in processes of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from benchmarks.loop.cells import FALCON, Hop, Loop
from benchmarks.loop.measured import Figures, of_latencies
from benchmarks.loop.ours import figures_of
from benchmarks.loop.payload import Payload
from benchmarks.loop.processes import HERE, BenchError, Program, Terminal, drive, python

__all__ = ["Peers"]


class Peers:
    """The peers that there are on this machine.

    Parameters
    ----------
    ezmsg : Path or None
        A Python that has ezmsg, if this one has not.

    Attributes
    ----------
    missing : dict of str to str
        Those there are not, and why.
    """

    def __init__(self, ezmsg: Path | None = None) -> None:
        self.missing: dict[str, str] = {}
        self._ending = contextlib.ExitStack()
        self._ezmsg = str(ezmsg or sys.executable)
        self._folder = Path(
            self._ending.enter_context(tempfile.TemporaryDirectory(prefix="rigmesh-bench-"))
        )
        try:
            if _fails([self._ezmsg, "-c", "import ezmsg.core, numpy"]):
                self.missing["ezmsg"] = "not installed; --ezmsg names a Python that has it"
            self._compile()
        except BaseException:
            self._ending.close()
            raise

    def loop(self, peer: str, cell: Loop, seconds: float) -> Figures:
        """Measure a closed loop of a peer."""
        with Terminal() as terminal:
            words = [str(cell.pipelines), str(cell.stages), terminal.path]
            if peer == FALCON:
                command = [str(self._folder / "falcon_like"), *words]
            else:
                extra = ["--biquads"] if cell.layout == "biquads" else []
                command = python("bare", *words, *extra)
            with Program(command) as program:
                port = program.line(60)["port"]
                sent = drive(port, cell.n_channels, cell.rate, seconds, [program.pid])
                found = program.line()
            written = terminal.count()
        lost = sent.packets - found["received"] + abs(sent.events - written)
        if peer == FALCON:
            return Figures(found["median"], found["p99"], cpu=sent.cpu, lost=lost)
        return of_latencies(found["latencies"], cpu=sent.cpu, lost=lost)

    def hop(self, peer: str, cell: Hop, seconds: float) -> Figures:
        """Measure a hop of a peer."""
        if peer == "ezmsg":
            command = python("ezmsg_pair", cell.payload, seconds)
            command[0] = self._ezmsg
        else:
            command = python("pairs", peer, cell.payload, seconds)
        with Program(command, self._folder) as program:
            found: dict[str, Any] = program.line(seconds + 60)
        payload = Payload.named(cell.payload)
        return figures_of(payload, found["sent"], found["cpu_sent"], found)

    def _compile(self) -> None:
        compiler = shutil.which("g++")
        if compiler is None:
            self.missing[FALCON] = "g++ is not installed"
            return
        made = subprocess.run(
            [compiler, "-O2", "-std=c++17", "-pthread", HERE / "falcon_like.cpp",
             "-o", self._folder / "falcon_like"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise BenchError(f"falcon_like.cpp does not compile:\n{made.stderr}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()


def _fails(command: list[str]) -> bool:
    return bool(subprocess.run(command, capture_output=True, check=False).returncode)

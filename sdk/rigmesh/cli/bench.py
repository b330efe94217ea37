"""``rigmesh bench``: how quick this machine is with rigmesh, beside its peers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

import rigmesh
from rigmesh.errors import UnknownName

__all__ = ["bench"]


def bench(
    context: typer.Context,
    quick: Annotated[
        bool, typer.Option("--quick", help="Half a minute, to see that all works; keeps nothing.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CELL", help="Cells whose names begin so; keeps nothing."),
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="Name the cells, measure nothing.")] = False,
) -> None:
    """Measure closed loops and hops between processes, interleaved with other software.

    About 10 minutes; the tables and a picture are kept in benchmarks/results. Needs the source
    tree: the benchmarks are no part of an installed package.
    """
    words = [*(["--quick"] if quick else []), *(["--list"] if names else [])]
    for cell in only or []:
        words += ["--only", cell]
    root = _source_tree()
    # A program of its own: it handles Ctrl-C and raises its priority by itself.
    run = subprocess.Popen([sys.executable, "-m", "benchmarks.loop", *words, *context.args],
                           cwd=root, env=os.environ)  # fmt: skip
    while True:
        try:
            raise typer.Exit(run.wait())
        except KeyboardInterrupt:
            continue  # it got the same signal, and is ending what it started


def _source_tree() -> Path:
    """Return the folder with the benchmarks: that of an editable install, or where one is."""
    for root in (Path(rigmesh.__file__).parents[2], Path.cwd()):
        if (root / "benchmarks" / "loop" / "__main__.py").is_file():
            return root
    raise UnknownName(
        "rigmesh bench needs the source tree, and found no benchmarks/loop beside the package or "
        "here; clone the repository and run it from there"
    )

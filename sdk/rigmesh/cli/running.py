"""What runs a graph in front of the terminal: options, a live table, verdicts."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from rigmesh.cli.console import ERR, FAILED, OUT, exit_code_of, styled_verdict
from rigmesh.cli.table import StatusTable
from rigmesh.client import Manager
from rigmesh.errors import RigmeshError
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.cli.sparklines import LiveSignals

__all__ = ["Duration", "Private", "Quiet", "node_name", "run_graph"]

_REFRESH = 0.25
_OVER = (pb.NODE_STATE_STOPPED, pb.NODE_STATE_FAILED)

Duration = Annotated[
    float | None, typer.Option("--duration", "-d", metavar="S", help="Stop after so many seconds.")
]
Private = Annotated[
    bool, typer.Option("--private", help="Start a daemon for this run, whatever else runs.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")]


def node_name(stream: str, number: int) -> str:
    """Return a node's name from an LSL stream's, which may hold anything."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in stream).strip("_")[:40]
    stem = kept if kept[:1].isalpha() else f"stream_{kept}"
    return stem if number == 0 else f"{stem}_{number}"


def run_graph(
    manager: Manager, duration: float | None, timeout: float, *, quiet: bool, live: bool = False
) -> int:
    """Start, show, stop, and say how it went."""
    OUT.print("starting … (Ctrl-C stops and seals)", style="dim")
    try:
        manager.start_all(timeout=timeout)
        OUT.print(f"running {len(manager.nodes)} nodes", style="dim")
        _watch(manager, duration, quiet=quiet, signals=live)
    except KeyboardInterrupt:
        OUT.print("stopping …", style="dim")
    problem: RigmeshError | None = None
    try:
        manager.stop_all()
    except RigmeshError as error:
        problem = error
    code = _report(manager)
    if problem is not None:
        ERR.print(f"[bold red]error:[/] {escape(str(problem))}")
        return FAILED
    return code


def _watch(manager: Manager, duration: float | None, *, quiet: bool, signals: bool = False) -> None:
    end = time.monotonic() + duration if duration is not None else None
    is_shown = OUT.is_terminal and not quiet
    table = StatusTable()
    live = Live(console=OUT, auto_refresh=False, transient=not OUT.is_terminal)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(_signals(manager)) if is_shown and signals else None
        if is_shown:
            stack.enter_context(live)
        while end is None or time.monotonic() < end:
            status = manager.status()
            if is_shown:
                drawn: RenderableType = table.draw(status)
                live.update(Group(drawn, "", lines.draw(status)) if lines else drawn, refresh=True)
            if all(node.state in _OVER for node in status.nodes):
                return
            rest = _REFRESH if end is None else min(_REFRESH, end - time.monotonic())
            time.sleep(max(0.0, rest))


def _signals(manager: Manager) -> LiveSignals:
    from rigmesh.cli.sparklines import LiveSignals
    from rigmesh.display import graph_reader

    room = OUT.height - len(manager.nodes) - 8
    return LiveSignals(lambda name: graph_reader(manager.where(name), name)(), OUT.width, room)


def _report(manager: Manager) -> int:
    verdicts = []
    failed = False
    for handle in manager.nodes.values():
        report = handle.report
        if "verdict" in report:
            verdicts.append(str(report["verdict"]))
            path = escape(str(report.get("path", "")))
            OUT.print(f"{path}  {styled_verdict(verdicts[-1])}", highlight=False, soft_wrap=True)
        error = handle.error
        if error is not None:
            failed = True
            ERR.print(f"[bold red]{escape(handle.name)} failed:[/] {escape(str(error))}")
    return FAILED if failed else exit_code_of(verdicts)

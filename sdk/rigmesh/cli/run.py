"""``rigmesh run`` and ``record``: graphs that run in front of the terminal."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from rigmesh.cli.console import ERR, FAILED, OUT, exit_code_of, styled_verdict
from rigmesh.cli.table import StatusTable
from rigmesh.client import Manager
from rigmesh.errors import GraphError, RigmeshError, StreamNotFound
from rigmesh.graph.loader import parse_setting
from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.cli.sparklines import LiveSignals
    from rigmesh_nodes.lsl import LSLStream

__all__ = ["record", "run"]

_REFRESH = 0.25
_INTERVAL, _COMMIT_INTERVAL = 0.25, 0.5
"""Nobody acts on what is only recorded: rarer pulls and commits, in seconds, are a fifth of the CPU
time, and after a crash still less than 1 s is missing."""
_OVER = (pb.NODE_STATE_STOPPED, pb.NODE_STATE_FAILED)
_RECORDERS = {
    ".h5": "record.HDF5Recorder",
    ".hdf5": "record.HDF5Recorder",
    ".nwb": "record.NWBRecorder",
    ".xdf": "record.XDFRecorder",
}

Duration = Annotated[
    float | None, typer.Option("--duration", "-d", metavar="S", help="Stop after so many seconds.")
]
Private = Annotated[
    bool, typer.Option("--private", help="Start a daemon for this run, whatever else runs.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")]


def run(
    graph: Annotated[Path, typer.Argument(help="A graph file.", metavar="GRAPH.yaml")],
    duration: Duration = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Override a parameter."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="How long nodes may take to get ready, in seconds.")
    ] = 30.0,
    live: Annotated[
        bool, typer.Option("--live", help="The signals, too, as lines in the terminal.")
    ] = False,
    private: Private = False,
    quiet: Quiet = False,
) -> None:
    """Run a graph until Ctrl-C, for some seconds, or until its sources end."""
    values: dict[str, dict[str, Any]] = {}
    for setting in settings or []:
        node, name, value = parse_setting(setting)
        values.setdefault(node, {})[name] = value
    with Manager(private=private) as manager:
        manager.load(graph, settings=values)
        code = _run(manager, duration, timeout, quiet=quiet, live=live)
    raise typer.Exit(code)


def record(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to; must not exist. Its ending chooses the format: .h5, .nwb or .xdf.",
        ),
    ],
    lsl: Annotated[
        list[str],
        typer.Option(
            metavar="PREDICATE",
            help="LSL streams to record, such as \"type='EEG'\"; may be given several times.",
        ),
    ],
    duration: Duration = None,
    wait: Annotated[
        float, typer.Option(help="How long to look for the streams, in seconds.")
    ] = 5.0,
    private: Private = False,
    quiet: Quiet = False,
) -> None:
    """Record LSL streams into a file, with every gap accounted for."""
    from rigmesh_nodes.lsl import visible_streams

    kind = _RECORDERS.get(output.suffix.lower())
    if kind is None:
        raise GraphError(
            f"{output} ends in {output.suffix or 'nothing'}; its ending chooses the format: "
            f"{', '.join(_RECORDERS)}"
        )
    if output.exists():
        raise GraphError(f"{output} exists; recordings are never written over")
    found = {}
    for predicate in lsl:
        matching = _find(predicate, wait)
        if not matching:
            seen = ", ".join(s.info.name for s in visible_streams()) or "none"
            raise StreamNotFound(
                f"no LSL stream matches {predicate!r} within {wait:g} s; visible: {seen}"
            )
        found.update({stream.uid: stream for stream in matching})
    with Manager(private=private) as manager:
        names: dict[str, str] = {}
        outputs = []
        for number, stream in enumerate(found.values()):
            name = _node_name(stream.info.name, number)
            inlet = manager.create_node(
                "lsl.Inlet", name=name, predicate=stream.predicate, interval=_INTERVAL
            )
            port = "markers" if stream.info.dtype == "text" else "signal"
            outputs.append(inlet.outputs[port])
            names[f"{name}.{port}"] = stream.info.name
        # Programs that read XDF look for the names that streams have in LSL.
        more: dict[str, Any] = {"names": names} if kind == "record.XDFRecorder" else {}
        more["commit_interval"] = _COMMIT_INTERVAL
        recorder = manager.create_node(kind, name="recorder", path=str(output.absolute()), **more)
        recorder.input.connect(*outputs)
        code = _run(manager, duration, 30.0, quiet=quiet)
    raise typer.Exit(code)


def _find(predicate: str, wait: float) -> list[LSLStream]:
    """Look for streams; once one is there, a last look finds those that answer later."""
    from rigmesh_nodes.lsl import visible_streams

    end = time.monotonic() + wait
    while not visible_streams(0.3, predicate) and time.monotonic() < end:
        pass
    return visible_streams(1.0, predicate)


def _node_name(stream: str, number: int) -> str:
    """Return a node's name from an LSL stream's, which may hold anything."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in stream).strip("_")[:40]
    stem = kept if kept[:1].isalpha() else f"stream_{kept}"
    return stem if number == 0 else f"{stem}_{number}"


def _run(
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

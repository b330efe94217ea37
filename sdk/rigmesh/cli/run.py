"""``rigmesh run`` and ``record``: graphs that run in front of the terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rigmesh.cli.running import Duration, Private, Quiet, node_name, run_graph
from rigmesh.client import Manager
from rigmesh.errors import GraphError, StreamNotFound
from rigmesh.graph.loader import parse_setting

if TYPE_CHECKING:
    from rigmesh_nodes.lsl import LSLStream

__all__ = ["record", "run"]

_INTERVAL, _COMMIT_INTERVAL = 0.25, 0.5
"""Nobody acts on what is only recorded: rarer pulls and commits, in seconds, are a fifth of the CPU
time, and after a crash still less than 1 s is missing."""
_RECORDERS = {
    ".h5": "record.HDF5Recorder",
    ".hdf5": "record.HDF5Recorder",
    ".nwb": "record.NWBRecorder",
    ".xdf": "record.XDFRecorder",
}


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
        code = run_graph(manager, duration, timeout, quiet=quiet, live=live)
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
            name = node_name(stream.info.name, number)
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
        code = run_graph(manager, duration, 30.0, quiet=quiet)
    raise typer.Exit(code)


def _find(predicate: str, wait: float) -> list[LSLStream]:
    """Look for streams; once one is there, a last look finds those that answer later."""
    from rigmesh_nodes.lsl import visible_streams

    end = time.monotonic() + wait
    while not visible_streams(0.3, predicate) and time.monotonic() < end:
        pass
    return visible_streams(1.0, predicate)

"""``rigmesh latency``: a graph tried out, its latencies measured and held against limits."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from rigmesh.cli._latency_graph import as_tried, round_trips_of
from rigmesh.cli._latency_line import VirtualLine
from rigmesh.cli._latency_report import Measurement
from rigmesh.cli._latency_show import check_plot, plot, shown
from rigmesh.cli._latency_trial import Trial
from rigmesh.cli.console import FAILED, OK, OUT
from rigmesh.cli.running import Private, Quiet
from rigmesh.client import Manager
from rigmesh.errors import GraphError
from rigmesh.graph import GraphSpec, split_port
from rigmesh.graph.loader import dump_graph, load_graph, parse_setting
from rigmesh.graph.spec import LatencySpec
from rigmesh.node.registry import NodeType

__all__ = ["latency"]


def latency(
    graph: Annotated[Path, typer.Argument(help="A graph file.", metavar="GRAPH.yaml")],
    duration: Annotated[
        float | None,
        typer.Option(
            "--duration",
            "-d",
            metavar="S",
            help="Measure for so many seconds; 10 if neither this nor the file says.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NODE.PARAM=VALUE", help="Override a parameter."),
    ] = None,
    hardware: Annotated[
        bool,
        typer.Option(
            "--hardware", help="Outputs are looped back by a cable, not by virtual serial ports."
        ),
    ] = False,
    without_recorders: Annotated[
        bool,
        typer.Option("--without-recorders", help="Leave recorders and LSL outlets out."),
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the histograms: .svg, .png or .pdf."),
    ] = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers here.")
    ] = None,
    private: Private = False,
    quiet: Quiet = False,
) -> None:
    """Try a graph out, with stand-ins for its devices, and hold its latencies against limits."""
    spec = load_graph(graph)
    values: dict[str, dict[str, Any]] = {}
    for setting in settings or []:
        node, name, value = parse_setting(setting)
        values.setdefault(node, {})[name] = value
    if figure is not None:
        check_plot(figure)
    options = spec.latency or LatencySpec()
    with contextlib.ExitStack() as stack:
        ports: dict[str, dict[str, str]] = {}
        for output, into in () if hardware else options.loopback.items():
            line = stack.enter_context(VirtualLine())
            for end, path in ((output, line.output), (into, line.into)):
                name, param = split_port(end)
                ports.setdefault(name, {})[param] = path
        manager = stack.enter_context(Manager(private=private))
        types = {name: NodeType.from_dict(t) for name, t in manager.node_types().items()}
        tried = as_tried(spec, types, values, ports, without_recorders=without_recorders)
        trips = round_trips_of(tried, options, types)
        _load(manager, tried)
        trial = Trial(manager, tried, options, trips, quiet=quiet)
        measured = trial.run(options.duration if duration is None else duration)
    for item in shown(measured):
        OUT.print(item)
        OUT.print()
    if as_json is not None:
        _write(as_json, json.dumps(measured.to_dict(), indent=1) + "\n")
    if figure is not None:
        plot(measured, figure)
    failures = measured.failures()
    for failure in failures:
        OUT.print(f"[bold red]FAILED[/] {escape(failure)}", highlight=False, soft_wrap=True)
    if not failures:
        OUT.print(f"[bold green]OK[/] {_praise(measured)}", highlight=False)
    raise typer.Exit(FAILED if failures else OK)


def _load(manager: Manager, graph: GraphSpec) -> None:
    with tempfile.TemporaryDirectory(prefix="rigmesh-latency-") as folder:
        path = Path(folder) / "graph.yaml"
        path.write_text(dump_graph(graph), encoding="utf-8")
        manager.load(path)


def _praise(measured: Measurement) -> str:
    limited = [place for place in [*measured.nodes, *measured.trips] if place.limits]
    n_limits = sum(len(place.limits) for place in limited)
    held = f"{n_limits} limit{'s' * (n_limits != 1)} held" if n_limits else "no limits to hold"
    return f"{held}, nothing lost in {measured.duration:.1f} s"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GraphError(f"cannot write {path}: {error.strerror}") from error

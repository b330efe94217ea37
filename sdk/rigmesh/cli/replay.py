"""``rigmesh replay``: a recording over LSL, or through a graph and compared to what it gave."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rigmesh.cli.completion import complete_recording
from rigmesh.cli.console import ERR, FAILED, OK, OUT
from rigmesh.cli.running import Duration, Private, Quiet, node_name, run_graph
from rigmesh.client import Manager
from rigmesh.errors import GraphError, RecordingError, UnknownName
from rigmesh.graph import GraphSpec, check_graph
from rigmesh.graph.loader import load_graph, parse_graph
from rigmesh.node.registry import NodeType, describe_all
from rigmesh.recording import Capture, Recording, check_target, open_recording, seal
from rigmesh.recording.compare import StreamComparison, compare_streams, parts_by_name

if TYPE_CHECKING:
    from rigmesh_nodes.replay import Replayed

__all__ = ["replay"]


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            help="A recording: HDF5, XDF, EDF, BDF, BrainVision …",
            autocompletion=complete_recording,
        ),
    ],
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            "-g",
            metavar="GRAPH.yaml",
            help="Run its streams through this graph, and compare the results.",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="The same with the graph that was recorded.")
    ] = False,
    paced: Annotated[
        bool | None,
        typer.Option(
            "--paced/--as-fast-as-possible",
            help="In recorded time or not; not, if results are compared.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help="Only this stream, of those played or compared; several times."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="Do not run this node of the graph; several times."),
    ] = None,
    atol: Annotated[
        float, typer.Option(min=0.0, help="Values that are compared may differ by so much.")
    ] = 0.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Keep the results in this recording."),
    ] = None,
    speed: Annotated[float, typer.Option(min=0.001, help="1: as recorded.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    duration: Duration = None,
    private: Private = False,
    quiet: Quiet = False,
) -> None:
    """Play a recording as LSL streams, or run it through a graph and compare the results."""
    if graph is not None or compare:
        if loop or duration is not None:
            raise GraphError("--loop and --duration are for playing over LSL, without a graph")
        code = _compare(
            file, graph, stream or (), without or (), atol, output,
            speed=speed if paced else 0.0, quiet=quiet,
        )  # fmt: skip
    else:
        if output is not None or without or atol or paced is False:
            raise GraphError(
                "--output, --without, --atol and --as-fast-as-possible are for a comparison; "
                "add --compare, or --graph with a graph"
            )
        code = _play(file, stream or (), speed, duration, loop=loop, private=private, quiet=quiet)
    raise typer.Exit(code)


# --- over LSL ------------------------------------------------------------------------------------


def _play(
    file: Path, wanted: Sequence[str], speed: float, duration: float | None, *,
    loop: bool, private: bool, quiet: bool,
) -> int:  # fmt: skip
    from rigmesh_nodes.replay import list_streams

    streams = list_streams(file)
    for name in wanted:
        if name not in [info.name for info in streams]:
            raise UnknownName.among("stream", name, [info.name for info in streams])
    with Manager(private=private) as manager:
        for number, info in enumerate(streams):
            if wanted and info.name not in wanted:
                continue
            name = node_name(info.name, number)
            is_text = info.dtype == "text"
            if info.kind == "frames":
                ERR.print(f"{escape(info.name)}: pictures cannot be sent over LSL; left out")
                continue
            chosen: dict[str, Any] = {"marker_stream" if is_text else "stream": info.name}
            source = manager.create_node(
                "replay.File",
                name=name,
                path=str(file.absolute()),
                speed=speed,
                loop=loop,
                **chosen,
            )
            outlet = manager.create_node("lsl.Outlet", name=f"{name}_out", stream_name=info.name)
            outlet.input.connect(source.markers if is_text else source.signal)
        return run_graph(manager, duration, 30.0, quiet=quiet)


# --- through a graph -----------------------------------------------------------------------------


def _compare(
    file: Path, graph: Path | None, streams: Sequence[str], without: Sequence[str], atol: float,
    output: Path | None, *, speed: float, quiet: bool,
) -> int:  # fmt: skip
    from rigmesh_nodes.replay import replay_graph

    with tempfile.TemporaryDirectory(prefix="rigmesh-replay-") as folder:
        target = Path(folder) / "replayed.h5"
        if output is not None:
            check_target(target := output.absolute())
        with open_recording(file) as recording, _bar(quiet=quiet) as bar:
            checked, types = _graph(file, recording, graph)
            if recording.state == "recording":
                raise RecordingError(f"{file} is being recorded; wait until that is over")
            task = bar.add_task("replaying", total=None)

            def tell(done: float, total: float) -> None:
                bar.update(task, completed=done, total=total)

            context = {"replay_of": recording.run_id, "graph": checked.to_dict()}
            capture = Capture.create(target, f"replay of {recording.run_id}", context)
            try:
                done = replay_graph(
                    recording, checked, types, capture,
                    streams=streams, without=without, speed=speed, progress=tell,
                )  # fmt: skip
            except BaseException:
                capture.close()
                shutil.rmtree(capture.folder, ignore_errors=True)
                raise
            recorded = parts_by_name(recording)
            begin = float(recording.created["local_clock"])
            with open_recording(target) as replayed:
                computed = parts_by_name(replayed)
                found = [
                    compare_streams(recorded[name], computed.get(name, []), atol=atol)
                    for name in done.plan.compared
                ]
        if output is not None:
            seal(capture)
        _say(done, recording)
        return _judge(found, begin)


def _graph(
    file: Path, recording: Recording, path: Path | None
) -> tuple[GraphSpec, dict[str, NodeType]]:
    types = {found.name: found for found in describe_all() if isinstance(found, NodeType)}
    if path is not None:
        return check_graph(load_graph(path), types), types
    written = recording.context.get("graph")
    if not written:
        raise GraphError(f"{file} holds no graph; name one by --graph")
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True)
    try:
        return check_graph(parse_graph(text), types), types
    except GraphError as error:
        raise GraphError(
            f"the graph in {file} cannot run here; install what it needs, or name another one by "
            f"--graph: {error}"
        ) from error


def _say(done: Replayed, recording: Recording) -> None:
    """Tell what was done, and what may be the reason of differences."""
    plan = done.plan
    OUT.print(
        f"ran {', '.join(node.name for node in plan.computed)} over {', '.join(plan.played)}",
        style="dim", highlight=False, markup=False,
    )  # fmt: skip
    for name, why in plan.left_out.items():
        if not why.startswith("a source"):
            OUT.print(f"left out: {name} ({why})", style="dim", highlight=False, markup=False)
    for name, why in plan.not_compared.items():
        OUT.print(f"not compared: {name} ({why})", style="dim", highlight=False, markup=False)
    if done.n_changes:
        n = f"{done.n_changes} change{'s' * (done.n_changes > 1)}"
        OUT.print(f"{n} while it was recorded made again", style="dim", highlight=False)
    warnings = [f"a change was not taken: {text}" for text in done.refused]
    if done.n_by_time:
        warnings.append(
            f"the sample of {done.n_by_time} of these changes is not recorded; made at the time "
            "that is, to some milliseconds"
        )
    warnings += [
        f"in which order {name} with several streams got {n} of its {of} samples is not recorded, "
        "or another graph has others; here they came in the order of their times"
        for name, (n, of) in done.unordered.items()
    ]
    if done.timed:
        warnings.append(f"{', '.join(done.timed)}: what they give depends on when chunks came")
    warnings += [
        f"the recorder lost {count} samples of {name}, which the graph may have had"
        for name, count in done.gaps.items()
    ]
    if done.n_pauses:
        warnings.append(
            f"recording paused {done.n_pauses} times; what the graph had meanwhile is not here"
        )
    if not recording.verdict.startswith("OK"):
        warnings.append(f"the recording is not whole: {recording.verdict}")
    for text in warnings:
        OUT.print(f"note: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _judge(found: Sequence[StreamComparison], begin: float) -> int:
    if all(each.is_same for each in found):
        listed = "; ".join(str(each) for each in found)
        text = f"The results match ({listed})"
        OUT.print(text, style="bold green", highlight=False, markup=False, soft_wrap=True)
        return OK
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stream", "recorded", "now", "differ", "missing", "extra"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    table.add_column("max |Δ|", justify="right")
    table.add_column("first at", justify="right")
    for each in found:
        first = ""
        if each.first is not None:
            kind = "event" if each.kind == "markers" else "sample"
            first = f"{kind} {each.first[1]:,}, {each.first_time - begin:.3f} s"
            if each.first[0]:
                first = f"epoch {each.first[0]}, {first}"
        counts = (each.n_recorded, each.n_replayed, each.n_differing, each.missing, each.extra)
        table.add_row(
            escape(each.name), *(f"{count:,}" for count in counts),
            "" if each.kind == "markers" else f"{each.largest:g}", first,
            style="" if each.is_same else "yellow",
        )  # fmt: skip
    OUT.print("The results differ", style="bold red")
    OUT.print(table)
    for each in found:
        for remark in each.remarks:
            OUT.print(f"{each.name}: {remark}", highlight=False, markup=False)
        for event in each.events:
            which = "missing" if event.is_recorded else "extra"
            text = f"{each.name}: {which} at {event.time - begin:.6f} s: {event.text[:80]!r}"
            OUT.print(text, highlight=False, markup=False)
        rest = each.missing + each.extra - len(each.events)
        if each.events and rest > 0:
            OUT.print(f"{each.name}: … and {rest} more", highlight=False, markup=False)
    return FAILED


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
        console=ERR, transient=True, disable=quiet or not ERR.is_terminal,
    )  # fmt: skip

"""``rigmesh view``: streams in a window, of a graph or of any LSL program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from rigmesh.cli.completion import complete_stream
from rigmesh.cli.live import OtherHosts, existing
from rigmesh.errors import GraphError, StreamNotFound, UnknownName
from rigmesh.node.registry import NodeType, describe_all, find_type

if TYPE_CHECKING:
    from rigmesh.client import Manager
    from rigmesh.viewers.show import Shown

__all__ = ["view"]


def _window_types() -> dict[str, NodeType]:
    return {
        item.name: item for item in describe_all() if isinstance(item, NodeType) and item.is_window
    }


def _complete_type(incomplete: str) -> list[str]:
    names = [name.rpartition(".")[2] for name in _window_types()]
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def view(
    streams: Annotated[
        list[str] | None,
        typer.Argument(
            help="Streams of the running graph, node.port; all if none is given.",
            metavar="STREAM",
            autocompletion=complete_stream,
        ),
    ] = None,
    as_: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="TYPE",
            help="Kind of window, such as Spectrum; chosen by the streams if not given.",
            autocompletion=_complete_type,
        ),
    ] = "",
    lsl: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="An LSL stream, without any daemon; may be given several times."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PARAM=VALUE", help="A parameter of the window."),
    ] = None,
    hosts: OtherHosts = None,
    panel: Annotated[
        bool, typer.Option("--panel", help="The whole rig: graph, states, parameters, logs.")
    ] = False,
    wait: Annotated[
        float, typer.Option(help="How long to look for LSL streams, in seconds.")
    ] = 5.0,
) -> None:
    """Show streams in a window; it reads only, and nothing waits for it."""
    from rigmesh.client.window_process import require_screen
    from rigmesh.display import give_way

    require_screen()
    give_way()
    types = _window_types()
    if panel or (as_ and find_type(as_, types).name == "viewers.Panel"):
        from rigmesh.viewers.panel import run_panel

        raise typer.Exit(run_panel(hosts or []))
    from rigmesh.viewers.show import best_type, show

    wanted = _lsl_streams(lsl, wait) if lsl else []
    if streams or not lsl:
        with existing(hosts or []) as manager:
            wanted += _graph_streams(manager, streams or [])
    type_ = find_type(as_ or best_type(wanted), types)
    raise typer.Exit(show(type_, wanted, _parameters(settings or [])))


def _parameters(settings: Sequence[str]) -> dict[str, Any]:
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise GraphError(f"--set {setting}: write PARAM=VALUE")
        found[name] = yaml.safe_load(value)
    return found


def _graph_streams(manager: Manager, wanted: Sequence[str]) -> list[Shown]:
    from rigmesh.display import graph_reader
    from rigmesh.streams.wire import info_from_wire
    from rigmesh.viewers.show import Shown

    types = manager.node_types()
    kinds: dict[str, str] = {}
    for node in manager.nodes.values():
        ports = {port["name"]: port["kinds"] for port in types[node.type]["outputs"]}
        for port, output in node.outputs.items():
            kinds[output.stream] = ports[port][0]
    streams = map(info_from_wire, manager.status().streams)
    announced = {info.name: info for info in streams if info.name in kinds}
    kinds.update({name: info.kind for name, info in announced.items()})
    if not kinds:
        raise StreamNotFound("the graph that runs has no streams to show")
    names = [_full_name(name, kinds) for name in wanted] or _shown_together(kinds)
    return [
        Shown(name, kinds[name], graph_reader(manager.where(name), name), announced.get(name))
        for name in names
    ]


def _full_name(wanted: str, kinds: dict[str, str]) -> str:
    if wanted in kinds:
        return wanted
    of_node = [name for name in kinds if name.partition(".")[0] == wanted]
    if len(of_node) == 1:
        return of_node[0]
    raise UnknownName.among("stream", wanted, of_node or kinds)


def _shown_together(kinds: dict[str, str]) -> list[str]:
    """Return signals and markers, else whatever there is: images have windows of their own."""
    names = [name for name, kind in kinds.items() if kind != "frames"]
    return names or list(kinds)


def _lsl_streams(names: Sequence[str], wait: float) -> list[Shown]:
    from rigmesh.viewers.lsl import lsl_reader
    from rigmesh.viewers.show import Shown
    from rigmesh_nodes.lsl import visible_streams

    found: dict[str, Shown] = {}
    end = time.monotonic() + wait
    while len(found) < len(set(names)):
        seen = {stream.info.name: stream for stream in visible_streams(0.5)}
        for name in names:
            if name in seen:
                kind = "markers" if seen[name].info.dtype == "text" else "signal"
                found[name] = Shown(name, kind, lsl_reader(stream=name))
        if time.monotonic() > end:
            break
    missing = [name for name in names if name not in found]
    if missing:
        visible = ", ".join(sorted(seen)) or "none"
        raise StreamNotFound(
            f"no LSL stream is named {missing[0]!r} within {wait:g} s; visible: {visible}"
        )
    return [found[name] for name in names]

"""``rigmesh nodes``, ``streams``, ``status`` and ``schema``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToJson
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from rigmesh.cli.console import ERR, OUT
from rigmesh.cli.live import OtherHosts, existing
from rigmesh.cli.table import StatusTable
from rigmesh.graph.loader import graph_schema
from rigmesh.node.registry import NodeType, StateType, describe_all, find_type
from rigmesh.streams import StreamInfo
from rigmesh.streams.wire import info_from_wire

__all__ = ["nodes", "schema", "status", "streams"]


def _types() -> dict[str, NodeType]:
    found = {}
    for item in describe_all():
        if isinstance(item, NodeType):
            found[item.name] = item
        else:
            ERR.print(f"[yellow]{item[0]} cannot be imported: {escape(str(item[1]))}[/]")
    return found


def _complete(incomplete: str) -> list[str]:
    return [name for name in _types() if incomplete.lower() in name.lower()]


def nodes(
    name: Annotated[
        str, typer.Argument(help="A node type; all if not given.", autocompletion=_complete)
    ] = "",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="All of them, as the reference page.")
    ] = False,
) -> None:
    """List the installed node types, or describe one."""
    types = _types()
    if markdown:
        typer.echo(_reference_page(types))
        return
    if name:
        _describe(find_type(name, types))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("type", "inputs", "outputs", "what it does"):
        table.add_column(column)
    for type_ in types.values():
        inputs = ", ".join(p.name for p in type_.inputs)
        outputs = ", ".join(p.name for p in type_.outputs)
        table.add_row(type_.name, inputs, outputs, type_.doc.partition("\n")[0])
    OUT.print(table)


def _describe(type_: NodeType) -> None:
    OUT.print(f"[bold]{type_.name}[/]  {type_.version}")
    OUT.print(Markdown(type_.doc))
    for title, ports in (("inputs", type_.inputs), ("outputs", type_.outputs)):
        for port in ports:
            flags = [w for w in ("many", "optional", "lossless") if getattr(port, w)]
            kinds = " or ".join(port.kinds)
            OUT.print(f"[bold]{title[:-1]}[/] {port.name}: {kinds} {' '.join(flags)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("parameter", "type", "default", "live", "what it does"):
        table.add_column(column)
    required = type_.schema.get("required", [])
    for name, prop in type_.schema.get("properties", {}).items():
        default = "required" if name in required else json.dumps(prop.get("default"))
        table.add_row(
            name, _type_of(prop), default, "yes" if prop.get("live") else "",
            escape(prop.get("description", "")),
        )  # fmt: skip
    OUT.print(table)
    for state in type_.states:
        OUT.print(f"[bold]state[/] {state.name}{_writers(state)}: {escape(state.doc)}")
    for command in type_.commands:
        arguments = ", ".join(command.schema.get("properties", {}))
        first = command.doc.partition("\n")[0]
        OUT.print(f"[bold]command[/] {command.name}({arguments}): {escape(first)}")


def _writers(state: StateType) -> str:
    return "" if state.write == "self" else f", writable by {state.write}"


def _reference_page(types: Mapping[str, NodeType]) -> str:
    """Return all node types as Markdown."""
    lines = ["# Node types", "", "Made by `rigmesh nodes --markdown` from the classes themselves."]
    for type_ in types.values():
        lines += ["", f"## {type_.name}", "", type_.doc]
        ports = [("input", port) for port in type_.inputs]
        ports += [("output", port) for port in type_.outputs]
        if ports:
            lines.append("")
        for side, port in ports:
            many = ", any number of streams" if port.many else ""
            lines.append(f"- {side} `{port.name}`: {' or '.join(port.kinds)}{many}")
        properties = type_.schema.get("properties", {})
        if properties:
            lines += ["", "| parameter | type | default | live | |", "|---|---|---|---|---|"]
        for name, prop in properties.items():
            required = name in type_.schema.get("required", [])
            default = "required" if required else f"`{json.dumps(prop.get('default'))}`"
            cells = (f"`{name}`", _type_of(prop), default, "yes" if prop.get("live") else "")
            described = [*cells, prop.get("description", "")]
            lines.append("| " + " | ".join(c.replace("|", "\\|") for c in described) + " |")
        if type_.states or type_.commands:
            lines.append("")
        lines += [f"- state `{s.name}`{_writers(s)}: {s.doc}" for s in type_.states]
        for command in type_.commands:
            arguments = ", ".join(command.schema.get("properties", {}))
            lines.append(
                f"- command `{command.name}({arguments})`: {command.doc.partition(chr(10))[0]}"
            )
    return "\n".join(lines)


def _type_of(prop: dict[str, Any]) -> str:
    if "unit" in prop:
        return f"number, {prop['unit']}"
    if "enum" in prop:
        return " | ".join(map(str, prop["enum"]))
    if "anyOf" in prop:
        return " | ".join(_type_of(option) for option in prop["anyOf"])
    if prop.get("type") == "array":
        return f"list of {_type_of(prop.get('items', {}))}"
    return str(prop.get("type", "any"))


def streams(
    lsl: Annotated[bool, typer.Option("--lsl", help="Streams on the LSL network instead.")] = False,
    wait: Annotated[
        float, typer.Option(help="How long to look for LSL streams, in seconds.")
    ] = 1.0,
) -> None:
    """List the streams of the daemon, or of the LSL network."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stream", "type", "channels", "rate", "format", "host"):
        table.add_column(column)
    if lsl:
        from rigmesh_nodes.lsl import visible_streams

        for found in visible_streams(wait):
            _add_row(table, found.info, found.hostname)
    else:
        with existing() as manager:
            answer = manager.status()
            for info in answer.streams:
                _add_row(table, info_from_wire(info), answer.host)
    OUT.print(table if table.row_count else "no streams")


def _add_row(table: Table, info: StreamInfo, host: str) -> None:
    rate = f"{info.sampling_rate:g} Hz" if info.is_regular else "irregular"
    shape = "×".join(map(str, info.sample_shape))
    table.add_row(escape(info.name), escape(info.stype), shape, rate, info.dtype, escape(host))


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    hosts: OtherHosts = None,
) -> None:
    """Show what the daemon runs: nodes, streams, processes."""
    with existing(hosts or ()) as manager:
        answer = manager.status()
    if as_json:
        OUT.print_json(MessageToJson(answer, preserving_proto_field_name=True))
    else:
        OUT.print(StatusTable().draw(answer))
        if answer.owner:
            OUT.print(f"the graph belongs to {escape(answer.owner)}", style="dim")


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here; print it otherwise.")
    ] = None,
) -> None:
    """Print the JSON schema of graph files, for editors."""
    text = json.dumps(graph_schema(_types().values()), indent=2)
    if output is None:
        typer.echo(text)
    else:
        output.write_text(text + "\n", encoding="utf-8")

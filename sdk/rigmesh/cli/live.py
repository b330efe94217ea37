"""``rigmesh get``, ``set``, ``call``, ``stop``, ``take-over``: a graph that runs, from outside."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape
from rich.table import Table

from rigmesh.cli.console import OUT
from rigmesh.client import Manager
from rigmesh.client.private import find_running
from rigmesh.errors import DaemonUnavailable, GraphError, RigmeshError

__all__ = ["OtherHosts", "call", "existing", "get", "set_values", "stop", "take_over"]

OtherHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host", "-H", metavar="ADDRESS", help="A machine you are logged in to; may be repeated."
    ),
]


def existing(hosts: Sequence[str] = ()) -> Manager:
    """Connect to a daemon that runs: starting one would show nothing.

    Parameters
    ----------
    hosts : sequence of str
        Other machines; then nothing needs to run on this one.

    Raises
    ------
    DaemonUnavailable
        If there is none.
    """
    socket = find_running()
    if hosts:
        return Manager.attach(*hosts, socket=socket)
    if socket is None:
        raise DaemonUnavailable("no daemon runs for you to ask; `rigmesh run` starts one")
    return Manager(socket=socket)


def _complete_state(incomplete: str) -> list[str]:
    with contextlib.suppress(RigmeshError), existing() as manager:
        return [name for name in manager.states if name.startswith(incomplete)]
    return []


def _complete_setting(incomplete: str) -> list[str]:
    return [f"{name}=" for name in _complete_state(incomplete)]


def _complete_command(incomplete: str) -> list[str]:
    with contextlib.suppress(RigmeshError), existing() as manager:
        types = manager.node_types()
        names = [
            f"{name}.{command['name']}"
            for name, node in manager.nodes.items()
            for command in types[node.type]["commands"]
        ]
        return [name for name in names if name.startswith(incomplete)]
    return []


def get(
    name: Annotated[
        str,
        typer.Argument(
            help="A node, node.state, or an alias of the graph; all if not given.",
            autocompletion=_complete_state,
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    hosts: OtherHosts = None,
) -> None:
    """Show states and live parameters of the graph that runs."""
    with existing(hosts or ()) as manager:
        found = manager.states[name] if name else manager.states.read()
        docs = _docs(manager)
    if as_json:
        OUT.print_json(json.dumps(found))
    elif not isinstance(found, Mapping):
        typer.echo(json.dumps(found) if isinstance(found, (list, bool)) else found)
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("state", "value", "what it is"):
            table.add_column(column)
        for key, value in found.items():
            table.add_row(escape(key), escape(_shortened(value)), escape(docs.get(key, "")))
        OUT.print(table if table.row_count else "no states")


def set_values(
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=VALUE …",
            help="node.parameter=value, node.state=value or alias=value; units may be written.",
            autocompletion=_complete_setting,
        ),
    ],
    hosts: OtherHosts = None,
) -> None:
    """Change parameters and states of the graph that runs, between two chunks."""
    values = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise GraphError(f"{text!r} is not of the form node.parameter=value")
        values[name.strip()] = yaml.safe_load(value)
    with existing(hosts or ()) as manager:
        effective = manager.states.write(values)
    for stream, (epoch, index) in effective.items():
        OUT.print(f"{escape(stream)}: from sample {index} of epoch {epoch} on", style="dim")


def call(
    command: Annotated[
        str, typer.Argument(metavar="NODE.COMMAND", autocompletion=_complete_command)
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE …]", help="Its arguments.")
    ] = None,
    hosts: OtherHosts = None,
) -> None:
    """Let a node of the graph that runs obey a command, such as detector.reset."""
    node, dot, name = command.partition(".")
    if not (dot and node and name):
        raise GraphError(f"{command!r} is not of the form node.command")
    given: dict[str, Any] = {}
    for text in arguments or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise GraphError(f"{text!r} is not of the form argument=value")
        given[key.strip()] = yaml.safe_load(value)
    with existing(hosts or ()) as manager:
        result = manager.call(node, name, **given)
    if result is not None:
        typer.echo(json.dumps(result))


def _docs(manager: Manager) -> dict[str, str]:
    types: dict[str, Any] = {}
    for host in manager.hosts.values():
        types.update(manager.node_types(host=host))
    docs = {}
    for name, node in manager.nodes.items():
        type_ = types[node.type]
        for each in type_["states"]:
            docs[f"{name}.{each['name']}"] = each["doc"]
        for key, prop in type_["schema"].get("properties", {}).items():
            docs[f"{name}.{key}"] = prop.get("description", "")
    return docs


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def stop(
    hosts: OtherHosts = None,
    take_over_: Annotated[
        bool, typer.Option("--take-over", help="Even if the graph is another operator's.")
    ] = False,
) -> None:
    """Stop the graph that runs: sources first; recordings are sealed. Its nodes stay."""
    with _graph(hosts) as manager:
        if take_over_:
            manager.take_over()
        manager.stop_all()


def take_over(hosts: OtherHosts = None) -> None:
    """Make the graph yours that another operator began; who had it is told."""
    with _graph(hosts) as manager:
        before = manager.take_over()
    OUT.print(f"taken over from {escape(', '.join(before))}" if before else "it was nobody else's")


def _graph(hosts: Sequence[str] | None) -> Manager:
    """Attach to what runs, so that leaving takes nothing away."""
    socket = find_running()
    if socket is None and not hosts:
        raise DaemonUnavailable("no daemon runs for you to ask")
    return Manager.attach(*(hosts or ()), socket=socket)

"""Puts the commands together; errors become one line and an exit code.

0: all is well. 1: it failed. 2: it was asked wrongly. 3: recorded, with gaps.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, ClassVar

import typer

from rigmesh.cli.console import ERR, FAILED, WRONG_USE
from rigmesh.cli.lazy import LazyCommands
from rigmesh.errors import GraphError, RigmeshError

__all__ = ["app", "main"]


class _Commands(LazyCommands):
    places: ClassVar[Mapping[str, str]] = {
        "run": "rigmesh.cli.run:run",
        "latency": "rigmesh.cli.latency:latency",
        "record": "rigmesh.cli.run:record",
        "replay": "rigmesh.cli.replay:replay",
        "nodes": "rigmesh.cli.look:nodes",
        "streams": "rigmesh.cli.look:streams",
        "status": "rigmesh.cli.look:status",
        "info": "rigmesh.cli.files:info",
        "recover": "rigmesh.cli.files:recover",
        "export": "rigmesh.cli.export:export",
        "schema": "rigmesh.cli.look:schema",
        "doctor": "rigmesh.cli.doctor:doctor",
        "bench": "rigmesh.cli.bench:bench",
        "view": "rigmesh.cli.view:view",
        "plot": "rigmesh.cli.plot:plot",
        "web": "rigmesh.cli.web:web",
        "new-node": "rigmesh.cli.scaffold:new_node",
        "get": "rigmesh.cli.live:get",
        "set": "rigmesh.cli.live:set_values",
        "call": "rigmesh.cli.live:call",
        "annotate": "rigmesh.cli.annotate:annotate",
        "stop": "rigmesh.cli.live:stop",
        "take-over": "rigmesh.cli.live:take_over",
        "hosts": "rigmesh.cli.hosts:hosts",
        "login": "rigmesh.cli.login:login",
        "logout": "rigmesh.cli.login:logout",
        "graph": "rigmesh.cli.graph:graph",
    }


app = typer.Typer(
    name="rigmesh",
    cls=_Commands,
    help="One product for a neuroscience rig, from the amplifier to the figure.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("rigmesh"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """One product for a neuroscience rig, from the amplifier to the figure."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except GraphError as error:
        ERR.print(f"[bold red]error:[/] {_plain(error)}", highlight=False)
        sys.exit(WRONG_USE)
    except RigmeshError as error:
        ERR.print(f"[bold red]error:[/] {_plain(error)}", highlight=False)
        sys.exit(FAILED)


def _plain(error: Exception) -> str:
    # A stream's name may hold what rich takes for markup.
    return str(error).replace("[", r"\[")

"""Puts the commands together; errors become one line and an exit code.

0: all is well. 1: it failed. 2: it was asked wrongly. 3: recorded, with gaps.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from rigmesh.cli.annotate import annotate
from rigmesh.cli.bench import bench
from rigmesh.cli.console import ERR, FAILED, WRONG_USE
from rigmesh.cli.doctor import doctor
from rigmesh.cli.export import export
from rigmesh.cli.files import info, recover
from rigmesh.cli.graph import graph
from rigmesh.cli.hosts import hosts
from rigmesh.cli.latency import latency
from rigmesh.cli.live import call, get, set_values, stop, take_over
from rigmesh.cli.login import login, logout
from rigmesh.cli.look import nodes, schema, status, streams
from rigmesh.cli.plot import plot
from rigmesh.cli.replay import replay
from rigmesh.cli.run import record, run
from rigmesh.cli.scaffold import new_node
from rigmesh.cli.view import view
from rigmesh.cli.web import web
from rigmesh.errors import GraphError, RigmeshError

__all__ = ["app", "main"]

app = typer.Typer(
    name="rigmesh",
    help="One product for a neuroscience rig, from the amplifier to the figure.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

for command in (
    run, latency, record, replay, nodes, streams, status, info, recover, export, schema, doctor,
    bench, view, plot, web,
):  # fmt: skip
    app.command()(command)
app.command("new-node")(new_node)
app.command()(get)
app.command("set")(set_values)
app.command()(call)
app.command()(annotate)
app.command()(stop)
app.command("take-over")(take_over)
app.command()(hosts)
app.command()(login)
app.command()(logout)
app.add_typer(graph, name="graph")


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

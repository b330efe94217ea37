"""Puts the commands together; errors become one line and an exit code.

0: all is well. 1: it failed. 2: it was asked wrongly. 3: recorded, with gaps.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from rigmesh.cli.commands import Commands
from rigmesh.cli.console import ERR, FAILED, WRONG_USE
from rigmesh.errors import GraphError, RigmeshError
from rigmesh.startup import spare_locks

__all__ = ["app", "main"]


app = typer.Typer(
    name="rigmesh",
    cls=Commands,
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
    spare_locks()
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

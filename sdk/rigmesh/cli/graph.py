"""``rigmesh graph check``, ``show`` and ``plan``: what a graph file says, before it runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rigmesh.cli.console import ERR, OUT, WRONG_USE
from rigmesh.errors import GraphError
from rigmesh.graph import GraphSpec, check_graph, plan_graph
from rigmesh.graph.listing import Listing, list_graph, list_plan
from rigmesh.graph.loader import load_graph
from rigmesh.graph.picture import draw
from rigmesh.node.registry import NodeType, describe_all

__all__ = ["graph"]

graph = typer.Typer(
    help="Check a graph file, show what it says, or plan where it runs; nothing is started.",
    no_args_is_help=True,
    add_completion=False,
)

File = Annotated[Path, typer.Argument(help="A graph file.", metavar="GRAPH.yaml")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw it here, as SVG.")]

_RIGHT = ("lane", "wake-ups", "replicas")
_COLOURS = {"default": "dim", "set": "green", "ring": "blue", "lsl": "cyan", "call": "dim"}


@graph.command()
def check(file: File) -> None:
    """Tell whether a graph can run, or every mistake with its line."""
    try:
        checked, _ = _read(file)
    except GraphError as error:
        # As compilers write it, unwrapped: editors and terminals make links of it.
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from error
    n_links = sum(len(s) for node in checked.nodes.values() for s in node.inputs.values())
    groups = {node.group for node in checked.nodes.values()}
    counts = (_counted(checked.nodes, "node"), _counted(range(n_links), "link"))
    typer.echo(f"{file}: ok, {', '.join(counts)}, {_counted(groups, 'group')}")


@graph.command()
def show(file: File, svg: Svg = None) -> None:
    """Show a graph with all that a file leaves out: full names, defaults, links, replicas."""
    checked, types = _read(file)
    _print(list_graph(checked, types))
    if svg is not None:
        _write(svg, draw(plan_graph(checked, types), types, parameters=True))


@graph.command()
def plan(file: File, svg: Svg = None) -> None:
    """Show where each node runs, how each stream travels, and how many wake-ups that costs."""
    checked, types = _read(file)
    planned = plan_graph(checked, types)
    _print(list_plan(planned))
    if svg is not None:
        _write(svg, draw(planned, types))


def _read(file: Path) -> tuple[GraphSpec, dict[str, NodeType]]:
    found = load_graph(file)
    types: dict[str, NodeType] = {}
    broken: list[tuple[str, Exception]] = []
    for item in describe_all():
        if isinstance(item, NodeType):
            types[item.name] = item
        else:
            broken.append(item)
    try:
        return check_graph(found, types), types
    except GraphError:
        # Only then is a module that cannot be imported perhaps the reason.
        for module, error in broken:
            ERR.print(f"[yellow]{module} cannot be imported: {escape(str(error))}[/]")
        raise


def _print(listings: Iterable[Listing]) -> None:
    for number, listing in enumerate(listings):
        if number:
            OUT.print()
        table = Table(
            box=None, pad_edge=False, header_style="bold", title=listing.title,
            title_justify="left", title_style="bold underline",
        )  # fmt: skip
        for column in listing.columns:
            table.add_column(column, justify="right" if column in _RIGHT else "left")
        for row in listing.rows:
            table.add_row(*(_coloured(cell) for cell in row))
        OUT.print(table)


def _coloured(cell: str) -> str:
    colour = _COLOURS.get(cell)
    return f"[{colour}]{cell}[/]" if colour else escape(cell)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise GraphError(f"cannot write the drawing {path}: {error.strerror}") from error


def _counted(things: Iterable[object], word: str) -> str:
    n = len(list(things))
    return f"{n} {word}{'s' * (n != 1)}"

"""``rigmesh info`` and ``recover``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rigmesh.cli.console import OUT, exit_code_of, styled_verdict
from rigmesh.recording import RecordingInfo, read_info
from rigmesh.recording import recover as recover_recording

__all__ = ["info", "recover"]

File = Annotated[Path, typer.Argument(help="A recording, or what is left of one.")]


def info(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Say what a recording holds, and whether it is whole."""
    found = read_info(file)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        _show(found)
    raise typer.Exit(exit_code_of([found.verdict]))


def recover(file: File) -> None:
    """Make a file of what a crash has left; nothing that was reported written is lost."""
    path = recover_recording(file)
    found = read_info(path)
    OUT.print(f"recovered {escape(str(path))}")
    _show(found)
    raise typer.Exit(exit_code_of([found.verdict]))


def _show(found: RecordingInfo) -> None:
    OUT.print(f"[bold]{escape(str(found.path))}[/]  {styled_verdict(found.verdict)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stream", "format", "shape", "rate", "samples", "seconds", "gaps", "missing"):
        table.add_column(column, justify="left" if column in ("stream", "format") else "right")
    for stream in found.streams:
        rate = f"{stream.sampling_rate:g} Hz" if stream.sampling_rate else "irregular"
        table.add_row(
            escape(stream.name),
            stream.dtype,
            "×".join(map(str, stream.shape)),
            rate,
            f"{stream.n_samples:,}",
            f"{stream.duration:.3f}",
            str(stream.n_gaps),
            f"{stream.missing:,}",
        )
    OUT.print(table)

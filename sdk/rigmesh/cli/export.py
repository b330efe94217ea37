"""``rigmesh export``: a recording in another format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from rigmesh.cli.completion import complete_recording
from rigmesh.cli.console import ERR, OUT
from rigmesh.recording.export import EXPORTS, Labels, export_recording
from rigmesh.recording.formats import open_recording

__all__ = ["export"]


def _complete_format(incomplete: str) -> list[str]:
    return [name for name in EXPORTS if name.startswith(incomplete)]


def _complete_stream(context: typer.Context, incomplete: str) -> list[str]:
    try:
        with open_recording(context.params["file"]) as recording:
            return [key for key in recording.streams if key.startswith(incomplete)]
    except (OSError, KeyError, TypeError):
        return []


def export(
    file: Annotated[Path, typer.Argument(help="A recording.", autocompletion=complete_recording)],
    to: Annotated[
        str,
        typer.Option(
            metavar="|".join(EXPORTS), help="The format.", autocompletion=_complete_format
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The file, or the BIDS dataset's folder; beside the recording if not given. "
            "Nothing is overwritten.",
        ),
    ] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help="Only this stream; several times.", autocompletion=_complete_stream),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="fif, edf, bids: unit of channels that name none: uV.")
    ] = "",
    subject: Annotated[str, typer.Option(help="bids: who; from the metadata if not given.")] = "",
    session: Annotated[str, typer.Option(help="bids: which session, if any.")] = "",
    task: Annotated[str, typer.Option(help="bids: what was done.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Write a recording in another format: hdf5, nwb, xdf, fif, edf or bids."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
        console=ERR, transient=True, disable=quiet or not ERR.is_terminal,
    )  # fmt: skip
    with bar:
        work = bar.add_task("exporting", total=None)
        done = export_recording(
            file, to, output, streams=stream or (), unit=unit,
            labels=Labels(subject, session, task),
            progress=lambda at, total: bar.update(work, completed=at, total=total),
        )  # fmt: skip
    for path in done.paths:
        OUT.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)
    for remark in done.remarks:
        OUT.print(f"note: {remark}", style="yellow", highlight=False, markup=False, soft_wrap=True)

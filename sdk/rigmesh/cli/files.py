"""``rigmesh info`` and ``recover``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from rigmesh.cli.console import OUT, exit_code_of, styled_verdict
from rigmesh.recording import RecordingInfo, read_info
from rigmesh.recording import recover as recover_recording
from rigmesh.recording.summary import write_record

__all__ = ["info", "recover"]

_MOST_NOTES = 30

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
    with OUT.status("sealing …") as status:
        path = recover_recording(file, lambda done, total: _show_progress(status, done, total))
    write_record(path)
    found = read_info(path)
    OUT.print(f"recovered {escape(str(path))}")
    _show(found)
    raise typer.Exit(exit_code_of([found.verdict]))


def _show_progress(status: Status, done: int, total: int) -> None:
    status.update(f"sealing … {100 * done // max(1, total)} %")


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
    _show_origin(found)
    _show_notes(found)
    counted = {k: v for k, v in found.counters.items() if k not in ("kind", "time", "node")}
    if counted:
        counters = ", ".join(f"{k} {v}" for k, v in counted.items() if not isinstance(v, Mapping))
        OUT.print(f"counted: {escape(counters)}", style="dim", highlight=False)


def _show_origin(found: RecordingInfo) -> None:
    context = found.context
    told = [f"run {found.run_id}", str(found.created.get("utc", ""))[:19].replace("T", " ")]
    if host := context.get("host"):
        told.append(f"on {host}")
    rigmesh = (context.get("code") or {}).get("rigmesh") or (context.get("versions") or {}).get(
        "rigmesh"
    )
    if rigmesh:
        told.append(f"rigmesh {rigmesh}")
    told += [f"{key}: {value}" for key, value in (context.get("metadata") or {}).items()]
    OUT.print(escape(", ".join(told)), style="dim", highlight=False)


def _show_notes(found: RecordingInfo) -> None:
    notes = [note for note in found.notes if note.get("kind") not in ("counters", "order")]
    begin = found.created.get("local_clock", 0.0)
    for note in notes[:_MOST_NOTES]:
        time = f"{note.get('time', begin) - begin:+.3f} s"
        text = f"{time:>12}  {note.get('kind', '')}: {_told(note)}"
        OUT.print(escape(text), highlight=False, soft_wrap=True)
    if len(notes) > _MOST_NOTES:
        OUT.print(f"… and {len(notes) - _MOST_NOTES} more notes; --json shows all", style="dim")


def _told(note: Mapping[str, Any]) -> str:
    """Return what a note says, in a line.

    Examples
    --------
    >>> _told({"kind": "note", "time": 1.0, "text": "blink"})
    'blink'
    >>> _told({"kind": "parameters", "node": "low", "values": {"cutoff": 30},
    ...        "effective": {"low.filtered": {"epoch": 0, "index": 50}}})
    'low.cutoff = 30, from low.filtered[50] on'
    """
    if "text" in note:
        return str(note["text"])
    node = note.get("node", "")
    said = ", ".join(f"{node}.{key} = {value}" for key, value in note.get("values", {}).items())
    if "command" in note:
        arguments = ", ".join(f"{k}={v}" for k, v in note.get("arguments", {}).items())
        said = f"{node}.{note['command']}({arguments})"
    ats = ", ".join(
        f"{stream}[{at['index']}]" + (f" of epoch {at['epoch']}" if at["epoch"] else "")
        for stream, at in note.get("effective", {}).items()
    )
    if ats:
        return f"{said}, from {ats} on"
    return said or str(note.get("next", note.get("previous", node)))

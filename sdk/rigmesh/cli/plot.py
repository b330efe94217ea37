"""``rigmesh plot``: a recording, or seconds of what runs, as a figure."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from rigmesh.cli._plot_collect import Collector
from rigmesh.cli._plot_draw import SIZE, draw, save
from rigmesh.cli._plot_picture import Channels, picture_of
from rigmesh.cli.completion import complete_recording_or_stream
from rigmesh.cli.console import ERR, OUT
from rigmesh.cli.live import OtherHosts, existing
from rigmesh.display import Feed, graph_reader
from rigmesh.display.timeline import Timeline, begin_of
from rigmesh.errors import (
    GraphError,
    RecordingError,
    UnknownName,
    Unsupported,
    WaitTimeout,
)
from rigmesh.recording import RecordedStream, capture_folder, open_recording
from rigmesh.recording.paths import target_of

__all__ = ["plot"]

_FORMATS = (".png", ".svg", ".pdf")
_COLUMNS_PER_INCH = 140
_PATIENCE = 15.0


def plot(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|STREAM…",
            help="A recording, also one that grows; or streams of the graph that runs.",
            autocompletion=complete_recording_or_stream,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The figure: .png, .svg or .pdf."),
    ],
    streams: Annotated[
        list[str] | None,
        typer.Option("--streams", "-s", metavar="NAME", help="Only these; may be repeated."),
    ] = None,
    start: Annotated[
        float | None, typer.Option("--from", metavar="S", help="From this second on.")
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--to", metavar="S", help="Up to this second.")
    ] = None,
    channels: Annotated[
        str, typer.Option(metavar="LIST", help="Names or numbers: Cz,Pz or 0-7,12.")
    ] = "",
    seconds: Annotated[
        float, typer.Option(min=0.01, metavar="S", help="How much of a stream that runs.")
    ] = 10.0,
    size: Annotated[
        str, typer.Option(metavar="W[xH]", help="In inches; as high as needed without H.")
    ] = f"{SIZE[0]:g}",
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Pixels per inch of a PNG.")] = 200,
    dark: Annotated[bool, typer.Option("--dark", help="Light on dark, for slides.")] = False,
    title: Annotated[
        str | None, typer.Option(help="Instead of the name; empty for none.", show_default=False)
    ] = None,
    hosts: OtherHosts = None,
) -> None:
    """Draw a recording or seconds of streams: traces, markers as lines, gaps shaded."""
    _check(output)
    inches = _size_of(size)
    chosen = Channels(channels)
    with contextlib.ExitStack() as stack:
        if _is_file(what):
            found, begin, name, told = stack.enter_context(_recorded(Path(what[0]), streams or ()))
        else:
            wanted = [*what, *(streams or ())]
            found, begin, name, told = _collected(wanted, seconds, hosts or ())
        with ERR.status("drawing …"):
            width = round(inches[0] * _COLUMNS_PER_INCH)
            picture = picture_of(found, begin, (start, stop), chosen, width)
            figure = draw(
                picture, title=name if title is None else title, subtitle=told, size=inches,
                dark=dark,
            )  # fmt: skip
            try:
                save(figure, output, dpi)
            except OSError as error:
                raise GraphError(f"cannot write {output}: {error.strerror}") from error
    for note in picture.notes:
        ERR.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    OUT.print(escape(str(output)), highlight=False, soft_wrap=True)


def _check(output: Path) -> None:
    if output.suffix.lower() not in _FORMATS:
        raise GraphError(
            f"{output} ends in {output.suffix or 'nothing'}; a figure is "
            f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
        )
    if find_spec("matplotlib") is None:
        raise Unsupported("rigmesh plot needs matplotlib: pip install 'rigmesh[plot]'")


def _size_of(text: str) -> tuple[float, float]:
    width, _, height = text.lower().replace("×", "x").partition("x")
    try:
        inches = float(width), float(height or 0)
    except ValueError:
        raise GraphError(f"--size {text!r} is not W or WxH in inches, such as 9x5") from None
    if not (1 <= inches[0] <= 100 and 0 <= inches[1] <= 100):
        raise GraphError(f"--size {text!r}: a figure is 1 to 100 inches wide and high")
    return inches


def _is_file(what: Sequence[str]) -> bool:
    """Whether a recording is meant, rather than streams."""
    paths = [Path(text) for text in what]
    there = [path for path in paths if path.exists() or capture_folder(target_of(path)).exists()]
    if there and len(what) > 1:
        raise GraphError(f"{there[0]} is a file: draw one at a time, or only streams that run")
    if there:
        return True
    if "/" in what[0]:
        raise RecordingError(f"no recording {what[0]}")
    return False


# --- a recording ---------------------------------------------------------------------------------


@contextlib.contextmanager
def _recorded(
    path: Path, wanted: Sequence[str]
) -> Iterator[tuple[list[RecordedStream], float, str, str]]:
    with contextlib.ExitStack() as stack:
        found: list[RecordedStream]
        with ERR.status("opening …"):
            try:
                recording = stack.enter_context(open_recording(path))
            except RecordingError:
                if not path.is_file():
                    raise
                found, created, told = _foreign(path, stack), None, ""
            else:
                found, created = list(recording.streams.values()), recording.created
                told = f"{str(created['utc'])[:16].replace('T', ' ')} UTC · {recording.verdict}"
                if recording.state == "recording":
                    told += " · being recorded"
        for name in wanted:
            known = [stream.info.name for stream in found]
            if name not in known:
                raise UnknownName.among("stream", name, known)
        found = [one for one in found if not wanted or one.info.name in wanted]
        found.sort(key=lambda one: one.info.kind == "signal")
        lines = [Timeline(one) for one in found]
        begin = begin_of(lines, float(created["local_clock"]) if created else None)
        yield found, begin, target_of(path).name, told


def _foreign(path: Path, stack: contextlib.ExitStack) -> list[RecordedStream]:
    """Return the streams of a file that another program made: EDF, BrainVision, any XDF or NWB."""
    from rigmesh_nodes._readers import open_streams

    return list(stack.enter_context(open_streams(path)))


# --- streams that run ----------------------------------------------------------------------------


def _collected(
    wanted: Sequence[str], seconds: float, hosts: Sequence[str]
) -> tuple[list[RecordedStream], float, str, str]:
    with existing(hosts) as manager:
        known = sorted(info.name for info in manager.status().streams)
        names = [name for text in wanted for name in _matching(text, known)]
        collectors = {name: Collector() for name in dict.fromkeys(names)}
        feeds = [
            Feed(name, graph_reader(manager.where(name), name), collector)
            for name, collector in collectors.items()
        ]
        try:
            with ERR.status(f"collecting {seconds:g} s … (Ctrl-C draws what is there)"):
                _wait(feeds, seconds)
        finally:
            for feed in feeds:
                feed.close()
    found = [stream for one in collectors.values() if (stream := one.stream()) is not None]
    if not any(len(stream) for stream in found):
        why = "; ".join(f"{feed.name}: {feed.error}" for feed in feeds if feed.error)
        raise WaitTimeout(f"no sample of {', '.join(collectors)} came{f' ({why})' if why else ''}")
    found.sort(key=lambda one: one.info.kind == "signal")
    begin = begin_of([Timeline(one) for one in found], None)
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return found, begin, ", ".join(collectors), now


def _wait(feeds: Sequence[Feed], seconds: float) -> None:
    begin = time.monotonic()
    end = begin + _PATIENCE
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < end and not all(feed.state == "over" for feed in feeds):
            if end == begin + _PATIENCE and any(feed.state == "live" for feed in feeds):
                end = time.monotonic() + seconds
            time.sleep(0.02)


def _matching(text: str, known: Sequence[str]) -> list[str]:
    found = [name for name in known if name == text or name.partition(".")[0] == text]
    if not found:
        raise UnknownName.among("recording or stream", text, known)
    return found

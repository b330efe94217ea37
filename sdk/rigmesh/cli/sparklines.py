"""The signals of a running graph as lines of text: ``rigmesh run --live``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rigmesh.display import ColumnCache, Feed, MarkerBuffer, Reader, SignalBuffer
from rigmesh.streams import Chunk, StreamInfo, local_clock
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["LiveSignals", "sparkline"]

Array = npt.NDArray[Any]

_BLOCKS = "▁▂▃▄▅▆▇█"
_EMPTY = "·"
_SECONDS = 10.0
_KEPT_SECONDS = 1.25 * _SECONDS
"""Whole columns reach a little further back."""
_CHANNELS = 4
_STREAMS = 12
_WIDTHS = (16, 72)
_BESIDE = 58
"""Columns of the terminal that names and numbers take."""
_CLEARLY = 1.1
_SHOWN_MARKERS = 3
_MAX_BYTES = 16 * 2**20
_IDLE_AFTER = 3.0


def sparkline(minimum: Array, maximum: Array) -> str:
    """Draw the extremes of columns in one line of text.

    A letter shows the extreme that is farther from the middle of all, so that a spike is seen
    in either direction; where both are about as far, the greater.

    Parameters
    ----------
    minimum, maximum : ndarray, shape (n_columns,)
        NaN is missing, drawn as a dot.

    Examples
    --------
    >>> sparkline(np.array([0, 0, 0, np.nan, -8, 0]), np.array([0, 4, 8, np.nan, 0, 0]))
    '▅▇█·▁▅'
    """
    minimum, maximum = minimum.astype(np.float64), maximum.astype(np.float64)
    there = np.isfinite(minimum) & np.isfinite(maximum)
    if not there.any():
        return _EMPTY * len(minimum)
    lowest, highest = float(minimum[there].min()), float(maximum[there].max())
    middle = float(np.median((minimum[there] + maximum[there]) / 2))
    is_low = (middle - minimum) > _CLEARLY * (maximum - middle)
    values = np.where(is_low, minimum, maximum)
    if highest > lowest:
        scaled = (values - lowest) / (highest - lowest) * len(_BLOCKS)
    else:
        scaled = np.full(len(values), len(_BLOCKS) / 2)
    levels = np.clip(np.nan_to_num(scaled), 0, len(_BLOCKS) - 1).astype(int)
    return "".join(
        _BLOCKS[level] if is_there else _EMPTY
        for level, is_there in zip(levels.tolist(), there.tolist(), strict=True)
    )


class LiveSignals:
    """Reads the streams of a graph, lossy, and draws them.

    Parameters
    ----------
    open_reader : callable
        Opens a reader of a stream by its name.
    width : int
        Of the terminal, in letters.
    height : int
        Lines that may be filled.
    """

    def __init__(self, open_reader: Callable[[str], Reader], width: int, height: int) -> None:
        self._open = open_reader
        self._n_columns = min(max(width - _BESIDE, _WIDTHS[0]), _WIDTHS[1])
        self._height = height
        self._feeds: dict[str, Feed] = {}
        self._lines: dict[str, _Line] = {}

    def draw(self, status: pb.Status) -> Table:
        """Return a table of the streams that there are now."""
        infos = {info.name: info for info in status.streams}
        produced = {c.stream: (c.time, c.produced) for c in status.stream_counters}
        for name in list(infos)[:_STREAMS]:
            if name not in self._lines:
                self._lines[name] = line = _Line(infos[name].kind, self._n_columns)
                self._feeds[name] = Feed(name, _opener(self._open, name), line)
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        table.add_column("stream", no_wrap=True, max_width=24)
        table.add_column("channel", no_wrap=True, max_width=10)
        table.add_column(f"last {_SECONDS:g} s", no_wrap=True, min_width=self._n_columns)
        for column in ("range", "rate", "gaps", "lag"):
            table.add_column(column, justify="right", no_wrap=True)
        shown = [name for name in self._lines if name in infos]
        room = max(1, (self._height - len(shown)) // max(1, len(shown)) + 1)
        for name in shown:
            line, feed = self._lines[name], self._feeds[name]
            line.count(produced.get(name))
            self._add(table, name, line, feed, min(room, _CHANNELS))
        if len(infos) > len(shown):
            table.add_row(f"[dim]and {len(infos) - len(shown)} more[/]")
        return table

    def close(self) -> None:
        """Stop reading."""
        for feed in self._feeds.values():
            feed.close()

    def __enter__(self) -> LiveSignals:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _add(self, table: Table, name: str, line: _Line, feed: Feed, n: int) -> None:
        gaps = f"[bold red]{line.n_lost:,}[/]" if line.n_lost else "0"
        lag = _time(feed.age) if math.isfinite(feed.age) else ""
        if line.rate and feed.age > _IDLE_AFTER and line.kind == "signal":
            lag = f"[yellow]{lag}[/]"
        numbers = (f"{line.rate:,.1f} Hz" if line.rate is not None else "", gaps, lag)
        shown = escape(name)
        for channel, drawn, told in line.rows(n, feed):
            table.add_row(shown, channel, drawn, told, *numbers)
            shown, numbers = "", ("", "", "")


class _Line:
    """What is kept of one stream, of whichever kind: a sink."""

    def __init__(self, kind: str, n_columns: int) -> None:
        self.kind = kind
        self.rate: float | None = None
        self._n_columns = n_columns
        self._history: list[tuple[float, int]] = []
        self._n_frames = self._frames_lost = 0
        self._signal = SignalBuffer(_KEPT_SECONDS, max_bytes=_MAX_BYTES)
        self._markers = MarkerBuffer(1000)
        self._columns: ColumnCache | None = None
        self._generation = -1

    @property
    def n_lost(self) -> int:
        """Samples that this reader misses."""
        return self._signal.n_lost + self._markers.n_lost + self._frames_lost

    def describe(self, info: StreamInfo) -> None:
        self.kind = info.kind
        if info.kind == "signal":
            self._signal.describe(info)
        elif info.kind == "markers":
            self._markers.describe(info)

    def take(self, chunk: Chunk) -> None:
        if self.kind == "signal":
            self._signal.take(chunk)
        elif self.kind == "markers":
            self._markers.take(chunk)
        else:
            self._n_frames += len(chunk)
            self._frames_lost += sum(gap.count for gap in chunk.gaps)

    def count(self, produced: tuple[float, int] | None) -> None:
        """Take the writer's count; the rate is that of the last two seconds."""
        if produced is None:
            return
        if not self._history or self._history[-1][0] < produced[0]:
            self._history.append(produced)
        while len(self._history) > 2 and produced[0] - self._history[0][0] > 2.0:
            self._history.pop(0)
        (first, begin), (last, end) = self._history[0], self._history[-1]
        if last > first:
            self.rate = (end - begin) / (last - first)

    def rows(self, n: int, feed: Feed) -> list[tuple[Text, Text, Text]]:
        """Return channel, line and range of at most `n` channels."""
        if feed.state == "waiting":
            return [(Text(), Text(f"waiting: {feed.error}"[: self._n_columns], "dim"), Text())]
        if self.kind == "markers":
            return [(Text(), Text(self._texts()), Text(f"{self._markers.n_total:,} events", "dim"))]
        if self.kind == "frames":
            return [(Text(), Text(), Text(f"{self._n_frames:,} pictures", "dim"))]
        return self._channels(n)

    def _channels(self, n: int) -> list[tuple[Text, Text, Text]]:
        info, buffer = self._signal.info, self._signal
        if info is None:
            return [(Text(), Text(), Text())]
        if info.is_regular:
            minima, maxima = self._regular(info.sampling_rate)
        else:
            minima, maxima = self._irregular(buffer, info)
        rows = []
        for number, name in enumerate(info.channel_names[:n]):
            lows, highs = minima[:, number], maxima[:, number]
            told = ""
            if np.isfinite(lows).any():
                unit = info.channels[number].unit if info.channels else ""
                told = f"{_short(np.nanmin(lows))} … {_short(np.nanmax(highs))} {unit}".rstrip()
            if number == n - 1 and info.n_channels > n:
                name = f"{name} +{info.n_channels - n}"
            line = sparkline(lows, highs).rjust(self._n_columns)
            rows.append((Text(name), Text(line, "cyan"), Text(told, "dim")))
        return rows

    def _regular(self, rate: float) -> tuple[Array, Array]:
        if self._columns is None or self._generation != self._signal.generation:
            self._generation = self._signal.generation
            factor, n = columns_for(rate, self._n_columns)
            self._columns = ColumnCache(self._signal, factor, n)
        found = self._columns.update()
        return found.minimum, found.maximum

    def _irregular(self, buffer: SignalBuffer, info: StreamInfo) -> tuple[Array, Array]:
        """Return samples by their times: a rate of 0 has columns without any."""
        stop = buffer.rows[1]
        first = buffer.row_at(local_clock() - _SECONDS)
        times, (data, missing) = buffer.times(first, stop), buffer.samples(first, stop)
        n = min(len(times), len(data))
        there = ~missing[len(missing) - n :]
        data, times = data[len(data) - n :][there], times[len(times) - n :][there]
        at = ((times - local_clock()) / _SECONDS + 1) * self._n_columns
        columns: npt.NDArray[np.int64] = np.clip(at, 0, self._n_columns - 1).astype(np.int64)
        minima = np.full((self._n_columns, info.n_channels), np.nan)
        maxima = minima.copy()
        np.fmin.at(minima, columns, data)
        np.fmax.at(maxima, columns, data)
        return minima, maxima

    def _texts(self) -> str:
        """Return the newest texts that there is room for."""
        texts = [text for _, text in self._markers.since(local_clock() - _SECONDS)]
        return clipped(texts[-_SHOWN_MARKERS:], self._n_columns)


def columns_for(rate: float, most: int) -> tuple[int, int]:
    """Return how many samples share a column, and how many columns are 10 s, at most `most`.

    Examples
    --------
    >>> columns_for(1, 72), columns_for(500, 72), columns_for(30_000, 72)
    ((1, 10), (80, 62), (4352, 69))
    """
    wanted = math.ceil(_SECONDS * rate / most)
    # Multiples of what the buffer keeps cost nothing.
    step = max((size for size in (1, 16, 256, 4096) if wanted >= 2 * size), default=1)
    factor = max(1, -(-wanted // step) * step)
    return factor, min(most, max(1, round(_SECONDS * rate / factor)))


def clipped(texts: Sequence[str], width: int) -> str:
    """Return texts in a line; characters that would move the cursor are left out."""
    line = " │ ".join(
        "".join(letter if letter.isprintable() else " " for letter in text) for text in texts
    )
    return line if len(line) <= width else "…" + line[1 - width :]


def _opener(open_reader: Callable[[str], Reader], name: str) -> Callable[[], Reader]:
    return lambda: open_reader(name)


_PREFIXES: Mapping[int, str] = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G"}


def _short(value: float) -> str:
    """Return a number in few letters.

    Examples
    --------
    >>> _short(0.00012), _short(-53.2), _short(31999.0)
    ('120µ', '-53.2', '32k')
    """
    if not value or not math.isfinite(value):
        return "0" if not value else str(value)
    power = min(max(math.floor(math.log10(abs(value)) / 3 + 1e-9) * 3, -9), 9)
    if -1 <= math.log10(abs(value)) < 3:
        power = 0
    return f"{value / 10.0**power:.3g}{_PREFIXES[power]}"


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

"""What one browser sees of the streams: what is new since it looked last, to pixel width."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.display import FrameBuffer, MarkerBuffer, SignalBuffer
from rigmesh.streams import StreamInfo, local_clock
from rigmesh.web.feeds import Looked
from rigmesh.web.thumbnails import encode

__all__ = ["LiveView", "View", "factor_of", "pack", "unpack"]

_MOST_MARKERS = 2000
_MOST_COLUMNS = 4000
_FRAME_EVERY = 0.2
_KNOTS = 65
_ALL_STAMPS = 2**18

Array = npt.NDArray[Any]


def pack(header: dict[str, Any], payload: list[bytes]) -> bytes:
    """Return a message: length of the header, the header as JSON, then the payload.

    The payload begins at a multiple of 8, and so does each part of it.
    """
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return b"".join((struct.pack("<I", len(text)), text, *map(_padded, payload)))


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a message apart: header and payload."""
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 8)


def factor_of(rate: float, seconds: float, width: int) -> int:
    """Return how many samples share a column, so that no more than twice `width` columns are seen.

    From 16 on it is a multiple of 16, which is quick.

    Examples
    --------
    >>> factor_of(1000, 10, 1200), factor_of(30_000, 10, 1200), factor_of(0, 10, 1200)
    (8, 240, 1)
    """
    wanted = int(rate * seconds / max(width, 1))
    return max(1, wanted if wanted < 16 else wanted // 16 * 16)


@dataclass(frozen=True, slots=True)
class View:
    """What a browser shows.

    Parameters
    ----------
    streams : tuple of str
        By name.
    seconds : float
        So much of them.
    width : int
        On so many pixels.
    """

    streams: tuple[str, ...] = ()
    seconds: float = 10.0
    width: int = 800

    @classmethod
    def from_json(cls, values: dict[str, Any], most: int) -> View:
        """Take it from a browser; what is wrong with it becomes something sensible."""
        names = values.get("streams")
        streams = [str(name)[:200] for name in names] if isinstance(names, list) else []
        return cls(
            tuple(dict.fromkeys(streams))[:most],
            _number(values.get("seconds"), 0.1, 600.0, 10.0),
            int(_number(values.get("width"), 16, _MOST_COLUMNS, 800)),
        )


def _number(value: object, least: float, most: float, otherwise: float) -> float:
    # NaN fails both comparisons.
    if isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most:
        return float(value)
    return otherwise


@dataclass(slots=True)
class _Sent:
    """How far a browser has seen a stream."""

    looked: Looked
    generation: int = -1
    factor: int = 0
    columns: int = 0
    markers: int = 0
    frame: int = 0
    framed_at: float = 0.0
    said: dict[str, Any] = field(default_factory=dict)


class LiveView:
    """Makes the messages for one browser.

    It has no queue: a browser that was away for a while is sent what is new since, and no more
    than it can show.
    """

    def __init__(self) -> None:
        self.view = View()
        self._sent: dict[str, _Sent] = {}
        self._number = 0

    def show(self, view: View) -> None:
        """Show something else: what was sent before does not count."""
        self.view = view
        for sent in self._sent.values():
            sent.generation, sent.markers, sent.frame = -1, 0, 0
            sent.said = {}

    def look_at(self, looked: dict[str, Looked]) -> None:
        """Say by which feeds the streams are read."""
        kept = self._sent
        # Made anew: another thread may be going through what there was.
        self._sent = {
            name: kept[name] if name in kept and kept[name].looked is found else _Sent(found)
            for name, found in looked.items()
        }

    def message(self, faults: dict[str, str]) -> bytes:
        """Return what is new.

        Parameters
        ----------
        faults : dict of str to str
            Why streams that nobody reads are not there.
        """
        self._number += 1
        payload: list[bytes] = []
        streams = []
        for name in self.view.streams:
            sent = self._sent.get(name)
            if sent is None:
                streams.append({"name": name, "state": "waiting", "error": faults.get(name, "")})
            else:
                streams.append(self._stream(sent, payload))
        header = {"kind": "live", "number": self._number, **_clocks(), "streams": streams}
        return pack(header, payload)

    def window(self, start: float, stop: float, width: int, number: int) -> bytes:
        """Return the signals and markers between two times (local clock, in seconds)."""
        payload: list[bytes] = []
        streams = []
        for name in self.view.streams:
            sent = self._sent.get(name)
            if sent is None:
                continue
            buffer = sent.looked.buffer
            told: dict[str, Any] = {"name": name}
            if isinstance(buffer, SignalBuffer) and buffer.info is not None:
                first, stop_row = buffer.row_at(start) - 1, buffer.row_at(stop) + 1
                rate = buffer.info.sampling_rate
                factor = factor_of(rate, (stop_row - first) / rate, width) if rate else 1
                begin = max(0, first // factor)
                n = min(-(-stop_row // factor) - begin, 2 * _MOST_COLUMNS)
                told["generation"] = buffer.generation
                told["columns"] = _columns(buffer, factor, begin, max(0, n), payload)
                kept = buffer.rows
                told["reaches"] = _first_time(buffer, kept[0]) if kept[0] < kept[1] else None
            elif isinstance(buffer, MarkerBuffer):
                found = [pair for pair in buffer.since(start) if pair[0] <= stop]
                told["markers"] = _told(found[-_MOST_MARKERS:])
            streams.append(told)
        header = {
            "kind": "window", "number": number, "start": start, "stop": stop, **_clocks(),
            "streams": streams,
        }  # fmt: skip
        return pack(header, payload)

    def thumbnails(self) -> Iterator[bytes]:
        """Yield messages with newer frames; takes milliseconds each."""
        for name, sent in self._sent.items():
            buffer = sent.looked.buffer
            if not isinstance(buffer, FrameBuffer):
                continue
            newest, now = buffer.newest, time.monotonic()
            if newest is None or newest.number == sent.frame:
                continue
            if now - sent.framed_at < _FRAME_EVERY:
                continue
            sent.frame, sent.framed_at = newest.number, now
            picture, media_type = encode(newest.frame)
            header = {
                "kind": "frame", "name": name, "type": media_type, "time": newest.time,
                "frame": newest.number, "length": len(picture), **_clocks(),
            }  # fmt: skip
            yield pack(header, [picture])

    # --- inside ------------------------------------------------------------------------------

    def _stream(self, sent: _Sent, payload: list[bytes]) -> dict[str, Any]:
        looked = sent.looked
        feed, buffer = looked.feed, looked.buffer
        told: dict[str, Any] = {
            "name": looked.name,
            "state": feed.state,
            "error": feed.error,
            "lost": feed.n_lost,
            "age": _finite(feed.age),
        }
        info = buffer.info
        if info is None:
            return told
        described = _described(info)
        if isinstance(buffer, SignalBuffer):
            told["gaps"] = buffer.n_gaps
            if buffer.generation != sent.generation:
                sent.generation, sent.columns, sent.said = buffer.generation, -1, {}
                sent.factor = factor_of(info.sampling_rate, self.view.seconds, self.view.width)
            told["columns"] = self._new_columns(sent, buffer, payload)
            told["generation"] = buffer.generation
        elif isinstance(buffer, MarkerBuffer):
            told["is_new"] = sent.markers == 0
            told["markers"] = self._new_markers(sent, buffer)
            told["total"] = buffer.n_total
        if sent.said != described:
            sent.said = told["info"] = described
        return told

    def _new_columns(
        self, sent: _Sent, buffer: SignalBuffer, payload: list[bytes]
    ) -> dict[str, Any]:
        stop = buffer.rows[1] // sent.factor
        is_regular = buffer.info is not None and buffer.info.is_regular
        most = 2 * self.view.width if is_regular else _MOST_COLUMNS
        is_new = sent.columns < 0 or stop - sent.columns > most
        first = max(0, stop - most) if is_new else sent.columns
        if is_new and is_regular and buffer.info is not None:
            seen = int(self.view.seconds * buffer.info.sampling_rate / sent.factor) + 2
            first = max(first, stop - seen)
        sent.columns = stop
        told = _columns(buffer, sent.factor, first, stop - first, payload)
        told["is_new"] = is_new
        return told

    def _new_markers(self, sent: _Sent, buffer: MarkerBuffer) -> list[list[Any]]:
        total = buffer.n_total
        n_new = min(total - sent.markers, _MOST_MARKERS)
        sent.markers = total
        if n_new <= 0:
            return []
        return _told(buffer.since(local_clock() - 2 * self.view.seconds)[-n_new:])


def _clocks() -> dict[str, float]:
    now = local_clock()
    return {"now": now, "unix": time.time() - now}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _told(markers: list[tuple[float, str]]) -> list[list[Any]]:
    return [[when, text[:200]] for when, text in markers]


def _described(info: StreamInfo) -> dict[str, Any]:
    return {
        "kind": info.kind,
        "type": info.stype,
        "rate": info.sampling_rate,
        "channels": [{"name": channel.name, "unit": channel.unit} for channel in info.channels]
        if info.kind == "signal"
        else [],
        "shape": list(info.sample_shape),
    }


def _columns(
    buffer: SignalBuffer, factor: int, first: int, n: int, payload: list[bytes]
) -> dict[str, Any]:
    """Put columns into the payload: their times, then least and greatest, channel by channel."""
    found = buffer.columns(factor, first, n)
    least = np.ascontiguousarray(found.minimum.T, np.float32)
    greatest = np.ascontiguousarray(found.maximum.T, np.float32)
    offset = sum(len(_padded(part)) for part in payload)
    payload += [_times(buffer, factor, first, n).tobytes(), least.tobytes(), greatest.tobytes()]
    return {"offset": offset, "n": n, "factor": factor, "n_channels": len(least)}


def _times(buffer: SignalBuffer, factor: int, first: int, n: int) -> Array:
    """Return the middle of each column, local clock, in seconds."""
    if n <= 0:
        return np.empty(0)
    begin, stop = first * factor, (first + n) * factor
    middles = begin + (np.arange(n) + 0.5) * factor - 0.5
    if stop - begin <= _ALL_STAMPS:
        stamps = buffer.times(begin, stop)
        rows = np.arange(stop - len(stamps), stop) if len(stamps) else np.empty(0)
        last = buffer.rows[1]
        if len(stamps) and stop > last:  # the last column may not be whole
            rows = np.arange(last - len(stamps), last)
    else:
        rows = np.unique(np.linspace(max(begin, buffer.rows[0]), stop - 1, _KNOTS).astype(np.int64))
        found = [buffer.times(row, row + 1) for row in rows.tolist()]
        rows = rows[[len(stamp) == 1 for stamp in found]]
        stamps = np.concatenate(found) if found else np.empty(0)
    if not len(stamps):
        return np.zeros(n)
    times: Array = np.interp(middles, rows, stamps)
    return times


def _first_time(buffer: SignalBuffer, row: int) -> float | None:
    found = buffer.times(row, row + 1)
    return float(found[0]) if len(found) else None

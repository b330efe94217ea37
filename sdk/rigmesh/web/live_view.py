"""What one browser sees of the streams: what is new since it looked last, to pixel width."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rigmesh.display import FrameBuffer, MarkerBuffer, SignalBuffer
from rigmesh.streams import StreamInfo, local_clock
from rigmesh.web.feeds import Looked
from rigmesh.web.live_messages import MOST_COLUMNS, columns_in, factor_of, pack, put
from rigmesh.web.live_past import Past
from rigmesh.web.live_window import marker_window, signal_window
from rigmesh.web.thumbnails import encode

__all__ = ["LiveView", "View", "number_in"]

_MOST_MARKERS = 2000
_FRAME_EVERY = 0.2


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
            number_in(values.get("seconds"), 0.1, 600.0, 10.0),
            int(number_in(values.get("width"), 16, MOST_COLUMNS, 800)),
        )


def number_in(value: object, least: float, most: float, otherwise: float) -> float:
    """Return what a browser said, or something else if it is no number from least to most."""
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
                streams.append(self._stream(name, sent, payload))
        header = {"kind": "live", "number": self._number, **_clocks(), "streams": streams}
        return pack(header, payload)

    def window(
        self,
        start: float,
        stop: float,
        width: int,
        number: int,
        past: Past | None = None,
        *,
        is_last: bool = True,
    ) -> tuple[bytes, bool]:
        """Return the signals and markers between two times.

        Parameters
        ----------
        start, stop : float
            Local clock, in seconds.
        width : int
            On so many pixels.
        number : int
            Sent back.
        past : Past, optional
            Where to look for what the buffers do not keep any more; that reads files.
        is_last : bool
            Whether nothing better follows: else what the buffers do not reach is marked as partial.

        Returns
        -------
        message : bytes
            What is sent.
        is_partial : bool
            Whether it is so marked.
        """
        payload: list[bytes] = []
        streams = []
        is_partial = False
        for name in self.view.streams:
            sent = self._sent.get(name)
            if sent is None:
                continue
            buffer = sent.looked.buffer
            # A recording of this machine may hold another stream of the same name.
            before = past if sent.looked.is_here else None
            told: dict[str, Any] = {"name": name}
            if isinstance(buffer, SignalBuffer) and buffer.info is not None:
                found = signal_window(buffer, start, stop, width, before)
                told["generation"] = buffer.generation
                told["columns"] = {**put(found.columns, payload), "factor": found.factor}
                told["reaches"] = found.reaches
                is_partial |= found.is_short and not is_last
            elif isinstance(buffer, MarkerBuffer):
                markers, is_short = marker_window(sent.looked.name, buffer, start, stop, before)
                told["markers"] = _told(markers[-_MOST_MARKERS:])
                is_partial |= is_short and not is_last
            streams.append(told)
        header = {
            "kind": "window", "number": number, "start": start, "stop": stop, **_clocks(),
            "is_partial": is_partial, "streams": streams,
        }  # fmt: skip
        return pack(header, payload), is_partial

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

    def _stream(self, name: str, sent: _Sent, payload: list[bytes]) -> dict[str, Any]:
        looked = sent.looked
        feed, buffer = looked.feed, looked.buffer
        told: dict[str, Any] = {
            "name": name,
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
            if not info.is_regular and (factor := self._factor_of(sent, buffer)) != sent.factor:
                sent.factor, sent.columns = factor, -1
            told["columns"] = self._new_columns(sent, buffer, payload)
            told["generation"] = buffer.generation
        elif isinstance(buffer, MarkerBuffer):
            told["is_new"] = sent.markers == 0
            told["markers"] = self._new_markers(sent, buffer)
            told["total"] = buffer.n_total
        if sent.said != described:
            sent.said = told["info"] = described
        return told

    def _factor_of(self, sent: _Sent, buffer: SignalBuffer) -> int:
        """Return how many samples without a rate share a column, for all that is seen to fit."""
        n_rows = buffer.rows[1] - buffer.row_at(buffer.newest - self.view.seconds)
        needed = max(1, -(-n_rows // MOST_COLUMNS))
        # With room to grow: another factor is another picture, sent as a whole.
        if needed > sent.factor or 4 * needed < sent.factor:
            return 2 * needed if needed > 1 else 1
        return sent.factor

    def _new_columns(
        self, sent: _Sent, buffer: SignalBuffer, payload: list[bytes]
    ) -> dict[str, Any]:
        stop = buffer.rows[1] // sent.factor
        is_regular = buffer.info is not None and buffer.info.is_regular
        most = 2 * self.view.width if is_regular else MOST_COLUMNS
        is_new = sent.columns < 0 or stop - sent.columns > most
        first = max(0, stop - most) if is_new else sent.columns
        if is_new and is_regular and buffer.info is not None:
            seen = int(self.view.seconds * buffer.info.sampling_rate / sent.factor) + 2
            first = max(first, stop - seen)
        sent.columns = stop
        told = put(columns_in(buffer, sent.factor, first, stop - first), payload)
        return {**told, "factor": sent.factor, "is_new": is_new}

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

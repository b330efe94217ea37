"""The page of one recording: its tree, its traces, what happens around its events."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.errors import ParameterError, UnknownName
from rigmesh.web import recordings
from rigmesh.web.browse_around import around_events
from rigmesh.web.browse_open import OpenRecording
from rigmesh.web.browse_tables import EventTable, nwb_tables, table_of
from rigmesh.web.browse_tree import file_node, safe, tree_of
from rigmesh.web.pages import page
from rigmesh.web.recordings import in_few_threads, library_of
from rigmesh.web.sessions import require
from rigmesh_daemon.security.rules import Role

__all__ = ["packed", "routes"]

_MOST_COLUMNS = 8192
_MOST_CHANNELS = 512
_MOST_EVENTS = 2000
_HEAD = struct.Struct("<I")


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [
        *recordings.routes(),
        Route("/browse", _page),
        Route("/api/browse/tree", _tree),
        Route("/api/browse/node", _node),
        Route("/api/browse/edge", _edge),
        Route("/api/browse/traces", _traces),
        Route("/api/browse/events", _events),
        Route("/api/browse/tables", _tables),
        Route("/api/browse/around", _around),
    ]


async def _page(request: Request) -> Response:
    return page(
        request, "browse", "Browse", styles=["vendor/uplot/uPlot.min.css", "browse.css"]
    )  # fmt: skip


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _tree(request: Request) -> Response:
    with library_of(request).use(_asked(request, "file")) as found:
        return JSONResponse({**tree_of(found), "version": _version(found)})


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _node(request: Request) -> Response:
    with library_of(request).use(_asked(request, "file")) as found:
        return JSONResponse(file_node(found, request.query_params.get("path", "/")))


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _edge(request: Request) -> Response:
    """Say how far a recording has grown, and how far its bins are made."""
    with library_of(request).use(_asked(request, "file")) as found:
        return JSONResponse(
            {
                "version": _version(found),
                "state": found.state,
                "verdict": safe(found.verdict),
                "end": found.end,
                "rows": {key: len(line.stream) for key, line in found.lines.items()},
                "progress": min([found.progress(key) for key in found.lines], default=1.0),
            }
        )


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _traces(request: Request) -> Response:
    """Answer with a head in JSON, then times, least and greatest values, all little-endian."""
    start, stop = _window(request)
    n_columns = _whole(request, "columns", 1000, 1, _MOST_COLUMNS)
    with library_of(request).use(_asked(request, "file")) as found:
        key = _asked(request, "stream")
        line, until = found.prepared(key, found.begin + start, found.begin + stop)
        channels = _channels(request, line.stream.info.n_channels)
        made = line.traces(
            found.begin + start, max(found.begin + start, until), n_columns, channels
        )
        head = {
            "channels": channels,
            "begin": start,
            "until": min(until - found.begin, stop),
            "exact": made.is_exact,
            "progress": found.progress(key),
            "fault": safe(found.fault(key)),
            "version": _version(found),
        }
        times = made.times - found.begin
    return Response(
        packed(head, times, made.minimum, None if made.is_exact else made.maximum),
        media_type="application/octet-stream",
    )


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _events(request: Request) -> Response:
    start, stop = _window(request)
    n_bins = _whole(request, "columns", 500, 1, _MOST_COLUMNS)
    with library_of(request).use(_asked(request, "file")) as found:
        line = found.line(_asked(request, "stream"))
        if line.stream.info.kind == "signal":
            raise ParameterError(f"{line.stream.info.name} is a signal; it has no events")
        first, last = line.row_at(found.begin + start), line.row_at(found.begin + stop)
        n = last - first
        told: dict[str, Any] = {"n": n, "version": _version(found)}
        if n <= _MOST_EVENTS:
            told["times"] = (line.times(np.arange(first, last)) - found.begin).tolist()
            is_text = line.stream.info.kind == "markers"
            texts = line.stream.data[first:last] if is_text else [""] * n
            told["texts"] = [safe(str(text)) for text in texts]
        else:
            edges = np.linspace(start, stop, n_bins + 1)
            rows = [line.row_at(found.begin + edge) for edge in edges]
            told["bins"] = np.diff(rows).tolist()
    return JSONResponse(told)


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _tables(request: Request) -> Response:
    """Describe what events there are: markers, and the tables of an NWB file."""
    with library_of(request).use(_asked(request, "file")) as found:
        tables = _all_tables(found)
        signals = [
            {"key": key, "title": safe(line.stream.info.name),
             "channels": [safe(name) for name in line.stream.info.channel_names]}
            for key, line in found.lines.items()
            if line.stream.info.kind == "signal" and line.stream.info.is_regular
        ]  # fmt: skip
        return JSONResponse(
            {
                "tables": [safe(table.describe()) for table in tables.values()],
                "signals": signals,
                "version": _version(found),
            }
        )


@require(Role.VIEWER)
@in_few_threads("around_limiter")
def _around(request: Request) -> Response:
    """Count or average what is around events; all of it is in the query, as in the page's URL."""
    asked = request.query_params
    with library_of(request).use(_asked(request, "file")) as found:
        tables = _all_tables(found)
        key = _asked(request, "events")
        if key not in tables:
            raise UnknownName.among("table of events", key, tables)
        try:
            told = around_events(
                found, tables, tables[key], asked, _number(request, "from", -0.5),
                _number(request, "to", 1.0), _number(request, "bin", 0.02),
            )  # fmt: skip
        except ValueError as error:
            if isinstance(error, (ParameterError, UnknownName)):
                raise
            raise ParameterError(str(error)) from error
    return JSONResponse(told)


# --- inside --------------------------------------------------------------------------------------


def packed(
    head: dict[str, Any],
    times: npt.NDArray[Any],
    minimum: npt.NDArray[Any],
    maximum: npt.NDArray[Any] | None,
) -> bytes:
    """Return traces as bytes.

    ``u32`` length of the head; the head, JSON, with blanks up to a multiple of 8; ``f64`` times;
    ``f32`` least values, channel by channel; the greatest likewise, unless the same.
    """
    text = json.dumps({**head, "n": len(times)}).encode()
    text += b" " * (-(len(text) + _HEAD.size) % 8)
    parts = [_HEAD.pack(len(text)), text, times.astype("<f8").tobytes()]
    values = [minimum] if maximum is None else [minimum, maximum]
    return b"".join([*parts, *(np.ascontiguousarray(v.T, "<f4").tobytes() for v in values)])


def _all_tables(found: OpenRecording) -> dict[str, EventTable]:
    """Return the tables of events; those of the recording as it is now are kept with it."""
    if found.tables is not None:
        return found.tables
    firsts = [line.first for line in found.lines.values() if line.first == line.first]
    lasts = [line.last for line in found.lines.values() if line.last == line.last]
    span = (min(firsts, default=found.begin), max(lasts, default=found.begin))
    tables = {
        key: table_of(line, found.begin, span)
        for key, line in found.lines.items()
        if line.stream.info.kind == "markers"
    }
    if found.path.suffix.lower() == ".nwb" and found.path.is_file() and found.state == "file":
        tables.update({table.key: table for table in nwb_tables(found.path, -found.begin)})
    found.tables = tables
    return tables


def _version(found: OpenRecording) -> str:
    return hashlib.sha256(repr(found.signature).encode()).hexdigest()[:12]


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value:
        raise ParameterError(f"nothing was asked for as {name!r}")
    return value


def _number(request: Request, name: str, otherwise: float | None = None) -> float:
    text = request.query_params.get(name)
    if text is None and otherwise is not None:
        return otherwise
    try:
        value = float(text or "")
    except ValueError:
        raise ParameterError(f"{name} is a number, not {text!r}") from None
    if not math.isfinite(value) or abs(value) > 1e12:
        raise ParameterError(f"{name} is a number of seconds, not {text!r}")
    return value


def _whole(request: Request, name: str, otherwise: int, least: int, most: int) -> int:
    return int(min(max(_number(request, name, otherwise), least), most))


def _window(request: Request) -> tuple[float, float]:
    start, stop = _number(request, "t0"), _number(request, "t1")
    if not start < stop:
        raise ParameterError(f"nothing is between {start:g} and {stop:g} s")
    return start, stop


def _channels(request: Request, n: int) -> Sequence[int]:
    text = request.query_params.get("channels", "")
    if not text:
        return list(range(min(n, _MOST_CHANNELS)))
    try:
        chosen = [int(part) for part in text.split(",")][:_MOST_CHANNELS]
    except ValueError:
        raise ParameterError(f"channels are numbers, such as 0,1,5; not {text!r}") from None
    if any(not 0 <= number < n for number in chosen):
        raise ParameterError(f"channels are numbers below {n}; asked for {text!r}")
    return chosen

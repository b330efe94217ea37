"""The page of the recordings: what there is, whether it is whole, and fetching it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.errors import NotPermitted, RecordingError
from rigmesh.web.browse_bins import BinCache, cache_folder
from rigmesh.web.browse_open import Library
from rigmesh.web.browse_tree import safe
from rigmesh.web.pages import page
from rigmesh.web.recordings_root import Root, Signature
from rigmesh.web.sessions import require
from rigmesh_daemon.security.rules import Role

__all__ = ["library_of", "routes"]

_MOST_KNOWN = 2000
_lock = threading.Lock()


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [
        Route("/recordings", _page),
        Route("/api/recordings", _list),
        Route("/api/recordings/about", _about),
        Route("/api/recordings/file", _file),
    ]


def library_of(connection: HTTPConnection) -> Library:
    """Return the recordings that this page may show.

    Raises
    ------
    NotPermitted
        If it shows none.
    """
    state = connection.app.state
    with _lock:
        if not hasattr(state, "library"):
            root = state.settings.recordings
            state.library = None if root is None else Library(Root(root), BinCache(cache_folder()))
            state.recordings_known = OrderedDict()
    library: Library | None = state.library
    if library is None:
        raise NotPermitted("this page shows no recordings; begin it with --recordings FOLDER")
    return library


async def _page(request: Request) -> Response:
    return page(request, "recordings", "Recordings", styles=["recordings.css"])


@require(Role.VIEWER)
def _list(request: Request) -> Response:
    library = library_of(request)
    known: OrderedDict[tuple[str, Signature], dict[str, Any]] = request.app.state.recordings_known
    found = []
    for entry in sorted(library.root.entries(), key=lambda each: -each.modified):
        told: dict[str, Any] = {
            "name": entry.name,
            "is_capture": entry.is_capture,
            "bytes": entry.n_bytes,
            "modified": entry.modified,
        }
        path = library.root.file(entry.name) if entry.name.isprintable() else None
        about = known.get((entry.name, library.root.signature(path))) if path else None
        if about is not None:
            told["about"] = about
        found.append(told)
    return JSONResponse({"folder": str(request.app.state.settings.recordings), "recordings": found})


@require(Role.VIEWER)
def _about(request: Request) -> Response:
    library = library_of(request)
    name = request.query_params.get("file", "")
    known: OrderedDict[tuple[str, Signature], dict[str, Any]] = request.app.state.recordings_known
    try:
        with library.use(name) as found:
            key = (name, found.signature)
            about = {
                "state": found.state,
                "verdict": safe(found.verdict),
                "created": safe(found.created.get("utc", "")),
                "duration": max(
                    (line.last - line.first for line in found.lines.values() if len(line.stream)),
                    default=0.0,
                ),
                "streams": [
                    {
                        "name": safe(line.stream.info.name),
                        "kind": line.stream.info.kind,
                        "channels": line.stream.info.n_channels,
                        "rate": line.stream.info.sampling_rate,
                    }
                    for line in found.lines.values()
                ],
                "metadata": safe(found.context.get("metadata") or {}),
            }
    except NotPermitted:
        raise
    except RecordingError as error:
        return JSONResponse({"state": "unreadable", "verdict": safe(str(error)), "streams": []})
    known[key] = about
    while len(known) > _MOST_KNOWN:
        known.popitem(last=False)
    return JSONResponse(about)


@require(Role.VIEWER)
def _file(request: Request) -> Response:
    library = library_of(request)
    path = library.root.file(request.query_params.get("file", ""))
    if not library.root.is_sealed(path):
        raise RecordingError(f"{path.name} still grows or was not sealed; it is no file yet")
    # Answers questions for a part of it, too (Range), so that a long one can be gone on with.
    return FileResponse(
        path,
        filename=path.name,
        media_type="application/octet-stream",
        content_disposition_type="attachment",
    )

"""The page of the recordings: what there is, whether it is whole, and fetching it."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import numpy as np
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.errors import NotPermitted, RecordingError
from rigmesh.recording.linking import data_folder
from rigmesh.web.browse_bins import BinCache, cache_folder
from rigmesh.web.browse_open import Library, check_links
from rigmesh.web.browse_tree import safe
from rigmesh.web.pages import page
from rigmesh.web.recordings_root import Root, Signature
from rigmesh.web.sessions import require
from rigmesh_daemon.security.rules import Role

__all__ = ["in_few_threads", "library_of", "listed", "routes"]

Known = OrderedDict[tuple[str, Signature], dict[str, Any]]
"""What is told of recordings that somebody has looked into, by name and state."""
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


def in_few_threads(
    limiter: str,
) -> Callable[[Callable[[Request], Response]], Callable[[Request], Awaitable[Response]]]:
    """Let an endpoint run in few threads: those of all others remain free, for Stop above all.

    Parameters
    ----------
    limiter : str
        What ``app.state`` calls their limiter.
    """

    def wrap(
        endpoint: Callable[[Request], Response],
    ) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(endpoint)
        async def run(request: Request) -> Response:
            few = getattr(request.app.state, limiter)
            return await anyio.to_thread.run_sync(endpoint, request, limiter=few)

        return run

    return wrap


def listed(root: Root, known: Known) -> list[dict[str, Any]]:
    """Return the recordings in a folder, newest first, with what is known of them.

    Parameters
    ----------
    root : Root
        The folder.
    known : mapping
        What was told of some.
    """
    found = []
    for entry in sorted(root.entries(), key=lambda each: -each.modified):
        try:
            signature = root.signature(root.file(entry.name))
        except (RecordingError, NotPermitted):
            continue  # moved or removed since the folder was read
        told: dict[str, Any] = {
            "name": entry.name,
            "is_capture": entry.is_capture,
            "bytes": entry.n_bytes,
            "modified": entry.modified,
        }
        about = known.get((entry.name, signature))
        if about is not None:
            told["about"] = about
        found.append(told)
    return found


async def _page(request: Request) -> Response:
    return page(request, "recordings", "Recordings", styles=["recordings.css"])


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _list(request: Request) -> Response:
    root = library_of(request).root
    found = listed(root, request.app.state.recordings_known)
    return JSONResponse({"folder": str(request.app.state.settings.recordings), "recordings": found})


@require(Role.VIEWER)
@in_few_threads("browse_limiter")
def _about(request: Request) -> Response:
    library = library_of(request)
    name = request.query_params.get("file", "")
    known: Known = request.app.state.recordings_known
    try:
        with library.use(name) as found:
            key = (name, found.signature)
            about = {
                "state": found.state,
                "verdict": safe(found.verdict),
                "created": safe(found.created.get("utc", "")),
                "duration": max(
                    (
                        lasted
                        for line in found.lines.values()
                        if len(line.stream) and np.isfinite(lasted := line.last - line.first)
                    ),
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
                "is_linked": found.is_linked,
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
@in_few_threads("browse_limiter")
def _file(request: Request) -> Response:
    library = library_of(request)
    path = library.root.file(request.query_params.get("file", ""))
    if not library.root.is_sealed(path):
        raise RecordingError(f"{path.name} still grows or was not sealed; it is no file yet")
    if _is_linked(path):
        raise RecordingError(
            f"{path.name} was sealed with 'seal: link': its samples are not in it, but in the "
            f"folder {data_folder(path).name} beside it. Copy both from {path.parent}"
        )
    # Answers questions for a part of it, too (Range), so that a long one can be gone on with.
    return FileResponse(
        path,
        filename=path.name,
        media_type="application/octet-stream",
        content_disposition_type="attachment",
    )


def _is_linked(path: Path) -> bool:
    try:
        return check_links(path)
    except RecordingError:
        return False  # it is fetched as it is, damaged or not ours

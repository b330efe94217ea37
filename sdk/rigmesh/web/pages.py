"""The frame around each page, and errors as browsers and scripts want them."""

from __future__ import annotations

import functools
import json
import posixpath
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from rigmesh.errors import (
    DaemonUnavailable,
    GraphError,
    NameTaken,
    NotOwner,
    NotPermitted,
    RigmeshError,
    StateError,
    StreamNotFound,
    UnknownName,
    WaitTimeout,
)

__all__ = ["STATIC", "error_response", "object_in", "page"]

_LONGEST_BODY = 256 * 1024

_STATUS: list[tuple[type[RigmeshError], int]] = [
    (NotPermitted, 403),
    (UnknownName, 404),
    (StreamNotFound, 404),
    (NotOwner, 409),
    (NameTaken, 409),
    (StateError, 409),
    (WaitTimeout, 504),
    (DaemonUnavailable, 503),
    (RigmeshError, 422),
]

STATIC = Path(__file__).with_name("static")
"""What browsers fetch as it is."""
_IMPORT = re.compile(r'^import\b[^;"]*"(\.[^"]+)";', re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · rigmesh</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
{styles}
{scripts}
</head>
<body data-page="{name}">
<a class="skip" href="#main">Skip to the content</a>
<header class="bar" id="bar"></header>
<main id="main" tabindex="-1" aria-label="{title}"></main>
<div id="notices" role="status" aria-live="polite"></div>
<noscript>This page needs JavaScript, which comes from this host only.</noscript>
</body>
</html>
"""


def page(
    request: Request, name: str, title: str, *, styles: Sequence[str] = (), needs_login: bool = True
) -> Response:
    """Return a page, whose content ``static/<name>.js`` makes inside of ``#main``.

    Whoever has not logged in is sent to the log-in first, and back here afterwards.

    Parameters
    ----------
    request : Request
        What was asked for.
    name : str
        Of the module in ``static/``, and of the entry in the navigation.
    title : str
        What the window is called.
    styles : sequence of str
        Further style sheets in ``static/``, such as ``live.css``.
    needs_login : bool
        All but the log-in itself do.
    """
    if needs_login and request.app.state.sessions.find(request) is None:
        # A browser keeps the part behind the #, with the token of a one-time link.
        return RedirectResponse(f"/login?next={_local(request)}", 303)
    links = [f'<link rel="stylesheet" href="/static/{s}">' for s in ("style.css", *styles)]
    # A browser would find out one import at a time what it has to fetch.
    links += [f'<link rel="modulepreload" href="/static/{m}">' for m in _modules(f"{name}.js")]
    scripts = f'<script type="module" src="/static/{name}.js"></script>'
    body = _PAGE.format(
        title=escape(title), name=escape(name), styles="\n".join(links), scripts=scripts
    )
    return HTMLResponse(body, headers={"Cache-Control": "no-store"})


@functools.cache
def _modules(name: str) -> tuple[str, ...]:
    """Return a module in ``static/``, and all that it imports."""
    found = [name]
    for module in found:
        text = (STATIC / module).read_text(encoding="utf-8")
        above = posixpath.dirname(module)
        imported = (posixpath.normpath(posixpath.join(above, m)) for m in _IMPORT.findall(text))
        found += [each for each in dict.fromkeys(imported) if each not in found]
    return tuple(found)


def _local(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.url.path + query, safe="/")


async def object_in(request: Request) -> dict[str, Any]:
    """Return the object of JSON that a request carries.

    Raises
    ------
    GraphError
        If it carries something else, or too much.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            raise GraphError(f"a request is at most {_LONGEST_BODY // 1024} kB long")
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise GraphError("the request is no JSON") from error
    if not isinstance(found, dict):
        raise GraphError("the request is no object of JSON")
    return found


def error_response(error: RigmeshError) -> JSONResponse:
    """Return an error as ``{"error": class, "message": …}`` with the status that fits."""
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    return JSONResponse({"error": type(error).__name__, "message": str(error)}, status)

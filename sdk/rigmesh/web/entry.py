"""Logging in and out."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.web.pages import object_in, page
from rigmesh.web.sessions import Session, TooManyFailures, require, session_of
from rigmesh_daemon.security.rules import Role

__all__ = ["routes"]


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [
        Route("/", _home),
        Route("/favicon.ico", _icon),
        Route("/login", _page),
        Route("/api/login", _login, methods=["POST"]),
        Route("/api/logout", _logout, methods=["POST"]),
        Route("/api/session", _session),
    ]


async def _home(request: Request) -> Response:
    return RedirectResponse("/rigs", 303)


async def _icon(request: Request) -> Response:
    return RedirectResponse("/static/icon.svg", 301)


async def _page(request: Request) -> Response:
    return page(request, "login", "Log in", needs_login=False)


async def _login(request: Request) -> Response:
    token = await _presented(request)
    peer = request.client.host if request.client else "?"
    state = request.app.state
    try:
        found = state.login.check(token, peer)
    except TooManyFailures as error:
        _note(request, "?", "refused: too many wrong tokens")
        return JSONResponse(
            {"error": "TooManyFailures", "message": str(error)},
            429,
            {"Retry-After": f"{error.wait:.0f}"},
        )
    if found is None:
        _note(request, "?", "refused: wrong token")
        message = (
            "the token is wrong, expired or revoked; make another one: rigmeshd token add"
            if state.settings.tokens is not None
            else "the link is good once only; start `rigmesh web` again for another one"
        )
        return JSONResponse({"error": "NotPermitted", "message": message}, 401)
    name, role, stored = found
    response = Response(status_code=204)
    state.sessions.begin(name, role, stored, response)
    _note(request, name, "ok")
    return response


@require(Role.VIEWER)
async def _logout(request: Request) -> Response:
    response = Response(status_code=204)
    _note(request, session_of(request).name, "ok")
    request.app.state.sessions.end(request, response)
    return response


@require(Role.VIEWER)
async def _session(request: Request) -> Response:
    session: Session = session_of(request)
    return JSONResponse(
        {
            "name": session.name,
            "role": session.role.label,
            "csrf": session.csrf,
            "recordings": request.app.state.settings.recordings is not None,
        },
        headers={"Cache-Control": "no-store"},
    )


async def _presented(request: Request) -> str:
    return str((await object_in(request)).get("token", "")).strip()


def _note(request: Request, who: str, outcome: str) -> None:
    if request.app.state.audit is not None:
        peer = request.client.host if request.client else "?"
        method = f"web {request.url.path.removeprefix('/api/')}"
        request.app.state.audit.record(
            who=who, peer=peer, method=method, summary="", outcome=outcome
        )

"""Puts the page together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from rigmesh.errors import RigmeshError
from rigmesh.web import browse, entry, graphs, live, rigs
from rigmesh.web.feeds import Feeds
from rigmesh.web.guard import Guard
from rigmesh.web.pages import STATIC, error_response
from rigmesh.web.rig import Rig
from rigmesh.web.sessions import Login, Sessions
from rigmesh.web.settings import Settings
from rigmesh_daemon.security.audit import Audit

__all__ = ["create_app"]

_MOST_LOOKING_BACK = 4
"""Threads that read recordings for the live page: never all there are."""
_MOST_BROWSING, _MOST_AROUND = 8, 2
"""Those that read them for the pages of recordings; and those that compute averages of them."""


def create_app(settings: Settings) -> Starlette:
    """Return the application.

    Parameters
    ----------
    settings : Settings
        How it is served, and what it shows.

    Notes
    -----
    ``app.state`` has `settings`, `login`, `sessions`, `audit` (None: nothing is noted),
    `rig` (the daemons), `feeds` (the streams that are looked at), `past_limiter` (of the
    threads that read what was recorded of them), `browse_limiter` and `around_limiter` (of those
    that read recordings, and that compute what is around events).
    """
    pages = (entry, rigs, live, graphs, browse)
    routes: list[BaseRoute] = [route for each in pages for route in each.routes()]
    routes.append(Mount("/static", StaticFiles(directory=STATIC)))
    app = Starlette(routes=routes, exception_handlers={RigmeshError: _on_error}, lifespan=_lifespan)
    app.add_middleware(Guard, settings=settings)
    app.state.settings = settings
    app.state.login = Login(settings)
    app.state.audit = Audit(settings.audit_log) if settings.audit_log is not None else None
    app.state.sessions = Sessions(
        app.state.login,
        settings.session_seconds,
        # Browsers do not tell ports apart in cookies.
        f"rigmesh-{settings.listen.port}",
        is_secure=settings.scheme == "https",
    )
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.rig = Rig(app.state.settings)
    app.state.feeds = Feeds(app.state.settings.live_seconds)
    app.state.past_limiter = CapacityLimiter(_MOST_LOOKING_BACK)
    app.state.browse_limiter = CapacityLimiter(_MOST_BROWSING)
    app.state.around_limiter = CapacityLimiter(_MOST_AROUND)
    try:
        yield
    finally:
        if (library := getattr(app.state, "library", None)) is not None:
            await run_in_threadpool(library.close)
        await run_in_threadpool(app.state.feeds.close)
        await run_in_threadpool(app.state.rig.close)


async def _on_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RigmeshError):
        return error_response(error)
    raise error

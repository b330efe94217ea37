"""Runs the page."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace

import uvicorn
from starlette.applications import Starlette

from rigmesh.errors import DaemonError
from rigmesh.web.app import create_app
from rigmesh.web.settings import Settings
from rigmesh_daemon.notify import notify
from rigmesh_daemon.security.pki import Pki

__all__ = ["serve"]

_LONGEST_MESSAGE = 64 * 1024
_MOST_CONNECTIONS = 200


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve the page until this process is told to end.

    Parameters
    ----------
    settings : Settings
        How.
    say : callable
        Told where the page is, once it can be looked at.

    Raises
    ------
    DaemonError
        If the address cannot be listened on, or there is no certificate for it.
    """
    with contextlib.closing(_listening(settings)) as listening:
        port = listening.getsockname()[1]
        settings = replace(settings, listen=replace(settings.listen, port=port))
        app = create_app(settings)
        secure = {}
        if settings.tls_dir is not None:
            pki = Pki(settings.tls_dir)
            pki.load_host()  # says what is wrong, which the TLS library does not
            secure = {"ssl_certfile": str(pki.host), "ssl_keyfile": str(pki.host_key)}
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=_LONGEST_MESSAGE,
            # Samples of a signal hardly shrink, and it would cost more than all the rest.
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=2,
            **secure,  # type: ignore[arg-type]
        )
        _Server(config, lambda: say(_where(settings, app))).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it serves."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if self.started:
            self._ready()
            notify("READY=1")


def _listening(settings: Settings) -> socket.socket:
    listen = settings.listen
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        return socket.create_server((listen.host, listen.port), family=family)
    except OSError as error:
        raise DaemonError(f"cannot listen on {listen}: {error.strerror}") from error


def _where(settings: Settings, app: Starlette) -> str:
    bare = f"{settings.scheme}://{settings.listen}/"
    token = app.state.login.one_time
    return f"{bare}#token={token}" if token else bare

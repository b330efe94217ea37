"""What every request and every WebSocket passes: its Host, its Origin, and strict headers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rigmesh.web.settings import Settings

__all__ = ["Guard"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_HARMLESS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuses what does not come from the page itself.

    A site elsewhere can give its own name the address of this machine (DNS rebinding), and any site
    can send requests here; the former is told by ``Host``, the latter by ``Origin``.

    Parameters
    ----------
    app : ASGIApp
        Behind it.
    settings : Settings
        Under which names this page may be asked for.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._scheme = settings.scheme
        self._names = frozenset(
            name.lower() for name in (*_LOOPBACK, settings.listen.host, *settings.names)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        fault = self._fault(scope)
        if scope["type"] == "websocket":
            if fault:
                # Before it is accepted: a stranger is told nothing but HTTP 403.
                await send({"type": "websocket.close", "code": 4403, "reason": fault})
                return
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if self._scheme == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        if fault:
            refusal = JSONResponse({"error": "NotPermitted", "message": fault}, 403)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _fault(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or _name(f"//{hosts[0]}") not in self._names:
            return "this page is not known by that name; `rigmesh web` says where it is"
        if not origins and scope["type"] == "http" and scope["method"] in _HARMLESS:
            return ""
        if origins != [f"{self._scheme}://{hosts[0]}"]:
            return "this request comes from another site"
        return ""


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""

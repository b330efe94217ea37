"""Who looks at the page: logging in by a token, sessions, roles."""

from __future__ import annotations

import functools
import hmac
import inspect
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from rigmesh.web.settings import Settings
from rigmesh_daemon.security.audit import Audit
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import Token, TokenFile

__all__ = [
    "CSRF_HEADER",
    "Login",
    "Session",
    "Sessions",
    "TooManyFailures",
    "require",
    "session_of",
]

CSRF_HEADER = "x-rigmesh-csrf"
_MOST_SESSIONS = 200
_MOST_FAILURES = 5
_FAILURES_OVER = 60.0
_LONGEST_LIST = 1000
_LONGEST_TOKEN = 200


class TooManyFailures(Exception):
    """Somebody guesses.

    Parameters
    ----------
    wait : float
        Try again after so many seconds.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(f"too many wrong tokens; try again in {wait:.0f} s")
        self.wait = wait


@dataclass(slots=True)
class Session:
    """Somebody who has logged in.

    Attributes
    ----------
    name : str
        The id of the token, by which the audit log and the owner of a graph are known.
    role : Role
        What the token is good for.
    csrf : str
        What the page's own requests show, and no other site's can.
    """

    name: str
    role: Role
    expires: float
    token: Token | None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    ended: threading.Event = field(default_factory=threading.Event, repr=False)

    def may(self, role: Role) -> bool:
        """Whether the role is enough."""
        return self.role >= role


class Login:
    """Checks tokens: those of the host, or one that was made at the start.

    Parameters
    ----------
    settings : Settings
        Which.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = TokenFile(settings.tokens) if settings.tokens is not None else None
        self._role = Role.named(settings.role)
        self.one_time = "" if self._file is not None else secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._failures: dict[str, list[float]] = {}

    def check(self, presented: str, peer: str) -> tuple[str, Role, Token | None] | None:
        """Return name, role and token, or None if it is not good.

        Raises
        ------
        TooManyFailures
            If there were too many wrong ones from there.
        """
        wait = self._wait(peer)
        if wait > 0:
            raise TooManyFailures(wait)
        found = self._found(presented[:_LONGEST_TOKEN])
        if found is None:
            self._count_failure(peer)
        return found

    def is_good(self, session: Session) -> bool:
        """Whether the token of a session has not been revoked since."""
        if self._file is None or session.token is None:
            return True
        return self._file.is_good(session.token)

    def _found(self, presented: str) -> tuple[str, Role, Token | None] | None:
        if self._file is not None:
            token = self._file.check(presented)
            return None if token is None else (token.id, token.role, token)
        with self._lock:
            expected = self.one_time
            is_good = hmac.compare_digest(_bytes(presented), _bytes(expected))
            if not expected or not is_good:
                return None
            # The link is good once: whoever finds it in a history or a log comes too late.
            self.one_time = ""
        return "web", self._role, None

    def _wait(self, peer: str) -> float:
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failures.get(peer, ()) if now - t < _FAILURES_OVER]
            return recent[0] + _FAILURES_OVER - now if len(recent) >= _MOST_FAILURES else 0.0

    def _count_failure(self, peer: str) -> None:
        now = time.monotonic()
        with self._lock:
            if len(self._failures) >= _LONGEST_LIST:
                self._failures = {
                    p: t for p, t in self._failures.items() if now - t[-1] < _FAILURES_OVER
                }
            recent = self._failures.setdefault(peer, [])
            recent[:] = [t for t in recent if now - t < _FAILURES_OVER] + [now]


class Sessions:
    """Those who have logged in, by the random id in their cookie.

    Parameters
    ----------
    login : Login
        Asked whether a token is still good.
    seconds : float
        How long one lasts.
    cookie : str
        Name of the cookie.
    is_secure : bool
        Whether it is sent by HTTPS only.
    """

    def __init__(self, login: Login, seconds: float, cookie: str, *, is_secure: bool) -> None:
        self.cookie = cookie
        self._login = login
        self._seconds = seconds
        self._is_secure = is_secure
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def begin(self, name: str, role: Role, token: Token | None, response: Response) -> Session:
        """Let somebody in, and put the cookie into the response."""
        made = Session(name, role, time.monotonic() + self._seconds, token)
        key = secrets.token_urlsafe(32)
        with self._lock:
            for old in [k for k, s in self._sessions.items() if not self._is_good(s)]:
                self._sessions.pop(old).ended.set()
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions))).ended.set()
            self._sessions[key] = made
        response.set_cookie(
            self.cookie, key, max_age=int(self._seconds), path="/", httponly=True,
            samesite="strict", secure=self._is_secure,
        )  # fmt: skip
        return made

    def find(self, connection: HTTPConnection) -> Session | None:
        """Return the session of a request, if it has one that is good."""
        key = connection.cookies.get(self.cookie, "")
        with self._lock:
            found = self._sessions.get(key)
            if found is not None and not self._is_good(found):
                self._sessions.pop(key).ended.set()
                return None
            return found

    def is_good(self, session: Session) -> bool:
        """Whether a session that was found before still lasts."""
        return self._is_good(session)

    def end(self, connection: HTTPConnection, response: Response) -> None:
        """Log out."""
        with self._lock:
            found = self._sessions.pop(connection.cookies.get(self.cookie, ""), None)
        if found is not None:
            found.ended.set()
        response.delete_cookie(
            self.cookie, path="/", httponly=True, samesite="strict", secure=self._is_secure
        )

    def _is_good(self, session: Session) -> bool:
        return (
            not session.ended.is_set()
            and time.monotonic() < session.expires
            and self._login.is_good(session)
        )


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def session_of(connection: HTTPConnection) -> Session:
    """Return who asks; for endpoints behind `require`."""
    session: Session = connection.scope["rigmesh.session"]
    return session


def require(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint be called only by those who have logged in, with that role at least.

    Without a session the answer is 401, with a lesser role 403, both as JSON; a request that
    changes something (not GET or HEAD) has to carry the session's CSRF header, too. Endpoints that
    are no coroutines run in a thread.
    """

    def wrap(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Response:
            refusal = _refusal(request, role)
            if refusal is not None:
                return refusal
            if inspect.iscoroutinefunction(endpoint):
                answer: Awaitable[Response] = endpoint(request)
            else:
                answer = run_in_threadpool(endpoint, request)
            return await answer

        return guarded  # type: ignore[return-value]

    return wrap


def _refusal(request: Request, role: Role) -> JSONResponse | None:
    sessions: Sessions = request.app.state.sessions
    session = sessions.find(request)
    if session is None:
        return _error(401, "NotLoggedIn", "log in with a token")
    if request.method not in ("GET", "HEAD"):
        shown = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(_bytes(shown), _bytes(session.csrf)):
            return _error(403, "NotPermitted", "this request is not from the page itself")
    if not session.may(role):
        audit: Audit | None = request.app.state.audit
        if audit is not None and request.method not in ("GET", "HEAD"):
            peer = request.client.host if request.client else "?"
            audit.record(
                who=session.name, peer=peer, method=f"web {request.url.path}", summary="",
                outcome=f"NotPermitted: needs {role.label}",
            )  # fmt: skip
        return _error(
            403,
            "NotPermitted",
            f"this needs the role {role.label}; you are logged in as {session.role.label}",
        )
    request.scope["rigmesh.session"] = session
    return None


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": kind, "message": message}, status)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")

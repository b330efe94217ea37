"""The page of the live streams: one WebSocket for each browser."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rigmesh.errors import RigmeshError
from rigmesh.streams import local_clock
from rigmesh.streams.wire import info_from_wire
from rigmesh.web.feeds import Feeds, Looked
from rigmesh.web.live_past import Past, recorded_files
from rigmesh.web.live_view import LiveView, View, number_in
from rigmesh.web.pages import page
from rigmesh.web.recordings import library_of
from rigmesh.web.rig import Rig
from rigmesh.web.sessions import Session, Sessions, require
from rigmesh.web.watch import HostView
from rigmesh_daemon.security.rules import Role

__all__ = ["routes"]


_EVERY = 0.05
_HOUSEKEEPING = 1.0
_MOST_STREAMS = 32
_LONGEST_MESSAGE = 16 * 1024
LONGEST_WINDOW = 1e5
"""In seconds; the page does not zoom out any further."""
_LATEST = 1e12
_NOT_LOGGED_IN, _UNREADABLE = 4401, 4400


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [
        Route("/live", _page),
        Route("/api/latencies", _latencies),
        WebSocketRoute("/api/live", _live),
    ]


async def _page(request: Request) -> Response:
    return page(request, "live", "Live", styles=["vendor/uplot/uPlot.min.css", "live.css"])


@require(Role.VIEWER)
def _latencies(request: Request) -> Response:
    rig: Rig = request.app.state.rig
    found = [
        {
            "reader": each.reader,
            "stream": each.stream,
            "is_last": each.is_last,
            "late": each.late,
            "p50": each.histogram.percentile(50),
            "p99": each.histogram.percentile(99),
            "max": each.histogram.largest / 1e9,
            "bins": each.histogram.bins(),
        }
        for each in rig.latencies()
        if each.histogram.total
    ]
    return JSONResponse({"latencies": found})


async def _live(websocket: WebSocket) -> None:
    sessions: Sessions = websocket.app.state.sessions
    session = sessions.find(websocket)
    await websocket.accept()
    if session is None:
        # Closed before it is accepted, a browser would not be told why.
        await websocket.close(_NOT_LOGGED_IN, "log in with a token")
        return
    looker = _Looker(websocket, session)
    try:
        await looker.run()
    except WebSocketDisconnect:
        pass
    finally:
        await run_in_threadpool(looker.close)


@dataclass(frozen=True, slots=True)
class _Window:
    """Times that a browser wants to see."""

    start: float
    stop: float
    width: int
    number: int

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> _Window | None:
        """Take it from a browser; None if it has no number to be answered by.

        What is wrong with the rest becomes something sensible: who asks waits for an answer.
        """
        number = said.get("number")
        if not isinstance(number, int) or isinstance(number, bool):
            return None
        start = number_in(said.get("start"), -_LATEST, _LATEST, 0.0)
        stop = number_in(said.get("stop"), -_LATEST, _LATEST, start)
        if not 0 < stop - start <= LONGEST_WINDOW:
            middle, half = (start + stop) / 2, LONGEST_WINDOW / 2
            start, stop = (middle - half, middle + half) if stop > start else (start, start + 1.0)
        return cls(start, stop, int(number_in(said.get("width"), 16, 8000, 800)), number)


class _Looker:
    """One browser that looks."""

    def __init__(self, websocket: WebSocket, session: Session) -> None:
        self._websocket = websocket
        self._session = session
        self._rig: Rig = websocket.app.state.rig
        self._feeds: Feeds = websocket.app.state.feeds
        self._sessions: Sessions = websocket.app.state.sessions
        self._live = LiveView()
        self._looked: dict[str, Looked] = {}
        self._faults: dict[str, str] = {}
        self._is_ready = asyncio.Event()
        self._is_drawn = asyncio.Event()
        self._is_drawn.set()
        self._finding = asyncio.Lock()
        # A look-up goes on in its thread when the browser has left and its task is cancelled.
        self._lock = threading.Lock()
        self._is_closed = False
        self._has_past = websocket.app.state.settings.recordings is not None
        self._wanted: _Window | None = None
        self._is_wanted = asyncio.Event()

    async def run(self) -> None:
        """Send what is new, as fast as the browser draws it, until one of both leaves."""
        tasks = [
            asyncio.create_task(work())
            for work in (self._receive, self._send, self._keep_house, self._look_back)
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Look no more."""
        with self._lock:
            self._is_closed = True
            looked, self._looked = self._looked, {}
        for each in looked.values():
            self._feeds.give_back(each)

    # --- what the browser says ---------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            text = message.get("text")  # None if it is binary
            try:
                said = json.loads(text) if text and len(text) <= _LONGEST_MESSAGE else None
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict):
                await self._websocket.close(_UNREADABLE, "the message cannot be read")
                return
            await self._obey(said)

    async def _obey(self, said: dict[str, Any]) -> None:
        if "drawn" in said:
            self._is_drawn.set()
        if "ping" in said:
            answer = {"kind": "pong", "ping": said["ping"], "now": local_clock()}
            await self._websocket.send_text(json.dumps(answer))
        if "streams" in said:
            view = View.from_json(said, _MOST_STREAMS)
            is_other = set(view.streams) != set(self._live.view.streams)
            self._live.show(view)
            if is_other:
                await self._look_up()
            self._is_ready.set()
            self._is_drawn.set()
        window = said.get("window")
        if isinstance(window, dict) and (wanted := _Window.from_json(window)) is not None:
            await self._send_window(wanted)

    async def _send_window(self, window: _Window) -> None:
        """Send what is kept at once, and have the rest looked for if that does not reach."""
        made, is_partial = await run_in_threadpool(self._window, window, None)
        await self._websocket.send_bytes(made)
        if is_partial:
            self._wanted = window
            self._is_wanted.set()

    async def _look_back(self) -> None:
        # A task by itself, in threads that nothing else needs: a disk may be slow.
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            window, self._wanted = self._wanted, None
            if window is not None:
                limiter = self._websocket.app.state.past_limiter
                made, _ = await anyio.to_thread.run_sync(self._from_past, window, limiter=limiter)
                await self._websocket.send_bytes(made)

    def _from_past(self, window: _Window) -> tuple[bytes, bool]:
        library = library_of(self._websocket)
        past = Past(library, lambda: recorded_files(self._rig.hosts()))
        return self._window(window, past)

    def _window(self, window: _Window, past: Past | None) -> tuple[bytes, bool]:
        start, stop, width, number = window.start, window.stop, window.width, window.number
        is_last = past is not None or not self._has_past
        return self._live.window(start, stop, width, number, past, is_last=is_last)

    # --- what it is sent ---------------------------------------------------------------------

    async def _send(self) -> None:
        await self._is_ready.wait()
        while True:
            # There is never more than one picture on the way: a slow browser skips, nothing queues.
            await self._is_drawn.wait()
            self._is_drawn.clear()
            await self._websocket.send_bytes(self._live.message(self._faults))
            for frame in await self._thumbnails():
                await self._websocket.send_bytes(frame)
            await asyncio.sleep(_EVERY)

    async def _thumbnails(self) -> list[bytes]:
        if not any(each.kind == "frames" for each in self._looked.values()):
            return []
        return await run_in_threadpool(lambda: list(self._live.thumbnails()))

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            if not self._sessions.is_good(self._session):
                await self._websocket.close(_NOT_LOGGED_IN, "the session is over; log in again")
                return
            if any(name not in self._looked or self._is_stale(name) for name in self._names):
                await self._look_up()

    async def _look_up(self) -> None:
        async with self._finding:
            await run_in_threadpool(self._find)

    @property
    def _names(self) -> tuple[str, ...]:
        return self._live.view.streams

    def _is_stale(self, name: str) -> bool:
        return self._looked[name].feed.state == "waiting"

    def _find(self) -> None:
        """Read the streams that are looked at, where they are now."""
        views = self._rig.hosts()  # waits for hosts, which `close` must not wait for
        with self._lock:
            if not self._is_closed:
                self._take(views)

    def _take(self, views: list[HostView]) -> None:
        names = self._names
        left = dict(self._looked)  # which others go through meanwhile
        found: dict[str, Looked] = {}
        faults: dict[str, str] = {}
        try:
            for name in left.keys() - set(names):  # first, for what comes to have their memory
                self._feeds.give_back(left.pop(name))
            for name in names:
                try:
                    looked = self._found(name, views, left.get(name), faults)
                except RigmeshError as error:
                    faults[name] = str(error)
                    continue
                if looked is not None:
                    found[name] = looked
                    if looked is left.get(name):
                        del left[name]
        finally:
            for each in left.values():
                self._feeds.give_back(each)
            self._looked, self._faults = found, faults
            self._live.look_at(found)

    def _found(
        self, name: str, views: list[HostView], before: Looked | None, faults: dict[str, str]
    ) -> Looked | None:
        """Return what reads a stream where it is now, or as it was while it has not begun."""
        view, stream = self._rig.find_stream(name, views=views)
        info = next((i for i in view.status.streams if i.name == stream), None)
        if info is None:
            faults[name] = f"{name} has not begun yet; start the graph"
            return before
        if before is not None and (before.where, before.kind) == (view.where, info.kind):
            return before
        return self._feeds.take(view.where, info_from_wire(info))

"""What a browser says over the WebSocket of the live page, and what it is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.websockets import WebSocket
from tests.web.conftest import Until
from tests.web.served import Served, Visitor
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from rigmesh.client import Manager
from rigmesh.web.feeds import Feeds
from rigmesh.web.live import LONGEST_WINDOW, _Looker
from rigmesh.web.live_messages import unpack
from rigmesh.web.live_view import View
from rigmesh.web.rig import Rig
from rigmesh.web.sessions import Session
from rigmesh.web.settings import Settings


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    """Who has logged in."""
    with served.visitor() as made:
        yield made


@pytest.fixture
def wire(visitor: Visitor) -> Iterator[ClientConnection]:
    """Their WebSocket."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.client.cookies.items())
    url = visitor.base.replace("http", "ws", 1) + "/api/live"
    with connect(url, additional_headers={"Cookie": cookies, **visitor.origin}) as made:
        yield made


def _window(wire: ClientConnection, **said: Any) -> dict[str, Any]:
    """Ask for a window, and return the head of the answer."""
    wire.send(json.dumps({"window": said}))
    while True:
        message = wire.recv(timeout=20)
        assert isinstance(message, bytes)
        header, _ = unpack(message)
        if header["kind"] == "window":
            return header


@pytest.mark.parametrize(
    "said",
    [
        {"start": 0, "stop": 3e5, "width": 800},
        {"start": 5, "stop": 5, "width": 800},
        {"start": 5, "stop": 4, "width": 10**9},
        {"start": "x", "stop": None, "width": -1},
        {"start": float("nan"), "stop": float("inf"), "width": 800},
        {},
    ],
)
def test_whatever_window_is_asked_for_is_answered(
    wire: ClientConnection, said: dict[str, Any]
) -> None:
    answer = _window(wire, **said, number=7)

    assert answer["number"] == 7
    assert 0 < answer["stop"] - answer["start"] <= LONGEST_WINDOW


def test_a_window_that_is_too_long_keeps_its_middle(wire: ClientConnection) -> None:
    answer = _window(wire, start=1e6, stop=2e6, width=800, number=1)

    assert answer["start"] == 1.5e6 - LONGEST_WINDOW / 2
    assert answer["stop"] == 1.5e6 + LONGEST_WINDOW / 2


def test_a_binary_message_is_refused_in_words(served: Served, wire: ClientConnection) -> None:
    wire.send(b"\x00\x01")
    with pytest.raises(ConnectionClosed) as closed:
        wire.recv(timeout=20)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4400,
        "the message cannot be read",
    )
    assert "Traceback" not in served.log.read_text(encoding="utf-8")


def test_a_look_up_that_ends_after_its_browser_has_left_takes_nothing(
    manager: Manager, daemon_socket: Path, until: Until
) -> None:
    manager.create_node("sim.Oscillators", name="amp", n_channels=2)
    manager.start_all()
    rig, feeds = Rig(Settings(socket=daemon_socket)), Feeds()
    state = SimpleNamespace(
        rig=rig, feeds=feeds, sessions=None, settings=SimpleNamespace(recordings=None)
    )
    websocket = cast("WebSocket", SimpleNamespace(app=SimpleNamespace(state=state)))
    looker = _Looker(websocket, cast("Session", None))
    looker._live.show(View(("amp.signal",)))

    until(lambda: rig.hosts()[0].status.streams)
    looker._find()
    n_before = len(feeds)
    looker.close()
    looker._find()
    n_after = len(feeds)
    feeds.close()
    rig.close()

    assert (n_before, n_after) == (1, 0)

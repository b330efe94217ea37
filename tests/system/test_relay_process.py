"""The relay process as a daemon keeps it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from rigmesh.client import Manager
from rigmesh.errors import DaemonError
from rigmesh.transports import token_is_alive
from rigmesh_daemon.relay.process import RelayProcess

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]


async def until_restarted(relay: RelayProcess, pid: int) -> None:
    async with asyncio.timeout(30):
        while relay.pid in (0, pid) or not relay.restarts:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def test_a_relay_that_dies_is_started_again(manager: Manager, tmp_path: Path) -> None:
    ended: list[str] = []
    listen = f"unix:{tmp_path / 'relay.sock'}"
    relay = RelayProcess(
        manager._connection.socket, listen, None, host="here", on_exit=ended.append
    )

    async def run() -> None:
        await relay.start()
        first = relay.pid
        os.kill(first, signal.SIGKILL)
        await until_restarted(relay, first)
        assert psutil.pid_exists(relay.pid)
        await relay.stop()

    asyncio.run(run())

    assert relay.restarts == 1
    assert relay.pid == 0
    assert len(ended) == 2
    assert not any(token_is_alive(token) for token in ended)


def test_a_relay_that_cannot_start_says_why(manager: Manager) -> None:
    relay = RelayProcess(manager._connection.socket, "127.0.0.1:0", None, host="here")

    with pytest.raises(DaemonError, match="with certificates only"):
        asyncio.run(relay.start())


def test_what_a_relay_says_is_passed_on(manager: Manager, tmp_path: Path) -> None:
    said: list[str] = []
    relay = RelayProcess(
        manager._connection.socket, "nonsense", tmp_path, host="here", on_output=said.append
    )

    with pytest.raises(DaemonError, match="cannot listen on 'nonsense'"):
        asyncio.run(relay.start())

    assert "nonsense" in said[-1]

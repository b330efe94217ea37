"""A host that is looked at again and again, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.conftest import Until

from rigmesh.client import Manager
from rigmesh.node import Input, Node
from rigmesh.streams import Signal
from rigmesh.web.rig import Rig
from rigmesh.web.settings import Settings
from rigmesh.web.watch import HostWatch


class Listener(Node):
    """Takes a signal."""

    input = Input(Signal)

    def process(self, chunk: Signal) -> None:
        """Do nothing with it."""


@pytest.fixture
def other() -> Iterator[Manager]:
    """A daemon that knows other node types."""
    with Manager(private=True) as made:
        yield made


def _socket(manager: Manager) -> Path:
    assert manager._private is not None
    return manager._private.socket


def test_a_mistake_is_told_and_the_host_looked_at_again(
    daemon_socket: Path, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    mistakes: list[Exception] = [KeyError("ports")]

    def find() -> Path:
        if mistakes:
            raise mistakes[0]
        return daemon_socket

    watch = HostWatch("", find)
    until(lambda: watch.view().error == "KeyError: 'ports'")
    mistakes[:] = [FileNotFoundError("/tmp/gone")]
    until(lambda: watch.view().error == "FileNotFoundError: /tmp/gone")
    mistakes.clear()
    until(lambda: not watch.view().error)
    where = watch.view().where
    watch.close()

    assert where == str(daemon_socket)
    assert "a mistake while it was looked at" in caplog.text


def test_a_daemon_that_is_started_anew_is_asked_for_its_types_again(
    manager: Manager, other: Manager, until: Until
) -> None:
    manager.create_node(Listener, name="listener")
    other.create_node("sim.Oscillators", name="amp")
    sockets = [_socket(manager)]
    watch = HostWatch("", lambda: sockets[0])
    until(lambda: watch.view().types)
    before = set(watch.view().types)

    sockets[0] = _socket(other)
    assert manager._private is not None
    manager._private.close()
    until(lambda: watch.view().status.pid == other.status().pid)
    after = set(watch.view().types)
    watch.close()

    assert before - after
    assert "sim.Oscillators" in after


def test_a_daemon_of_this_machine_that_ends_stays_an_alarm_beside_other_machines(
    until: Until,
) -> None:
    with Manager(private=True) as manager:
        settings = Settings(socket=_socket(manager), hosts=("127.0.0.1:1",))
        rig = Rig(settings)
        name = rig.hosts()[0].name

    until(lambda: rig.hosts()[0].error)
    found = rig.hosts()
    rig.close()

    assert [view.address for view in found] == ["", "127.0.0.1:1"]
    assert found[0].name == name
    assert found[0].error

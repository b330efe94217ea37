"""When something that fails is restarted, and what logs may hold."""

from __future__ import annotations

from rigmesh_daemon.config import load_config
from rigmesh_daemon.logs import LogStore
from rigmesh_daemon.supervisor import Backoff
from rigmesh_proto.v1.control_pb2 import LogRecord


def test_the_first_restart_is_at_once_and_the_next_ever_later() -> None:
    backoff = Backoff()

    delays = [backoff.delay(now) for now in (0.0, 1.0, 2.0, 3.0, 4.0)]

    assert delays == [0.0, 1.0, 2.0, 4.0, 8.0]


def test_five_failures_within_a_minute_are_enough() -> None:
    backoff = Backoff()
    for now in range(5):
        backoff.delay(float(now))

    assert backoff.delay(5.0) is None


def test_old_failures_are_forgiven() -> None:
    backoff = Backoff()
    for now in range(5):
        backoff.delay(float(now))

    assert backoff.delay(100.0) == 0.0


def test_a_hostile_text_cannot_colour_a_terminal() -> None:
    told: list[LogRecord] = []
    logs = LogStore(told.append)

    logs.add(LogRecord(level="INFO", message="\x1b[31mred\x07" + "x" * 100_000))

    assert told[0].message.startswith(r"\x1b[31mred\x07")
    assert len(told[0].message) < 20_000


def test_a_system_daemon_shares_with_its_group() -> None:
    config = load_config(None, system=True)

    assert config.shm_mode == 0o660
    assert str(config.socket) == "/run/rigmesh/rigmeshd.sock"

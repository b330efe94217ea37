"""Doorbells, within a process and between two."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rigmesh.errors import StreamLost
from rigmesh.transports import (
    Bell,
    LocalBell,
    NoBell,
    RingState,
    SharedBell,
    ShmTransport,
    declare_lost,
    process_token,
)
from rigmesh.transports.testing import INFO, numbered
from rigmesh.transports.writer import WRITER_LOCK


@pytest.fixture(params=["local", "shared"])
def bell(request: pytest.FixtureRequest) -> Iterator[Bell]:
    local = request.param == "local"
    bell: Bell = LocalBell() if local else ShmTransport(process_token()).bell()
    yield bell
    bell.close()


def test_a_ring_before_the_wait_is_not_forgotten(bell: Bell) -> None:
    bell.ring()

    assert bell.wait(0)


def test_a_wait_swallows_all_rings_so_far(bell: Bell) -> None:
    for _ in range(5):
        bell.ring()

    assert bell.wait(0)
    assert not bell.wait(0)


def test_a_ring_wakes_who_waits(bell: Bell) -> None:
    woken: list[bool] = []
    waiter = threading.Thread(target=lambda: woken.append(bell.wait(10)))
    waiter.start()

    bell.ring()
    waiter.join(10)

    assert woken == [True]


def test_a_bell_is_rung_by_its_name() -> None:
    with ShmTransport(process_token()).bell() as bell:
        other = SharedBell(bell.name)
        other.ring()

        assert bell.wait(0)
        other.close()


def test_a_bell_whose_reader_is_gone_is_said_to_be_gone() -> None:
    bell = ShmTransport(process_token()).bell()
    bell.close()

    with pytest.raises(StreamLost, match="its reader is gone"):
        SharedBell(bell.name)


def test_ringing_after_the_end_is_harmless() -> None:
    bell = ShmTransport(process_token()).bell()
    bell.close()

    bell.ring()


def test_a_writer_goes_on_when_a_reader_has_no_doorbell() -> None:
    transport = ShmTransport(process_token())
    writer = transport.writer(INFO, 64)
    polling = transport.reader(writer.segment.name, NoBell(0.01))

    writer.send(numbered(0, 10))

    assert len(polling.receive() or ()) == 10
    polling.close()
    writer.close()


def test_a_reader_without_a_doorbell_sleeps_no_longer_than_it_is_to() -> None:
    bell = NoBell(60.0)

    assert not bell.wait(0.001)
    assert NoBell(0.001).wait(60.0)


def test_a_reader_without_a_doorbell_learns_that_its_writer_died() -> None:
    transport = ShmTransport(process_token())
    writer = transport.writer(INFO, 64)
    polling = transport.reader(writer.segment.name, NoBell(0.01))
    writer.segment.unlock(WRITER_LOCK)  # as the kernel does for a process that died

    declare_lost(writer.segment.name)

    assert polling.state is RingState.LOST
    polling.close()
    writer.close()

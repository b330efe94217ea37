"""What an outage has held up: it comes at once, and is written as fast as it is taken."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rigmesh.streams import Cause
from rigmesh.transports import MemoryTransport, RingWriter
from rigmesh.transports import writer as writing
from rigmesh.transports.testing import INFO, Ledger, numbered, wait_until


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    transport = MemoryTransport()
    yield transport
    transport.close()


@pytest.fixture
def writer(transport: MemoryTransport) -> RingWriter:
    return transport.writer(INFO, 64)


@pytest.mark.parametrize("chunk_size", [10, 500])
def test_a_lossless_reader_misses_nothing_of_what_comes_late(
    transport: MemoryTransport, writer: RingWriter, chunk_size: int
) -> None:
    reader = transport.reader(lossless=True)
    ledger = Ledger(reader)

    def write() -> None:
        for start in range(0, 1000, chunk_size):
            writer.send_late(numbered(start, chunk_size))
        writer.end()

    thread = threading.Thread(target=write)
    thread.start()
    while not reader.is_finished:
        ledger.take()
        reader.release()
    thread.join()

    assert (ledger.delivered, ledger.gaps) == (1000, [])


def test_a_reader_that_hangs_is_waited_for_once(
    transport: MemoryTransport, writer: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = transport.reader(lossless=True)
    ledger = Ledger(reader)
    monkeypatch.setattr(writing, "_PATIENCE", 0.05)
    writer.send_late(numbered(0, 100))
    monkeypatch.setattr(writing, "_PATIENCE", 3600.0)

    for start in range(100, 1000, 100):
        writer.send_late(numbered(start, 100))
    writer.end()
    ledger.take_all()

    assert [(gap.cause, gap.count) for gap in ledger.gaps] == [(Cause.OVERRUN, 936)]


def test_half_of_the_ring_is_left_to_what_follows_in_time(
    transport: MemoryTransport, writer: RingWriter
) -> None:
    reader = transport.reader(lossless=True)
    ledger = Ledger(reader)
    thread = threading.Thread(target=lambda: writer.send_late(numbered(0, 64)))
    thread.start()
    wait_until(lambda: writer.counters().written == 32)
    thread.join(0.05)
    waited = writer.counters().written == 32

    while thread.is_alive():
        ledger.take()
        reader.release()

    assert waited
    assert writer.counters().written == 64


def test_viewers_are_not_waited_for(transport: MemoryTransport, writer: RingWriter) -> None:
    ledger = Ledger(transport.reader())

    writer.send_late(numbered(0, 1000))
    writer.end()
    ledger.take_all()

    assert ledger.delivered + ledger.overrun == 1000

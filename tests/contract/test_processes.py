"""Rings in shared memory between processes that are killed, stopped or just fast."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from rigmesh.streams import Chunk, Signal, StreamInfo, local_clock
from rigmesh.transports import (
    RingReader,
    RingState,
    ShmTransport,
    declare_lost,
    position_of,
    process_token,
    sweep,
    unlink,
)
from rigmesh.transports.testing import Ledger, wait_until

WIDE = StreamInfo.signal("test.wide", channels=64, sampling_rate=1000.0, dtype="int64")

WRITER = """
import sys
import numpy as np
from rigmesh.streams import Cause, ClockModel, Gap, Signal, StreamInfo
from rigmesh.transports import ShmTransport

info = StreamInfo.from_json(sys.argv[2])
writer = ShmTransport(sys.argv[1]).writer(info, 512)
sizes = np.random.default_rng(1).integers(1, 200, 1000).tolist()
print("ready", flush=True)
sys.stdin.readline()
at = 0
while True:
    for n in sizes:
        numbers = np.arange(at, at + n)
        writer.set_clock(ClockModel(offset=at, drift=at, reference=at, uncertainty=at))
        writer.send(Signal(numbers[:, None] * np.arange(1, 65), numbers.astype(float)))
        at += n
        if n % 3 == 0:
            writer.lose(Gap(Cause.DEVICE, 0, at, n))
"""

READER = """
import json, sys
import numpy as np
from rigmesh.transports import ShmTransport

transport = ShmTransport(sys.argv[1])
bell = transport.bell()
lossless = sys.argv[3] == "lossless"
reader = transport.reader(sys.argv[2], bell, name="test", lossless=lossless)
print("ready", flush=True)
delivered = lost = broken = 0
while not reader.is_finished:
    bell.wait(1.0)
    while (chunk := reader.receive()) is not None:
        numbers = np.arange(chunk.index, chunk.stop)
        broken += not np.array_equal(chunk.data, numbers[:, None] * np.arange(1, 65))
        delivered += len(chunk)
        lost += sum(gap.count for gap in chunk.gaps)
        reader.release()
print(json.dumps([delivered, lost, broken]), flush=True)
reader.close()
bell.close()
"""


@contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in a process of its own, which has said that it is ready."""
    command = [sys.executable, "-c", script, process_token(), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        token = process_token(child.pid)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()
            child.wait()
            sweep(owner=token)


@pytest.fixture
def transport() -> ShmTransport:
    return ShmTransport(process_token())


def wide(start: int, n: int) -> Signal:
    numbers = np.arange(start, start + n)
    return Signal(numbers[:, None] * np.arange(1, 65), numbers.astype(np.float64))


def is_whole(chunk: Chunk) -> bool:
    return np.array_equal(chunk.data, wide(chunk.index, len(chunk)).data)


@contextmanager
def killed_writer(transport: ShmTransport, *, after: int) -> Iterator[tuple[RingReader, Ledger]]:
    """Read from a writer at full speed and kill it at some moment."""
    bell = transport.bell()
    segment = transport.segment_name(WIDE.name, 0)
    with process(WRITER, WIDE.to_json()) as writer:
        reader = transport.reader(segment, bell)
        ledger = Ledger(reader)
        print(file=writer.stdin, flush=True)
        wait_until(lambda: (ledger.take() and False) or ledger.position > after)
        writer.kill()
        writer.wait()
        try:
            yield reader, ledger
        finally:
            reader.close()
            bell.close()
            unlink(segment)


@pytest.mark.parametrize("attempt", range(20))
def test_a_writer_killed_at_any_moment_leaves_whole_samples_and_exact_counts(
    transport: ShmTransport, attempt: int
) -> None:
    with killed_writer(transport, after=10_000 + 137 * attempt) as (reader, ledger):
        declare_lost(transport.segment_name(WIDE.name, 0))
        ledger.take_all()

        told = sum(gap.count for gap in ledger.gaps)
        assert ledger.delivered + told == reader.ring.written + reader.writer_lost()
        assert all(is_whole(chunk) for chunk in ledger.chunks)
        assert all(
            c.clock.offset == c.clock.drift == c.clock.reference == c.clock.uncertainty
            for c in ledger.chunks
        )


def test_a_dead_writer_is_known_by_its_lock(transport: ShmTransport) -> None:
    with killed_writer(transport, after=1000) as (reader, ledger):
        alive = reader.writer_is_alive
        state = reader.state

        reader.declare_lost()
        ledger.take_all()

        assert not alive
        assert (state, reader.state) == (RingState.OPEN, RingState.LOST)


def test_a_live_writer_is_not_declared_lost(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 64)
    segment = transport.segment_name(WIDE.name, 0)

    declare_lost(segment)

    assert writer.ring.header.state is RingState.OPEN
    writer.close()


def test_a_fast_writer_and_a_reader_lose_nothing_that_is_not_told(
    transport: ShmTransport,
) -> None:
    writer = transport.writer(WIDE, 512)
    with process(READER, transport.segment_name(WIDE.name, 0), "lossy") as reader:
        for start in range(0, 200_000, 100):
            writer.send(wide(start, 100))
        writer.end()
        delivered, lost, broken = json.loads(reader.communicate(timeout=20)[0])

    writer.close()
    assert (delivered + lost, broken) == (200_000, 0)


def test_a_writer_that_waits_loses_nothing_to_another_process(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 512, blocking=True)
    with process(READER, transport.segment_name(WIDE.name, 0), "lossless") as reader:
        for start in range(0, 100_000, 1000):
            writer.send(wide(start, 1000))
        writer.end()
        delivered, lost, broken = json.loads(reader.communicate(timeout=20)[0])

    writer.close()
    assert (delivered, lost, broken) == (100_000, 0, 0)


def test_a_stopped_reader_is_told_what_it_lost_when_it_goes_on(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 512)
    with process(READER, transport.segment_name(WIDE.name, 0), "lossy") as reader:
        writer.send(wide(0, 100))
        reader.send_signal(signal.SIGSTOP)
        begin = local_clock()
        for start in range(100, 100_100, 100):
            writer.send(wide(start, 100))
        took = local_clock() - begin
        writer.end()
        reader.send_signal(signal.SIGCONT)
        delivered, lost, broken = json.loads(reader.communicate(timeout=20)[0])

    writer.close()
    assert took < 5
    assert (delivered + lost, broken) == (100_100, 0)
    assert lost > 0


def test_a_killed_reader_sets_a_waiting_writer_free(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 512, blocking=True)
    with process(READER, transport.segment_name(WIDE.name, 0), "lossless") as reader:
        reader.send_signal(signal.SIGSTOP)
        writer.send(wide(0, 512))
        reader.kill()
        reader.wait()

        writer.send(wide(512, 5000))

    assert writer.counters().written == 5512
    writer.close()


def test_a_killed_reader_leaves_behind_how_far_it_got(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 512)
    segment = transport.segment_name(WIDE.name, 0)
    with process(READER, segment, "lossless") as reader:
        writer.send(wide(0, 100))
        wait_until(lambda: position_of(segment, "test") == 100)
        reader.kill()
        reader.wait()

    assert position_of(segment, "test") == 100
    assert position_of(segment, "nobody") is None
    writer.close()
    assert position_of(segment, "test") is None


def test_a_killed_readers_place_can_be_taken(transport: ShmTransport) -> None:
    writer = transport.writer(WIDE, 512)
    bell = transport.bell()
    segment = transport.segment_name(WIDE.name, 0)
    with process(READER, segment, "lossy") as reader:
        reader.kill()
        reader.wait()

    readers = [transport.reader(segment, bell) for _ in range(32)]

    writer.send(wide(0, 10))
    assert all(len(r.receive() or ()) == 10 for r in readers)
    for r in readers:
        r.close()
    writer.close()
    bell.close()

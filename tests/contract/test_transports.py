"""Memory and shared memory pass the conformance tests, and what every ring adds to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest

from rigmesh.errors import StreamError
from rigmesh.streams import Cause, Gap, Markers, StreamInfo
from rigmesh.transports import (
    MemoryTransport,
    RingReader,
    RingWriter,
    ShmTransport,
    StartAt,
    process_token,
)
from rigmesh.transports.testing import (
    INFO,
    TEXTS,
    Ledger,
    TransportTests,
    is_whole,
    numbered,
    wait_until,
)


class SharedStream:
    """One stream in shared memory, with the ends in this process."""

    def __init__(self) -> None:
        self.transport = ShmTransport(process_token())
        self._bell = self.transport.bell()
        self._segment = ""
        self._ends: list[RingReader | RingWriter] = []

    def writer(
        self, info: StreamInfo, capacity: int, *, epoch: int = 0, **options: Any
    ) -> RingWriter:
        """Make the sender of an epoch."""
        writer = self.transport.writer(info, capacity, epoch=epoch, **options)
        self._segment = self.transport.segment_name(info.name, epoch)
        self._ends.append(writer)
        return writer

    def reader(
        self, *, name: str = "", start: StartAt = "now", lossless: bool = False
    ) -> RingReader:
        """Make a receiver."""
        reader = self.transport.reader(
            self._segment, self._bell, name=name, start=start, lossless=lossless
        )
        self._ends.append(reader)
        return reader

    def close(self) -> None:
        """Close both ends."""
        for end in self._ends:
            end.close()
        self._bell.close()


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run something beside the test, and see it end."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(20)
        assert not thread.is_alive()


class RingTests(TransportTests):
    """What every ring does, wherever it lies."""

    make: ClassVar[Callable[[], MemoryTransport | SharedStream]]
    transport: MemoryTransport | SharedStream

    def fill(self, capacity: int, n: int, **options: Any) -> RingWriter:
        """Make a ring and send `n` samples into it, ten at a time."""
        writer = self.transport.writer(INFO, capacity, **options)
        begin = writer.ring.written
        for start in range(begin, begin + n, 10):
            writer.send(numbered(start, min(10, begin + n - start)))
        return writer

    # --- where a reader begins ----------------------------------------------------------------

    def test_the_oldest_sample_is_the_first_that_is_not_overwritten(self) -> None:
        self.fill(64, 100)

        reader = self.transport.reader(start="oldest")
        ledger = Ledger(reader, position=36)
        ledger.take()

        assert (reader.first_index, ledger.position, ledger.gaps) == (36, 100, [])

    def test_a_reader_can_begin_at_an_index(self) -> None:
        self.fill(64, 60)

        ledger = Ledger(self.transport.reader(start=25), position=25)
        ledger.take()

        assert ledger.delivered == 35
        assert is_whole(ledger.chunks[0])

    def test_beginning_at_an_overwritten_index_counts_what_is_lost(self) -> None:
        writer = self.fill(64, 100)

        ledger = Ledger(self.transport.reader(start=10), position=10)
        writer.end()
        ledger.take_all()

        assert (ledger.overrun, ledger.delivered) == (26, 64)
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_a_ring_made_in_the_middle_of_an_epoch_begins_there(self) -> None:
        self.fill(64, 20, first_index=500)

        ledger = Ledger(self.transport.reader(start="oldest"), position=500)
        ledger.take()

        assert (ledger.delivered, ledger.gaps) == (20, [])
        assert is_whole(ledger.chunks[0])

    def test_what_was_before_the_first_sample_of_a_ring_is_lost_not_made_up(self) -> None:
        self.fill(64, 20, first_index=500)

        ledger = Ledger(self.transport.reader(start=470), position=470)
        ledger.take_until(520)

        assert (ledger.overrun, ledger.delivered) == (30, 20)
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    # --- overruns -----------------------------------------------------------------------------

    @pytest.mark.parametrize("chunk_size", [1, 7, 63, 64, 65, 200])
    def test_samples_are_whole_however_chunks_lie_in_the_ring(self, chunk_size: int) -> None:
        writer = self.transport.writer(INFO, 64)
        ledger = Ledger(self.transport.reader())

        for start in range(0, 10 * chunk_size, chunk_size):
            writer.send(numbered(start, chunk_size))
            while ledger.take():
                pass

        assert ledger.delivered == 10 * min(64, chunk_size)
        assert ledger.overrun == 10 * max(0, chunk_size - 64)
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_an_overrun_is_counted_exactly(self) -> None:
        writer = self.transport.writer(INFO, 64)
        ledger = Ledger(self.transport.reader())

        for start in range(0, 1000, 10):
            writer.send(numbered(start, 10))
            if start % 170 == 0:
                ledger.take(5)
        writer.end()
        ledger.take_all()

        assert ledger.overrun > 0
        assert ledger.delivered + ledger.overrun == 1000
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_gaps_in_what_was_overwritten_are_told_as_well(self) -> None:
        writer = self.transport.writer(INFO, 64)
        ledger = Ledger(self.transport.reader())

        for start in range(0, 300, 10):
            writer.lose(Gap(Cause.DEVICE, 0, start, 3))
            writer.send(numbered(start, 10))
        writer.end()
        ledger.take_all()

        told = sum(gap.count for gap in ledger.gaps)
        assert ledger.delivered + told == writer.counters().produced == 390

    def test_more_gaps_than_there_is_room_for_are_told_in_sum(self) -> None:
        writer = self.transport.writer(INFO, 1000)
        ledger = Ledger(self.transport.reader())

        for number in range(400):
            writer.lose(Gap(Cause.DEVICE, 0, number, 2))
            writer.send(numbered(number, 1))
        writer.end()
        ledger.take_all()

        assert sum(gap.count for gap in ledger.gaps) == 800
        assert ledger.delivered == 400

    def test_a_reader_is_told_of_the_gaps_from_where_it_begins(self) -> None:
        writer = self.transport.writer(INFO, 1000)
        for number in range(400):
            writer.lose(Gap(Cause.DEVICE, 0, number, 2))
            writer.send(numbered(number, 1))

        ledger = Ledger(self.transport.reader(start=390), position=390)
        writer.end()
        ledger.take_all()

        assert sum(gap.count for gap in ledger.gaps) == 20

    def test_a_writer_at_full_speed_is_never_read_torn(self) -> None:
        writer = self.transport.writer(INFO, 256)
        ledger = Ledger(self.transport.reader())
        n = 60_000

        def write() -> None:
            sizes = np.random.default_rng(3).integers(1, 200, n).tolist()
            at = 0
            while at < n:
                size = min(sizes.pop(), n - at)
                writer.send(numbered(at, size))
                at += size
            writer.end()

        with in_background(write):
            ledger.take_all()

        assert ledger.delivered + ledger.overrun == n
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_no_more_samples_come_than_were_asked_for(self) -> None:
        self.fill(64, 60)
        ledger = Ledger(self.transport.reader(start=0))

        ledger.take(25)
        ledger.take(25)
        ledger.take(25)

        assert [len(chunk) for chunk in ledger.chunks] == [25, 25, 10]

    # --- texts --------------------------------------------------------------------------------

    def test_texts_whose_bytes_are_written_over_are_a_gap(self) -> None:
        writer = self.transport.writer(TEXTS, 64, byte_capacity=400)
        ledger = Ledger(self.transport.reader())

        for number in range(10):
            writer.send(Markers.at([number], [f"{number}" * 90]))
        writer.end()
        ledger.take_all()

        kept = [text for chunk in ledger.chunks for text in chunk.data]
        assert kept == [f"{number}" * 90 for number in range(6, 10)]
        assert ledger.overrun == 6

    def test_the_oldest_text_is_one_whose_bytes_are_there(self) -> None:
        writer = self.transport.writer(TEXTS, 64, byte_capacity=400)
        for number in range(10):
            writer.send(Markers.at([number], [f"{number}" * 90]))

        chunk = self.transport.reader(start="oldest").receive()

        assert chunk is not None
        assert (chunk.index, chunk.data[0]) == (6, "6" * 90)

    # --- a writer that waits ------------------------------------------------------------------

    @pytest.mark.parametrize("chunk_size", [10, 64, 500])
    def test_a_waiting_writer_loses_nothing(self, chunk_size: int) -> None:
        writer = self.transport.writer(INFO, 64, blocking=True)
        reader = self.transport.reader(lossless=True)
        ledger = Ledger(reader)

        def write() -> None:
            for start in range(0, 20 * chunk_size, chunk_size):
                writer.send(numbered(start, chunk_size))
            writer.end()

        with in_background(write):
            while not reader.is_finished:
                ledger.take()
                reader.release()

        assert (ledger.delivered, ledger.gaps) == (20 * chunk_size, [])
        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_a_waiting_writer_of_texts_minds_their_bytes(self) -> None:
        writer = self.transport.writer(TEXTS, 64, blocking=True, byte_capacity=400)
        reader = self.transport.reader(lossless=True)
        ledger = Ledger(reader)
        texts = [f"{number % 10}" * 90 for number in range(100)]

        def write() -> None:
            writer.send(Markers.at(range(100), texts))
            writer.end()

        with in_background(write):
            while not reader.is_finished:
                ledger.take()
                reader.release()

        assert [text for chunk in ledger.chunks for text in chunk.data] == texts

    def test_what_was_received_is_kept_until_it_is_released(self) -> None:
        writer = self.fill(64, 60, blocking=True)
        reader = self.transport.reader(start="oldest", lossless=True)
        ledger = Ledger(reader)
        ledger.take()

        with in_background(lambda: writer.send(numbered(60, 10))) as thread:
            thread.join(0.05)
            waited = thread.is_alive() and writer.counters().written == 60
            reader.release()

        assert waited
        assert writer.counters().written == 70

    def test_a_waiting_writer_does_not_wait_for_readers_that_may_lose(self) -> None:
        writer = self.transport.writer(INFO, 64, blocking=True)
        ledger = Ledger(self.transport.reader())

        for start in range(0, 1000, 10):
            writer.send(numbered(start, 10))
        writer.end()
        ledger.take_all()

        assert ledger.delivered + ledger.overrun == 1000

    def test_a_reader_that_closes_sets_a_waiting_writer_free(self) -> None:
        writer = self.transport.writer(INFO, 64, blocking=True)
        reader = self.transport.reader(lossless=True)

        with in_background(lambda: writer.send(numbered(0, 200))):
            wait_until(lambda: writer.counters().written == 64)
            reader.close()

        assert writer.counters().written == 200

    def test_a_stop_sets_a_waiting_writer_free(self) -> None:
        stop = threading.Event()
        writer = self.transport.writer(INFO, 64, blocking=True, stopping=stop.is_set)
        ledger = Ledger(self.transport.reader(lossless=True))

        with in_background(lambda: writer.send(numbered(0, 200))):
            wait_until(lambda: writer.counters().written == 64)
            stop.set()
        writer.end()
        ledger.take_all()

        assert ledger.delivered + ledger.overrun == 200

    # --- counters and places ------------------------------------------------------------------

    def test_a_ring_has_32_readers_and_says_so(self) -> None:
        self.fill(64, 10)
        readers = [self.transport.reader() for _ in range(32)]

        with pytest.raises(StreamError, match="has 32 readers already"):
            self.transport.reader()
        readers[7].close()

        assert self.transport.reader().position == 10


class TestMemory(RingTests):
    """Rings within a process."""

    make = MemoryTransport


class TestSharedMemory(RingTests):
    """Rings in /dev/shm."""

    make = SharedStream

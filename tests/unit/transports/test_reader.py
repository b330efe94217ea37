"""What a reader of a ring offers beside taking chunk after chunk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rigmesh.errors import Overrun, StreamError, StreamFormatError, StreamNotFound
from rigmesh.streams import IDENTITY, Cause, ClockModel, Gap, Markers
from rigmesh.transports import MemoryTransport, RingReader, RingWriter
from rigmesh.transports.testing import INFO, TEXTS, is_whole, numbered


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    transport = MemoryTransport()
    yield transport
    transport.close()


@pytest.fixture
def writer(transport: MemoryTransport) -> RingWriter:
    return transport.writer(INFO, 64)


@pytest.fixture
def reader(writer: RingWriter, transport: MemoryTransport) -> RingReader:
    return transport.reader()


def test_there_is_nothing_to_read_before_there_is_a_writer(transport: MemoryTransport) -> None:
    with pytest.raises(StreamNotFound, match="make the writer first"):
        transport.reader()


def test_beginning_at_an_index_to_come_means_now(
    writer: RingWriter, transport: MemoryTransport
) -> None:
    writer.send(numbered(0, 10))

    assert transport.reader(start=1000).position == 10


def test_a_reader_counts_what_waits_for_it(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 48))
    reader.receive(16)

    counters = reader.counters()

    assert (counters.delivered, counters.lag, counters.max_lag) == (16, 32, 48)
    assert counters.fill == pytest.approx(0.5)


def test_a_reader_starts_its_counters_in_a_place_that_others_had(
    writer: RingWriter, transport: MemoryTransport
) -> None:
    first = transport.reader()
    writer.send(numbered(0, 10))
    first.receive()
    first.close()

    second = transport.reader()
    writer.send(numbered(10, 5))

    assert (second.counters().delivered, second.counters().lag) == (0, 5)


def test_only_a_release_moves_the_cursor(writer: RingWriter, reader: RingReader) -> None:
    slot = writer.ring.header.slot(0)
    writer.send(numbered(0, 10))

    reader.receive()
    after_receive = (slot.position, slot.cursor)
    reader.release()

    assert after_receive == (10, 0)
    assert (slot.position, slot.cursor) == (10, 10)


def test_the_clock_of_the_local_host_is_the_same_object_for_every_chunk(
    writer: RingWriter, reader: RingReader
) -> None:
    writer.send(numbered(0, 10))

    chunk = reader.receive()

    assert chunk is not None
    assert chunk.clock is IDENTITY


def test_a_refused_chunk_of_texts_publishes_nothing(transport: MemoryTransport) -> None:
    writer = transport.writer(TEXTS, 64, byte_capacity=400)

    with pytest.raises(StreamFormatError, match="101 bytes; the longest allowed has 100"):
        writer.send(Markers.at([1, 2], ["short", "x" * 101]))

    assert writer.counters().written == 0


def test_a_text_that_cannot_be_stored_is_refused(transport: MemoryTransport) -> None:
    writer = transport.writer(TEXTS, 64)

    with pytest.raises(StreamFormatError, match="takes texts"):
        writer.send(Markers.at([1], ["half a pair: \ud800"]))


def test_a_window_looks_at_samples_where_they_lie(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 30))

    window = reader.window(10, 20)

    assert np.shares_memory(window.data, writer.ring.data)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(window.data, numbered(10, 10).data)
    np.testing.assert_array_equal(window.timestamps, np.arange(10.0, 20.0))


def test_a_window_says_when_it_was_written_over(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 30))
    window = reader.window(10, 20)

    writer.send(numbered(30, 44))
    whole = window.valid()
    writer.send(numbered(74, 1))

    assert (whole, window.valid()) == (True, False)


def test_a_window_may_span_the_place_where_the_ring_begins_anew(
    writer: RingWriter, reader: RingReader
) -> None:
    writer.send(numbered(0, 50))
    writer.send(numbered(50, 50))

    window = reader.window(60, 70)

    np.testing.assert_array_equal(window.data, numbered(60, 10).data)
    assert window.valid()


@pytest.mark.parametrize("bounds", [(0, 10), (5, 65), (90, 101), (60, 50)])
def test_a_window_onto_what_is_not_there_is_refused(
    writer: RingWriter, reader: RingReader, bounds: tuple[int, int]
) -> None:
    writer.send(numbered(0, 100))

    with pytest.raises(Overrun, match="36 to 100 are there"):
        reader.window(*bounds)


def test_a_window_is_mapped_onto_the_local_clock(writer: RingWriter, reader: RingReader) -> None:
    writer.set_clock(ClockModel(offset=5.0))
    writer.send(numbered(0, 30))

    assert reader.window(10, 11).timestamps[0] == 15.0


def test_a_window_cannot_be_written_to(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 100))

    for window in (reader.window(40, 50), reader.window(60, 70)):
        assert not window.data.flags.writeable
        assert not window.timestamps.flags.writeable


def test_texts_have_no_window(transport: MemoryTransport) -> None:
    transport.writer(TEXTS, 64)

    with pytest.raises(StreamError, match="texts have no window"):
        transport.reader().window(0, 0)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (slice(40, 50), (40, 50)),
        (slice(-10, None), (90, 100)),
        (slice(60, 70), (60, 70)),
        (slice(95, 200), (95, 100)),
        (slice(50, 40), (50, 50)),
    ],
)
def test_a_slice_copies_samples(
    writer: RingWriter, reader: RingReader, wanted: slice, expected: tuple[int, int]
) -> None:
    writer.send(numbered(0, 100))

    chunk = reader[wanted]

    assert (chunk.index, chunk.stop) == expected
    assert is_whole(chunk)


@pytest.mark.parametrize("wanted", [slice(0, 50), slice(None), slice(35, 36)])
def test_a_slice_of_what_is_overwritten_is_refused(
    writer: RingWriter, reader: RingReader, wanted: slice
) -> None:
    writer.send(numbered(0, 100))

    with pytest.raises(Overrun, match="the oldest is 36"):
        reader[wanted]


def test_a_slice_with_a_step_is_refused(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 10))

    with pytest.raises(StreamError, match="asked for every 2"):
        reader[0:10:2]


def test_a_reader_of_windows_says_how_far_it_got(writer: RingWriter, reader: RingReader) -> None:
    writer.send(numbered(0, 30))

    gaps = reader.move_on(20)
    chunk = reader.receive()

    assert gaps == ()
    assert chunk is not None
    assert (chunk.index, chunk.stop) == (20, 30)
    assert (reader.counters().delivered, writer.ring.header.slot(0).cursor) == (30, 20)


def test_what_was_written_over_before_it_was_passed_is_lost(
    writer: RingWriter, reader: RingReader
) -> None:
    writer.send(numbered(0, 60))
    writer.send(numbered(60, 20))

    gaps = reader.move_on(40)

    assert gaps == (Gap(Cause.OVERRUN, 0, 16, 16),)
    counters = reader.counters()
    assert (counters.delivered, counters.lost, counters.lag) == (24, 16, 40)


def test_gaps_that_are_passed_are_told(writer: RingWriter, reader: RingReader) -> None:
    passed, ahead = Gap(Cause.DEVICE, 0, 10, 3), Gap(Cause.DEVICE, 0, 20, 4)
    writer.send(numbered(0, 10))
    writer.lose(passed)
    writer.send(numbered(10, 10))
    writer.lose(ahead)
    writer.send(numbered(20, 10))
    writer.end()

    assert reader.move_on(15) == (passed,)
    assert reader.move_on(30) == (ahead,)
    assert reader.is_finished


@pytest.mark.parametrize("index", [5, 31])
def test_a_reader_goes_neither_back_nor_ahead_of_the_writer(
    writer: RingWriter, reader: RingReader, index: int
) -> None:
    writer.send(numbered(0, 30))
    reader.receive(10)

    with pytest.raises(Overrun, match=f"at sample {index}; this reader is at 10 of 30"):
        reader.move_on(index)

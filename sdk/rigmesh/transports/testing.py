"""What every transport must do: subclass :class:`TransportTests` and say how to make one.

Needs pytest and hypothesis.
"""
# ruff: noqa: D102 - a test's name is its sentence

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import StreamFormatError
from rigmesh.streams import Cause, Chunk, ClockModel, Frames, Gap, Markers, Signal, StreamInfo
from rigmesh.streams.info import DTYPES
from rigmesh.transports.base import Receiver, Sender, StartAt

__all__ = ["Ledger", "Transport", "TransportTests", "is_whole", "numbered", "wait_until"]

N_CHANNELS = 4
INFO = StreamInfo.signal("test.out", channels=N_CHANNELS, sampling_rate=1000.0, dtype="int64")
TEXTS = StreamInfo.markers("test.marks")


class Transport(Protocol):
    """One stream from one writer to any number of readers, as the tests need it."""

    def writer(self, info: StreamInfo, capacity: int, *, epoch: int = 0) -> Sender:
        """Make the sender of an epoch."""

    def reader(self, *, name: str = "", start: StartAt = "now", lossless: bool = False) -> Receiver:
        """Make a receiver of the epoch written last; it sees all that is sent from here on."""

    def close(self) -> None:
        """Leave nothing behind."""


def numbered(start: int, n: int) -> Signal:
    """Make samples that carry their number, times 1, 2, 3 and 4, and are stamped with it.

    Examples
    --------
    >>> numbered(7, 1).data
    array([[ 7, 14, 21, 28]])
    """
    numbers = np.arange(start, start + n)
    return Signal(numbers[:, None] * np.arange(1, N_CHANNELS + 1), numbers.astype(np.float64))


def is_whole(chunk: Chunk) -> bool:
    """Whether each sample of a chunk is one that :func:`numbered` made, at its own index."""
    wanted = numbered(chunk.index, len(chunk))
    return np.array_equal(chunk.data, wanted.data) and np.array_equal(
        chunk.raw_timestamps, wanted.raw_timestamps
    )


def wait_until(condition: Callable[[], bool], *, timeout: float = 10.0) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
        If it does not hold within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s in vain")
        time.sleep(0.0005)


class Ledger:
    """Takes what a reader gives and keeps account of it.

    Attributes
    ----------
    chunks : list of Chunk
        What came.
    gaps : list of Gap
        What it said is missing.
    position : int
        Index of the next sample.
    overrun : int
        How many samples the reader was too slow for.
    reader : Receiver
        Who gives.
    """

    def __init__(self, reader: Receiver, position: int = 0) -> None:
        self.chunks: list[Chunk] = []
        self.gaps: list[Gap] = []
        self.position = position
        self.overrun = 0
        self.reader = reader

    @property
    def delivered(self) -> int:
        """How many samples came."""
        return sum(len(chunk) for chunk in self.chunks)

    def take(self, max_samples: int | None = None) -> bool:
        """Receive once; return whether something came.

        Raises
        ------
        AssertionError
            If samples are missing that no gap tells of, or come twice.
        """
        chunk = self.reader.receive(max_samples)
        if chunk is None:
            return False
        skipped = chunk.index - self.position
        if skipped:
            assert chunk.gaps[0] == Gap(Cause.OVERRUN, chunk.epoch, chunk.index, skipped)
            self.overrun += skipped
        self.position = chunk.stop
        self.chunks.append(chunk)
        self.gaps.extend(chunk.gaps)
        return True

    def take_until(self, position: int) -> None:
        """Receive until everything below an index came or got lost."""
        wait_until(lambda: (self.take() and False) or self.position >= position)

    def take_all(self) -> None:
        """Receive until the writer has ended and all is received."""
        wait_until(lambda: not self.take() and self.reader.is_finished)


class TransportTests:
    """The conformance tests of a transport.

    Attributes
    ----------
    make : callable
        Makes a fresh :class:`Transport`.
    """

    make: ClassVar[Callable[[], Transport]]

    def setup_method(self) -> None:
        """Make the transport."""
        self.transport = type(self).make()

    def teardown_method(self) -> None:
        """Close it."""
        self.transport.close()

    def open(self, info: StreamInfo = INFO, *, epoch: int = 0) -> tuple[Sender, Ledger]:
        """Make a writer, and the account of one reader that is there from the beginning."""
        writer = self.transport.writer(info, 1000, epoch=epoch)
        return writer, Ledger(self.transport.reader())

    def test_samples_come_once_and_in_order(self) -> None:
        writer, ledger = self.open()

        for start in range(0, 500, 50):
            writer.send(numbered(start, 50))
        ledger.take_until(500)

        assert ledger.delivered == 500
        assert all(is_whole(chunk) for chunk in ledger.chunks)
        assert not ledger.gaps

    def test_every_chunk_names_its_stream_and_epoch(self) -> None:
        writer, ledger = self.open(epoch=3)

        writer.send(numbered(0, 10))
        ledger.take_until(10)

        assert {chunk.epoch for chunk in ledger.chunks} == {3}
        assert {chunk.info for chunk in ledger.chunks} == {INFO}

    def test_a_chunk_of_no_samples_changes_nothing(self) -> None:
        writer, ledger = self.open()

        writer.send(numbered(0, 0))
        writer.send(numbered(0, 10))
        ledger.take_until(10)

        assert ledger.delivered == 10

    @pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "text"])
    def test_values_of_every_type_arrive_bit_for_bit(self, dtype: str) -> None:
        info = StreamInfo.signal("test.out", channels=3, sampling_rate=100.0, dtype=dtype)
        limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
        data = np.array([[limits.min, 0, limits.max]] * 5, dtype)
        stamps = np.array([1e-9, 0.1, 1e6, 1e6 + 1e-6, 2e9])
        writer, ledger = self.open(info)

        writer.send(Signal(data, stamps))
        ledger.take_until(5)

        received = np.concatenate([chunk.data for chunk in ledger.chunks])
        times = np.concatenate([chunk.raw_timestamps for chunk in ledger.chunks])
        assert received.dtype == data.dtype
        assert received.tobytes() == data.tobytes()
        assert times.tobytes() == stamps.tobytes()

    @pytest.mark.parametrize("shape", [(12, 16), (12, 16, 3)])
    def test_pictures_keep_their_shape(self, shape: tuple[int, ...]) -> None:
        info = StreamInfo.frames("test.video", shape=shape, sampling_rate=30.0)
        data = np.random.default_rng(1).integers(0, 256, (5, *shape), np.uint8)
        writer, ledger = self.open(info)

        writer.send(Frames(data, np.arange(5.0)))
        ledger.take_until(5)

        received = np.concatenate([chunk.data for chunk in ledger.chunks])
        assert isinstance(ledger.chunks[0], Frames)
        np.testing.assert_array_equal(received, data)

    def test_texts_arrive_as_they_were(self) -> None:
        texts = ["go", "", "Größe 猫 🧠", "two\nlines", "no UTF-8: \udcff", "nul\0inside"]
        writer, ledger = self.open(TEXTS)

        writer.send(Markers.at(range(len(texts)), texts))
        ledger.take_until(len(texts))

        assert [text for chunk in ledger.chunks for text in chunk.data] == texts
        assert isinstance(ledger.chunks[0], Markers)

    def test_what_is_no_text_is_refused(self) -> None:
        writer, _ = self.open(TEXTS)

        with pytest.raises(StreamFormatError, match="takes texts"):
            writer.send(Markers([b"bytes"], np.zeros(1)))

    def test_a_late_reader_begins_with_what_follows(self) -> None:
        writer, _ = self.open()
        writer.send(numbered(0, 10))

        late = Ledger(self.transport.reader(), position=10)
        writer.send(numbered(10, 10))
        late.take_until(20)

        assert late.delivered == 10
        assert not late.gaps

    def test_a_gap_comes_with_the_first_chunk_behind_it(self) -> None:
        writer, ledger = self.open()

        for start, count in ((0, 0), (10, 3), (20, 4), (30, 5)):
            if count:
                writer.lose(Gap(Cause.DEVICE, 0, start, count))
            writer.send(numbered(start, 10))
        ledger.take_until(40)

        told = [(c.index, gap.index, gap.count) for c in ledger.chunks for gap in c.gaps]
        assert told == [(10, 10, 3), (20, 20, 4), (30, 30, 5)]

    def test_a_gap_keeps_all_that_is_known_of_it(self) -> None:
        gaps = [Gap(cause, 0, 0, 7, duration=0.25, exact=False) for cause in Cause]
        writer, ledger = self.open()

        for gap in gaps:
            writer.lose(gap)
        writer.send(numbered(0, 10))
        ledger.take_until(10)

        assert list(ledger.chunks[0].gaps) == gaps

    def test_a_gap_at_the_very_end_comes_with_an_empty_chunk(self) -> None:
        writer, ledger = self.open()

        writer.send(numbered(0, 10))
        writer.lose(Gap(Cause.DEVICE, 0, 10, 5))
        writer.end()
        ledger.take_all()

        assert [gap.count for gap in ledger.gaps] == [5]
        assert len(ledger.chunks[-1]) == 0
        assert ledger.chunks[-1].index == 10

    def test_a_late_reader_is_not_told_of_earlier_gaps(self) -> None:
        writer, _ = self.open()
        writer.send(numbered(0, 10))
        writer.lose(Gap(Cause.DEVICE, 0, 10, 5))

        late = Ledger(self.transport.reader(), position=10)
        writer.send(numbered(10, 10))
        late.take_until(20)

        assert not late.gaps

    def test_stamps_are_local_unless_something_else_is_said(self) -> None:
        writer, ledger = self.open()

        writer.send(numbered(0, 10))
        ledger.take_until(10)

        np.testing.assert_array_equal(ledger.chunks[0].timestamps, np.arange(10.0))

    def test_a_clock_model_maps_the_stamps_and_leaves_the_raw_ones(self) -> None:
        model = ClockModel(offset=100.0, drift=1e-3, reference=5.0, uncertainty=1e-4)
        writer, ledger = self.open()

        writer.set_clock(ClockModel(offset=1.0))
        writer.set_clock(model)
        writer.send(numbered(0, 10))
        ledger.take_until(10)

        raw = np.arange(10.0)
        assert ledger.chunks[0].clock == model
        np.testing.assert_array_equal(ledger.chunks[0].raw_timestamps, raw)
        np.testing.assert_allclose(ledger.chunks[0].timestamps, raw + 100 + 1e-3 * (raw - 5))

    def test_an_ended_stream_is_finished_once_all_was_received(self) -> None:
        writer, ledger = self.open()
        reader = ledger.reader

        writer.send(numbered(0, 10))
        before = reader.is_finished
        writer.end()
        at_the_end = reader.is_finished
        ledger.take_all()

        assert (before, at_the_end, reader.is_finished) == (False, False, True)
        assert ledger.delivered == 10

    def test_a_stream_that_moved_on_is_finished_here(self) -> None:
        writer, ledger = self.open()

        writer.send(numbered(0, 10))
        writer.end(moved=True)
        ledger.take_all()

        assert ledger.delivered == 10

    def test_arrays_cannot_be_written_to(self) -> None:
        writer, ledger = self.open()

        writer.send(numbered(0, 10))
        ledger.take_until(10)

        assert not ledger.chunks[0].data.flags.writeable
        assert not ledger.chunks[0].raw_timestamps.flags.writeable

    def test_a_chunk_stays_as_it_is_while_the_stream_goes_on(self) -> None:
        writer, ledger = self.open()

        for start in range(0, 5000, 100):
            writer.send(numbered(start, 100))
            ledger.take_until(start + 100)

        assert all(is_whole(chunk) for chunk in ledger.chunks)

    def test_the_writer_counts_what_it_sent_and_lost(self) -> None:
        writer, _ = self.open()

        writer.send(numbered(0, 10))
        writer.lose(Gap(Cause.DEVICE, 0, 10, 5))

        counters = writer.counters()
        assert (counters.produced, counters.written, counters.lost) == (15, 10, 5)

    def test_nothing_is_unaccounted_for_at_any_moment(self) -> None:
        step = st.one_of(
            st.tuples(st.just("send"), st.integers(0, 40)),
            st.tuples(st.just("lose"), st.integers(1, 9)),
            st.tuples(st.just("take"), st.integers(1, 30)),
        )

        @settings(max_examples=60, deadline=None)
        @given(st.lists(step, max_size=40))
        def account(steps: list[tuple[str, int]]) -> None:
            transport = type(self).make()
            try:
                writer = transport.writer(INFO, 64)
                reader = transport.reader()
                ledger = Ledger(reader)
                for step, n in [*steps, ("end", 0)]:
                    sent = writer.counters().written
                    if step == "send":
                        writer.send(numbered(sent, n))
                    elif step == "lose":
                        writer.lose(Gap(Cause.DEVICE, 0, sent, n))
                    elif step == "take":
                        ledger.take(n)
                    else:
                        writer.end()
                        ledger.take_all()
                    found = reader.counters()
                    assert writer.counters().produced == found.delivered + found.lost + found.lag
                told = sum(gap.count for gap in ledger.gaps)
                assert writer.counters().produced == ledger.delivered + told
                assert all(is_whole(chunk) for chunk in ledger.chunks)
            finally:
                transport.close()

        account()

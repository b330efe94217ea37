"""Threads that read streams for who looks."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from rigmesh.display import Feed, FrameBuffer, MarkerBuffer
from rigmesh.errors import StreamNotFound, WaitTimeout
from rigmesh.streams import (
    Cause,
    ChannelInfo,
    Chunk,
    Frames,
    Gap,
    Markers,
    Signal,
    StreamInfo,
    local_clock,
)

INFO = StreamInfo(
    "amp.signal", dtype="float32", sample_shape=(1,), sampling_rate=100.0,
    channels=(ChannelInfo("a"),),
)  # fmt: skip


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def signal(first: int, n: int, info: StreamInfo = INFO, *gaps: Gap) -> Signal:
    data = np.arange(first, first + n, dtype=np.float32)[:, None]
    stamps = local_clock() + np.arange(-n, 0) / 100
    return Signal(data, stamps, index=first, gaps=gaps, info=info)


class Stream:
    """A stream that a test feeds: a reader that any number of feeds may open in turn."""

    def __init__(self) -> None:
        self.chunks: queue.Queue[Chunk | None] = queue.Queue()
        self.is_there = True
        self.n_opened = self.n_closed = 0

    def open(self) -> Stream:
        if not self.is_there:
            raise StreamNotFound("there is no amp.signal")
        self.n_opened += 1
        return self

    def read(self, timeout: float | None = None) -> Chunk | None:
        try:
            return self.chunks.get(timeout=timeout)
        except queue.Empty:
            raise WaitTimeout("nothing") from None

    def close(self) -> None:
        self.n_closed += 1


@dataclass
class Kept:
    infos: list[StreamInfo] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def describe(self, info: StreamInfo) -> None:
        self.infos.append(info)

    def take(self, chunk: Chunk) -> None:
        self.samples += chunk.data[:, 0].tolist()
        self.threads.add(threading.current_thread().name)


def test_what_is_read_reaches_the_sink_after_its_description() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)

    stream.chunks.put(signal(0, 5))
    stream.chunks.put(signal(5, 5))
    until(lambda: len(sink.samples) == 10)
    feed.close()

    assert sink.samples == list(range(10))
    assert sink.infos == [INFO]
    assert sink.threads == {"feed amp.signal"}
    assert stream.n_closed == 1


def test_a_stream_that_is_not_there_yet_is_waited_for() -> None:
    stream, sink = Stream(), Kept()
    stream.is_there = False
    feed = Feed("amp.signal", stream.open, sink)
    until(lambda: feed.error != "")
    assert (feed.state, feed.error) == ("waiting", "there is no amp.signal")
    assert np.isnan(feed.age)

    stream.is_there = True
    stream.chunks.put(signal(0, 5))
    until(lambda: feed.state == "live")

    assert (feed.error, feed.info) == ("", INFO)
    assert 0 <= feed.age < 60
    feed.close()


def test_a_stream_that_ended_may_begin_again() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)
    stream.chunks.put(signal(0, 5))
    stream.chunks.put(None)
    until(lambda: feed.state == "over" or stream.n_opened > 1)

    stream.chunks.put(signal(0, 3))
    until(lambda: len(sink.samples) == 8)

    assert stream.n_opened == 2
    assert feed.state == "live"
    feed.close()


def test_what_a_reader_gives_again_is_handed_on_once() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)
    first = signal(0, 5)
    second = signal(0, 4, INFO, Gap(Cause.OVERRUN, 1, 0, 3))
    second.epoch = 1
    for chunk in (first, second, None, first, second, None):
        stream.chunks.put(chunk)
    until(lambda: stream.n_opened > 2)

    third = signal(4, 1)
    third.epoch = 1
    stream.chunks.put(third)
    until(lambda: len(sink.samples) == 10)

    assert sink.samples == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert feed.n_lost == 3
    feed.close()


def test_a_new_format_is_described_again() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)
    other = replace(INFO, sampling_rate=200.0)

    stream.chunks.put(signal(0, 5))
    stream.chunks.put(signal(5, 5, replace(INFO)))  # equal, but another object
    stream.chunks.put(signal(0, 5, other))
    until(lambda: len(sink.samples) == 15)

    assert sink.infos == [INFO, other]
    feed.close()


def test_what_is_lost_is_counted() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)

    stream.chunks.put(signal(12, 5, INFO, Gap(Cause.OVERRUN, 0, 12, 12)))
    until(lambda: len(sink.samples) == 5)

    assert feed.n_lost == 12
    feed.close()


def test_the_newest_markers_are_kept() -> None:
    buffer = MarkerBuffer(n=3)
    buffer.describe(StreamInfo("m", kind="markers", dtype="text"))

    buffer.take(Markers(["a", "b"], np.array([1.0, 2.0])))
    buffer.take(Markers(["c", "d"], np.array([3.0, 4.0])))

    assert buffer.since(0) == [(2.0, "b"), (3.0, "c"), (4.0, "d")]
    assert buffer.since(3.5) == [(4.0, "d")]
    assert buffer.n_total == 4


def test_only_the_newest_frame_is_kept() -> None:
    buffer = FrameBuffer()
    buffer.describe(StreamInfo("cam", kind="frames", dtype="uint8", sample_shape=(2, 3)))
    assert buffer.newest is None
    frames = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)

    buffer.take(Frames(frames, np.array([1.0, 2.0])))

    newest = buffer.newest
    assert newest is not None
    np.testing.assert_array_equal(newest.frame, frames[1])
    assert (newest.time, newest.number) == (2.0, 2)
    assert not np.shares_memory(newest.frame, frames)


@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_chunk_tells_no_age(n: int) -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)

    stream.chunks.put(signal(0, n))
    until(lambda: feed.state == "live")

    assert np.isnan(feed.age) == (n == 0)
    feed.close()


def test_old_samples_that_come_are_no_silence() -> None:
    stream, sink = Stream(), Kept()
    feed = Feed("amp.signal", stream.open, sink)
    assert np.isnan(feed.silence)

    late = signal(0, 5)
    stream.chunks.put(Signal(late.data, late.raw_timestamps - 100, index=0, info=INFO))
    until(lambda: feed.state == "live")

    assert feed.age > 90
    assert 0 <= feed.silence < 60
    feed.close()


@pytest.mark.parametrize("fails_in", ["describe", "take"])
def test_a_sink_that_fails_is_told_and_tried_again(
    fails_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    stream, sink = Stream(), Kept()

    def fail(_: object) -> None:
        raise MemoryError("no room for a picture")

    setattr(sink, fails_in, fail)
    stream.chunks.put(signal(0, 5))
    feed = Feed("amp.signal", stream.open, sink)
    try:
        until(lambda: feed.error == "MemoryError: no room for a picture")
        assert feed.state == "waiting"
        delattr(sink, fails_in)
        stream.chunks.put(signal(5, 5))
        until(lambda: feed.state == "live")
    finally:
        feed.close()

    assert sink.samples == [5, 6, 7, 8, 9]
    assert len(sink.infos) == 1
    assert stream.n_opened == stream.n_closed == 2
    assert "amp.signal: a mistake" in caplog.text

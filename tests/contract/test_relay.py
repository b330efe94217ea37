"""What a reader on another host may rely on, whatever happens between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.contract.relay_rig import Rig, Source, TextSource, until

from rigmesh.errors import StreamError, UnknownName
from rigmesh.streams import Cause, ClockModel, Frames, Gap, StreamInfo


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def source(rig: Rig) -> Source:
    return Source(rig).begin()


def places(n: int, epoch: int = 0, first: int = 0) -> list[tuple[int, int]]:
    return [(epoch, index) for index in range(first, first + n)]


def test_every_sample_arrives_with_its_index_epoch_and_stamp(rig: Rig, source: Source) -> None:
    source.send(95)

    with rig.reader() as seen:
        source.send(400)
        seen.wait(495)

    assert seen.places == places(495)
    assert seen.numbers == list(range(495))
    stamps = [s for chunk in seen.chunks for s in chunk.raw_timestamps.tolist()]
    assert stamps == [100.0 + number / 1000 for number in range(495)]
    assert seen.gaps == []


def test_the_description_arrives_whole_but_for_the_clock_which_is_named(
    rig: Rig, source: Source
) -> None:
    with rig.reader() as seen:
        until(lambda: seen.announced)

    said = seen.announced[0]
    assert said.info.same_format(source.info)
    assert said.info.name == "source.signal"
    assert said.info.clock_id
    assert (said.epoch, said.index, said.device_index) == (0, 0, 0)


def test_who_starts_now_gets_what_comes_from_now_on(rig: Rig, source: Source) -> None:
    source.send(100)
    with rig.reader(start="now") as seen:
        until(lambda: seen.announced)
        source.send(50)
        seen.wait(50)

    assert seen.places == places(50, first=100)
    assert seen.announced[0].index == 100


def test_texts_of_any_kind_arrive(rig: Rig) -> None:
    texts = ["plain", "", "λ → ⚡", "a\0b", "no UTF-8: \udcff", "x" * 100_000]
    marks = TextSource(rig).begin()
    with rig.reader("marks.out") as seen:
        marks.say(*texts)
        seen.wait(len(texts))

    assert [text for chunk in seen.chunks for text in chunk.data] == texts


def test_a_chunk_of_many_megabytes_arrives_in_pieces(rig: Rig) -> None:
    source = Source(rig, channels=1024, dtype="int16")
    source.capacity = 8000
    source.begin()
    with rig.reader() as seen:
        source.send(6000, at_once=6000)
        seen.wait(6000)

    assert seen.numbers == [number % 32767 for number in range(6000)]
    assert len(seen.chunks) >= 3


def test_a_sample_longer_than_a_message_arrives(rig: Rig) -> None:
    source = Source(rig)
    source.info = StreamInfo.frames("source.signal", shape=(2000, 2000, 3), sampling_rate=10.0)
    source.capacity = 4
    source.begin()
    frame = np.arange(12_000_000).astype(np.uint8).reshape(1, 2000, 2000, 3)
    with rig.reader() as seen:
        for stamp in (1.0, 2.0):
            source.writer.send(Frames(frame, np.array([stamp])))
        seen.wait(2)

    assert all((chunk.data == frame).all() for chunk in seen.chunks)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_samples_arrive_as_they_were(rig: Rig, source: Source, compression: str) -> None:
    pytest.importorskip("numcodecs")
    with rig.reader(compression=compression) as seen:
        source.send(1000, at_once=500)
        seen.wait(1000)

    assert seen.numbers == list(range(1000))


def test_a_clock_model_is_carried_before_the_samples_it_is_for(rig: Rig, source: Source) -> None:
    model = ClockModel(5.0, 1e-5, 3.0, 1e-3)
    with rig.reader() as seen:
        source.send(10)
        seen.wait(10)
        source.writer.set_clock(model)
        source.send(10)
        seen.wait(20)

    assert seen.chunks[0].clock.is_identity
    assert seen.chunks[-1].clock == model


# --- gaps and epochs -------------------------------------------------------------------------


def test_gaps_of_the_device_arrive_where_they_are(rig: Rig, source: Source) -> None:
    with rig.reader() as seen:
        source.send(20)
        source.lose(7)
        source.send(10)
        seen.wait(30)

    assert seen.gaps == [Gap(Cause.DEVICE, 0, 20, 7)]
    assert seen.places == places(30)


def test_a_gap_at_the_end_is_told_before_the_end(rig: Rig, source: Source) -> None:
    with rig.reader() as seen:
        source.send(20)
        source.lose(3)
        source.end()
        seen.wait_for_end()

    assert seen.n == 20
    assert seen.gaps == [Gap(Cause.DEVICE, 0, 20, 3)]


def test_another_epoch_begins_with_its_description(rig: Rig, source: Source) -> None:
    with rig.reader() as seen:
        source.send(50)
        source.begin()
        source.send(30)
        source.end()
        seen.wait_for_end()

    assert seen.places == places(50) + places(30, epoch=1)
    assert [(a.epoch, a.index, a.device_index) for a in seen.announced] == [(0, 0, 0), (1, 0, 50)]
    assert seen.gaps == []


def test_a_stream_nobody_gives_is_waited_for(rig: Rig) -> None:
    with rig.reader("later.signal", start="now") as seen:
        until(lambda: seen.reader.failure is not None)
        failure = seen.reader.failure
        late = Source(rig, "later.signal").begin()
        late.send(40)
        seen.wait(40)

    assert isinstance(failure, UnknownName)
    assert seen.places == places(40)


def test_a_run_that_is_over_is_passed_over_by_who_wants_the_next(rig: Rig, source: Source) -> None:
    source.send(100)
    source.end()
    with rig.reader(start="now", live=True) as seen:
        until(lambda: seen.reader.is_connected)
        source.forget()
        source.begin()
        source.send(50)
        seen.wait(50)

    assert seen.places == places(50, epoch=1)


def test_a_stream_that_goes_on_is_joined_now_also_by_who_waits_for_the_next_run(
    rig: Rig, source: Source
) -> None:
    source.send(1000)

    with rig.reader(start="now", live=True) as seen:
        until(lambda: seen.announced)
        source.send(10)
        seen.wait(10)

    assert seen.places == places(10, first=1000)


def test_too_many_readers_of_a_ring_are_refused_with_the_reason(rig: Rig, source: Source) -> None:
    bell = rig.transport.bell()
    readers = [rig.transport.reader(source.writer.segment.name, bell) for _ in range(32)]
    try:
        with rig.reader() as seen:
            until(lambda: seen.error is not None)
    finally:
        for reader in readers:
            reader.close()
        bell.close()

    assert isinstance(seen.error, StreamError)
    assert "32 readers" in str(seen.error)

"""Messages are read as they were written, by hand and by the generated class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import StreamFormatError, Unsupported
from rigmesh.relay.compression import Compressor, codec_of, decompress
from rigmesh.relay.wire import Data, Decoder, encode_data, encode_gaps, is_data, parts
from rigmesh.streams import IDENTITY, Cause, Chunk, ClockModel, Frames, Gap, Markers, Signal
from rigmesh.streams.info import DTYPES, StreamInfo
from rigmesh_proto.v1 import relay_pb2 as pb

NUMERIC = [dtype for dtype in DTYPES if dtype != "text"]
U64 = st.integers(0, 2**64 - 1)

gaps = st.builds(
    Gap,
    st.sampled_from(Cause),
    st.integers(0, 2**32 - 1),
    U64,
    U64,
    st.floats(allow_nan=False),
    st.booleans(),
)


@st.composite
def numeric_chunks(draw: st.DrawFn) -> tuple[Chunk, StreamInfo]:
    dtype = draw(st.sampled_from(NUMERIC))
    n = draw(st.integers(0, 40))
    if draw(st.booleans()):
        info = StreamInfo.signal("a.b", channels=draw(st.integers(1, 5)), sampling_rate=10.0)
        info = StreamInfo("a.b", "signal", dtype, info.sample_shape, 10.0)
        kind: type[Chunk] = Signal
    else:
        info = StreamInfo("a.b", "frames", dtype, (draw(st.integers(1, 3)), 2, 3), 10.0)
        kind = Frames
    size = n * info.n_channels * np.dtype(dtype).itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    data = np.frombuffer(raw, dtype).reshape(n, *info.sample_shape)
    stamps = np.frombuffer(draw(st.binary(min_size=8 * n, max_size=8 * n)))
    chunk = kind(
        data, stamps, index=draw(U64), epoch=draw(st.integers(0, 2**32 - 1)),
        gaps=tuple(draw(st.lists(gaps, max_size=3))), info=info,
    )  # fmt: skip
    return chunk, info


def decode_data(raw: bytes, info: StreamInfo, clock: ClockModel) -> Data:
    return Decoder(info).decode(raw, clock)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two arrays are the same, also where they are no numbers."""
    return bool(one.shape == other.shape and one.tobytes() == other.tobytes())


def assert_same(found: Chunk, chunk: Chunk) -> None:
    assert type(found) is type(chunk)
    assert (found.epoch, found.index, found.gaps) == (chunk.epoch, chunk.index, chunk.gaps)
    assert same_bits(found.raw_timestamps, chunk.raw_timestamps)
    if isinstance(chunk, Markers):
        assert found.data == chunk.data
    else:
        assert found.data.dtype == chunk.data.dtype
        assert same_bits(found.data, chunk.data)


@settings(deadline=None)
@given(numeric_chunks(), U64, U64)
def test_samples_of_every_kind_are_read_as_they_were_written(
    made: tuple[Chunk, StreamInfo], received: int, published: int
) -> None:
    chunk, info = made
    clock = ClockModel(1.0, 2.0, 3.0, 4.0)

    raw = encode_data(chunk, received, published)
    found = decode_data(raw, info, clock)

    assert is_data(raw)
    assert_same(found.chunk, chunk)
    assert (found.received, found.published) == (received, published)
    assert found.chunk.info is info
    assert found.chunk.clock is clock


@settings(deadline=None)
@given(numeric_chunks(), U64, U64)
def test_the_generated_class_reads_what_is_written_by_hand(
    made: tuple[Chunk, StreamInfo], received: int, published: int
) -> None:
    chunk, info = made

    message = pb.CarryResponse.FromString(encode_data(chunk, received, published))

    assert message.WhichOneof("what") == "data"
    data = message.data
    assert (data.epoch, data.index) == (chunk.epoch, chunk.index)
    assert (data.received, data.published) == (received, published)
    assert data.stamps == chunk.raw_timestamps.tobytes()
    assert data.samples == chunk.data.tobytes()
    assert data.size == len(data.samples)
    assert len(data.gaps) == len(chunk.gaps)
    # What it writes is shorter, and read all the same.
    assert_same(decode_data(message.SerializeToString(), info, IDENTITY).chunk, chunk)


@settings(deadline=None)
@given(numeric_chunks())
def test_stamps_and_samples_lie_where_every_processor_reads_them_fast(
    made: tuple[Chunk, StreamInfo],
) -> None:
    chunk, info = made

    found = decode_data(encode_data(chunk), info, IDENTITY).chunk

    assert found.raw_timestamps.flags.aligned
    assert found.data.flags.aligned
    assert not found.data.flags.writeable


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.just("no UTF-8: \udcff")),
    st.lists(gaps, max_size=3),
)
def test_texts_are_read_as_they_were_written(texts: list[str], lost: list[Gap]) -> None:
    info = StreamInfo.markers("a.b")
    chunk = Markers(texts, np.arange(float(len(texts))), index=5, epoch=2, gaps=tuple(lost))

    found = decode_data(encode_data(chunk, 1, 2), info, IDENTITY)

    assert_same(found.chunk, chunk)
    assert (found.received, found.published) == (1, 2)


@settings(deadline=None)
@given(st.lists(gaps, max_size=5))
def test_gaps_without_samples_are_read_as_they_were_written(lost: list[Gap]) -> None:
    for info in (StreamInfo.markers("a.b"), StreamInfo("a.b", sample_shape=(3,))):
        found = decode_data(encode_gaps(3, 77, lost), info, IDENTITY).chunk

        assert (found.epoch, found.index, len(found)) == (3, 77, 0)
        assert list(found.gaps) == lost


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_whatever_comes_is_refused_rather_than_believed(
    noise: bytes, at: int, is_text: bool
) -> None:
    info = StreamInfo.markers("a.b") if is_text else StreamInfo("a.b", sample_shape=(3,))
    chunk = Signal(np.zeros((4, 3)), np.zeros(4), gaps=(Gap(Cause.DEVICE, 0, 0, 1),))
    raw = encode_data(chunk)
    damaged = raw[:at] + noise + raw[at + len(noise) :]

    for message in (noise, b"\x0a" + noise, damaged, raw[:at]):
        try:
            found = decode_data(message, info, IDENTITY).chunk
        except StreamFormatError:
            continue
        assert len(found.data) == len(found.raw_timestamps)


def test_samples_that_do_not_fit_their_description_are_refused() -> None:
    raw = encode_data(Signal(np.zeros((4, 3)), np.zeros(4)))

    with pytest.raises(StreamFormatError, match="4 samples of 16 bytes came as 96 bytes"):
        decode_data(raw, StreamInfo("a.b", sample_shape=(2,)), IDENTITY)


@pytest.mark.parametrize("n", range(4))
def test_long_messages_travel_in_parts(n: int) -> None:
    message = bytes(range(256)) * (n * 2**20 // 64) + b"end"

    pieces = list(parts(message))

    if len(pieces) == 1:
        assert pieces == [message]
    else:
        read = [pb.CarryResponse.FromString(piece).part for piece in pieces]
        assert b"".join(part.data for part in read) == message
        assert [part.last for part in read] == [False] * (len(read) - 1) + [True]
        assert all(len(piece) < 8 * 2**20 for piece in pieces)


# --- compression -----------------------------------------------------------------------------


@pytest.fixture(params=["lz4", "zstd"])
def compressor(request: pytest.FixtureRequest) -> Compressor:
    pytest.importorskip("numcodecs")
    return Compressor(codec_of(request.param))


def test_smooth_samples_are_sent_in_fewer_bytes_and_come_out_the_same(
    compressor: Compressor,
) -> None:
    info = StreamInfo("a.b", dtype="int16", sample_shape=(32,))
    data = (1000 * np.sin(np.arange(320 * 32) / 500)).astype(np.int16).reshape(320, 32)
    chunk = Signal(data, np.arange(320.0), gaps=(Gap(Cause.DISK, 1, 2, 3),))

    raw = encode_data(chunk, compressor=compressor)
    found = decode_data(raw, info, IDENTITY).chunk

    assert len(raw) < 0.6 * len(encode_data(chunk))
    assert_same(found, chunk)
    # Read by the generated class, too.
    rewritten = pb.CarryResponse.FromString(raw).SerializeToString()
    assert_same(decode_data(rewritten, info, IDENTITY).chunk, chunk)


def test_noise_is_sent_as_it_is(compressor: Compressor) -> None:
    data = np.random.default_rng(0).integers(0, 256, (300, 4), np.uint8)
    chunk = Signal(data, np.arange(300.0))

    assert encode_data(chunk, compressor=compressor) == encode_data(chunk)


def test_what_promises_to_become_more_than_it_should_is_not_unpacked(
    compressor: Compressor,
) -> None:
    packed = compressor.compress(np.zeros(100_000))
    assert packed is not None

    for damaged, size in ((packed, 8), (packed[:-1], 800_000), (b"", 8), (packed[:10], 8)):
        with pytest.raises(StreamFormatError):
            decompress(memoryview(damaged), size)


def test_a_compression_that_is_not_known_is_refused() -> None:
    with pytest.raises(Unsupported, match="lz4, zstd"):
        codec_of("gzip")
    with pytest.raises(Unsupported, match="number 99"):
        Compressor(99)

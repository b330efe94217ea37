"""What crosses the network, written and read by hand where samples are.

A message of samples is a valid ``CarryResponse``, and the generated class reads it. That class
would copy samples three times on the way; here they are copied once, when a message is put
together, and are looked at where they lie in it when it is read. Every field before the samples is
written with a length that does not depend on its value, so that one `struct` holds all of them, and
both stamps and samples begin at a multiple of 8 bytes::

    bytes   0 … 4    CarryResponse.data and its length
    bytes   5 … 36   epoch, index, received, published
    bytes  37 … 42   size of the samples
    bytes  43 … 47   stamps and their length; then the stamps
    8 bytes          compression; samples and their length; then the samples
    the rest         gaps, if there are any
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from rigmesh.errors import StreamFormatError
from rigmesh.relay.compression import Compressor, decompress
from rigmesh.streams import Chunk, ClockModel, Frames, Gap, Markers, Signal, StreamInfo
from rigmesh.streams.wire import gap_from_wire, gap_to_wire
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = [
    "MOST_BYTES",
    "PART_BYTES",
    "Data",
    "Decoder",
    "clock_from_wire",
    "clock_to_wire",
    "encode_data",
    "encode_gaps",
    "is_data",
    "parts",
]

_HEAD = struct.Struct("<BIBIBQBQBQBIBBI")
_MIDDLE = struct.Struct("<BBBIB")
_HEAD_TAGS = (0x0A, 0x0D, 0x11, 0x19, 0x21, 0x28, 0x32)
_MIDDLE_TAGS = (0x38, 0x42)
_MORE = 0x80000000
"""Of the fourth byte of a length: that a fifth follows."""

MOST_BYTES = 2**28 - 2**10
"""That a length of four bytes can tell, in all."""


PART_BYTES = 6 * 2**20
"""Below what gRPC takes in one message."""


def _padded(n: int) -> int:
    """Return a length as the four bytes that protobuf could write it in, were it longer."""
    return n & 0x7F | (n & 0x3F80) << 1 | (n & 0x1FC000) << 2 | (n & 0xFE00000) << 3 | 0x00808080


def _unpadded(n: int) -> int:
    return n & 0x7F | n >> 1 & 0x3F80 | n >> 2 & 0x1FC000 | n >> 3 & 0xFE00000


@dataclass(slots=True)
class Data:
    """Samples as they came: a chunk, and when it was received and published there, in ns."""

    chunk: Chunk
    received: int
    published: int


def encode_data(
    chunk: Chunk, received: int = 0, published: int = 0, compressor: Compressor | None = None
) -> bytes:
    """Return the message of a chunk; its info and clock travel in messages of their own.

    Parameters
    ----------
    chunk : Chunk
        At most `MOST_BYTES`.
    received, published : int
        When it came in and was published, in ns of the sender's clock.
    compressor : Compressor
        Used where it makes samples smaller.
    """
    if isinstance(chunk, Markers):
        return _encode_texts(chunk, received, published)
    stamps, samples = chunk.raw_timestamps, chunk.data
    if not (samples.flags.c_contiguous and stamps.flags.c_contiguous):
        stamps, samples = np.ascontiguousarray(stamps), np.ascontiguousarray(samples)
    codec, body, size = 0, samples, samples.nbytes
    length, n_stamps = size, stamps.nbytes
    if compressor is not None:
        packed = compressor.compress(samples)
        if packed is not None:
            codec, body, length = compressor.codec, packed, len(packed)
    rest = _encode_rest(chunk.gaps) if chunk.gaps else b""
    # The head's own five bytes are not counted, the middle's eight are.
    total = _HEAD.size - 5 + n_stamps + _MIDDLE.size + length + len(rest)
    padded = _padded(size) | _MORE
    # fmt: off
    head = _HEAD.pack(
        0x0A, _padded(total), 0x0D, chunk.epoch, 0x11, chunk.index, 0x19, received,
        0x21, published, 0x28, padded, 0, 0x32, _padded(n_stamps),
    )
    # fmt: on
    middle = _MIDDLE.pack(0x38, codec, 0x42, _padded(length) | _MORE if codec else padded, 0)
    pieces: tuple[Any, ...] = head, stamps, middle, body, rest
    return b"".join(pieces)


def encode_gaps(epoch: int, index: int, gaps: Sequence[Gap]) -> bytes:
    """Return the message of gaps with no samples behind them."""
    data = pb.RelayedData(epoch=epoch, index=index, gaps=[gap_to_wire(gap) for gap in gaps])
    return pb.CarryResponse(data=data).SerializeToString()


def parts(message: bytes) -> Iterator[bytes]:
    """Yield a message, in pieces if it is too long for one."""
    if len(message) <= PART_BYTES:
        yield message
        return
    for start in range(0, len(message), PART_BYTES):
        stop = start + PART_BYTES
        part = pb.Part(data=message[start:stop], last=stop >= len(message))
        yield pb.CarryResponse(part=part).SerializeToString()


def is_data(raw: bytes) -> bool:
    """Whether a message, however it was written, is one of samples."""
    return raw[:1] == b"\x0a"


class Decoder:
    """Reads the messages of samples of one stream; they are views into the messages.

    Parameters
    ----------
    info : StreamInfo
        The stream.
    """

    def __init__(self, info: StreamInfo) -> None:
        self._info = info
        self._is_text = info.dtype == "text"
        # Asked for each message, these would take longer than all the rest.
        self._sample_bytes = info.sample_bytes
        self._n_values = info.n_channels
        self._dtype = np.dtype("u1" if self._is_text else info.dtype)
        self._kind = Frames if info.kind == "frames" else Signal

    def decode(self, raw: bytes, clock: ClockModel) -> Data:
        """Read a message.

        Parameters
        ----------
        raw : bytes
            The message.
        clock : ClockModel
            Of the chunk.

        Raises
        ------
        StreamFormatError
            If it is none, or does not fit the description.
        """
        if self._is_text or len(raw) < _HEAD.size:
            return self._decode_slowly(raw, clock)
        # fmt: off
        (t0, total, t1, epoch, t2, index, t3, received, t4, published, t5, size, end, t6,
         n_stamps) = _HEAD.unpack_from(raw)
        # fmt: on
        n_stamps = _unpadded(n_stamps)
        at = _HEAD.size + n_stamps
        if (
            (t0, t1, t2, t3, t4, t5, t6) != _HEAD_TAGS
            or end
            or n_stamps % 8
            or _unpadded(total) != len(raw) - 5
            or at + _MIDDLE.size > len(raw)
        ):
            return self._decode_slowly(raw, clock)
        t7, codec, t8, length, end = _MIDDLE.unpack_from(raw, at)
        begin = at + _MIDDLE.size
        stop = begin + _unpadded(length)
        if (t7, t8) != _MIDDLE_TAGS or end or stop > len(raw):
            return self._decode_slowly(raw, clock)
        gaps = _decode_rest(raw[stop:], self._info) if stop < len(raw) else ()
        stamps = np.frombuffer(raw, "<f8", n_stamps // 8, _HEAD.size)
        size = _unpadded(size)
        body = raw if not codec else decompress(memoryview(raw)[begin:stop], size)
        data = self._samples(body, 0 if codec else begin, size, len(stamps))
        chunk = self._kind(
            data, stamps, index=index, epoch=epoch, gaps=gaps, clock=clock, info=self._info
        )
        return Data(chunk, received, published)

    def _samples(
        self, body: bytes, offset: int, size: int, n_samples: int
    ) -> npt.NDArray[np.generic]:
        if size != n_samples * self._sample_bytes or offset + size > len(body):
            raise StreamFormatError(
                f"{self._info.name}: {n_samples} samples of {self._sample_bytes} bytes came as "
                f"{size} bytes"
            )
        flat = np.frombuffer(body, self._dtype, n_samples * self._n_values, offset)
        return flat.reshape(n_samples, *self._info.sample_shape)

    def _decode_slowly(self, raw: bytes, clock: ClockModel) -> Data:
        """Read a message that the generated class has written."""
        info = self._info
        try:
            data = pb.CarryResponse.FromString(raw).data
        except DecodeError as error:
            raise StreamFormatError(f"{info.name}: a message cannot be read: {error}") from error
        if len(data.stamps) % 8:
            raise StreamFormatError(f"{info.name}: {len(data.stamps)} bytes of stamps")
        stamps = np.frombuffer(data.stamps, "<f8")
        chunk: Chunk
        if self._is_text:
            texts = [text.decode("utf-8", "surrogateescape") for text in data.texts]
            if len(texts) != len(stamps):
                raise StreamFormatError(f"{info.name}: {len(texts)} texts, {len(stamps)} stamps")
            chunk = Markers(texts, stamps)
        else:
            body = data.samples
            if data.compression:
                body = decompress(memoryview(body), data.size)
            chunk = self._kind(self._samples(body, 0, len(body), len(stamps)), stamps)
        chunk.index, chunk.epoch = data.index, data.epoch
        chunk.gaps, chunk.clock, chunk.info = _decode_gaps(data), clock, info
        return Data(chunk, data.received, data.published)


def _encode_texts(chunk: Markers, received: int, published: int) -> bytes:
    data = pb.RelayedData(
        epoch=chunk.epoch,
        index=chunk.index,
        received=received,
        published=published,
        stamps=np.ascontiguousarray(chunk.raw_timestamps, "<f8").tobytes(),
        # Surrogates stand for bytes that were no UTF-8 when the text came in.
        texts=[text.encode("utf-8", "surrogateescape") for text in chunk.data],
        gaps=[gap_to_wire(gap) for gap in chunk.gaps],
    )
    return pb.CarryResponse(data=data).SerializeToString()


def _encode_rest(gaps: Sequence[Gap]) -> bytes:
    return pb.RelayedData(gaps=[gap_to_wire(gap) for gap in gaps]).SerializeToString()


def _decode_rest(rest: bytes, info: StreamInfo) -> tuple[Gap, ...]:
    try:
        return _decode_gaps(pb.RelayedData.FromString(rest))
    except DecodeError as error:
        raise StreamFormatError(f"{info.name}: gaps that cannot be read: {error}") from error


def _decode_gaps(data: pb.RelayedData) -> tuple[Gap, ...]:
    try:
        return tuple(gap_from_wire(gap) for gap in data.gaps)
    except ValueError as error:
        raise StreamFormatError(f"a gap of a cause that is not known here: {error}") from error


def clock_to_wire(clock: ClockModel) -> pb.StreamClock:
    """Return the message of a clock model."""
    return pb.StreamClock(
        offset=clock.offset,
        drift=clock.drift,
        reference=clock.reference,
        uncertainty=clock.uncertainty,
    )


def clock_from_wire(message: pb.StreamClock) -> ClockModel:
    """Read a clock model."""
    return ClockModel(message.offset, message.drift, message.reference, message.uncertainty)

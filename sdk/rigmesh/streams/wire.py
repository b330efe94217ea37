"""Descriptions, gaps and chunks as protobuf."""

from __future__ import annotations

import numpy as np

from rigmesh.streams.chunk import Chunk, Frames, Markers, Signal
from rigmesh.streams.clock import IDENTITY, ClockModel
from rigmesh.streams.gaps import Cause, Gap
from rigmesh.streams.info import ChannelInfo, StreamInfo
from rigmesh_proto.v1 import stream_pb2 as pb

__all__ = [
    "chunk_from_wire",
    "chunk_to_wire",
    "gap_from_wire",
    "gap_to_wire",
    "info_from_wire",
    "info_to_wire",
]


def info_to_wire(info: StreamInfo) -> pb.StreamInfo:
    """Return the message of a description."""
    return pb.StreamInfo(
        name=info.name,
        kind=info.kind,
        dtype=info.dtype,
        sample_shape=info.sample_shape,
        sampling_rate=info.sampling_rate,
        channels=[pb.ChannelInfo(name=c.name, unit=c.unit, type=c.type) for c in info.channels],
        stype=info.stype,
        source_id=info.source_id,
        clock_id=info.clock_id,
        description=info.description,
    )


def info_from_wire(message: pb.StreamInfo) -> StreamInfo:
    """Read a description.

    Raises
    ------
    StreamFormatError
        If it contradicts itself.
    """
    return StreamInfo(
        name=message.name,
        kind=message.kind,
        dtype=message.dtype,
        sample_shape=tuple(message.sample_shape),
        sampling_rate=message.sampling_rate,
        channels=tuple(ChannelInfo(c.name, c.unit, c.type) for c in message.channels),
        stype=message.stype,
        source_id=message.source_id,
        clock_id=message.clock_id,
        description=message.description,
    )


def gap_to_wire(gap: Gap) -> pb.Gap:
    """Return the message of a gap."""
    return pb.Gap(
        cause=gap.cause.value,
        epoch=gap.epoch,
        index=gap.index,
        count=gap.count,
        duration=gap.duration,
        exact=gap.exact,
    )


def gap_from_wire(message: pb.Gap) -> Gap:
    """Read a gap."""
    return Gap(
        Cause(message.cause),
        message.epoch,
        message.index,
        message.count,
        message.duration,
        message.exact,
    )


def chunk_to_wire(chunk: Chunk, stream: str) -> pb.Chunk:
    """Return the message of a chunk."""
    message = pb.Chunk(
        stream=stream,
        epoch=chunk.epoch,
        index=chunk.index,
        n_samples=len(chunk),
        timestamps=np.ascontiguousarray(chunk.raw_timestamps, "<f8").tobytes(),
        gaps=[gap_to_wire(gap) for gap in chunk.gaps],
        clock_offset=chunk.clock.offset,
    )
    if isinstance(chunk, Markers):
        message.texts.extend(chunk.data)
    else:
        message.data = np.ascontiguousarray(chunk.data).tobytes()
    return message


def chunk_from_wire(message: pb.Chunk, info: StreamInfo) -> Chunk:
    """Read a chunk of the stream that `info` describes.

    Raises
    ------
    ValueError
        If the bytes are not that many samples.
    """
    stamps = np.frombuffer(message.timestamps, "<f8")
    clock = ClockModel(message.clock_offset) if message.clock_offset else IDENTITY
    gaps = tuple(gap_from_wire(gap) for gap in message.gaps)
    if info.dtype == "text":
        return Markers(
            list(message.texts), stamps, index=message.index, epoch=message.epoch, gaps=gaps,
            clock=clock, info=info,
        )  # fmt: skip
    data = np.frombuffer(message.data, np.dtype(info.dtype).newbyteorder("<"))
    kind = Frames if info.kind == "frames" else Signal
    return kind(
        data.reshape(message.n_samples, *info.sample_shape), stamps, index=message.index,
        epoch=message.epoch, gaps=gaps, clock=clock, info=info,
    )  # fmt: skip

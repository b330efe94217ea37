"""What a stream is: its description, its chunks, its gaps and its clock. No input or output."""

from rigmesh.streams.chunk import Chunk, Frames, Markers, Signal
from rigmesh.streams.clock import IDENTITY, ClockModel, clock_id, local_clock
from rigmesh.streams.gaps import Cause, Gap
from rigmesh.streams.info import ChannelInfo, StreamInfo
from rigmesh.streams.stamps import rising

__all__ = [
    "IDENTITY",
    "Cause",
    "ChannelInfo",
    "Chunk",
    "ClockModel",
    "Frames",
    "Gap",
    "Markers",
    "Signal",
    "StreamInfo",
    "clock_id",
    "local_clock",
    "rising",
]

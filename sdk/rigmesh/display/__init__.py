"""What windows, pages and pictures share: threads that read streams, and what they keep of them."""

from rigmesh.display.feeds import Feed, Reader, Sink
from rigmesh.display.frame_buffer import FrameBuffer, NewestFrame
from rigmesh.display.marker_buffer import MarkerBuffer
from rigmesh.display.priority import give_way
from rigmesh.display.readers import graph_reader
from rigmesh.display.signal_buffer import ColumnCache, SignalBuffer

__all__ = [
    "ColumnCache",
    "Feed",
    "FrameBuffer",
    "MarkerBuffer",
    "NewestFrame",
    "Reader",
    "SignalBuffer",
    "Sink",
    "give_way",
    "graph_reader",
]

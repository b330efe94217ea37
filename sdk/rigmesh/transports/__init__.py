"""How chunks travel: rings in memory and in POSIX shared memory, and their conformance tests."""

from rigmesh.transports.base import ReaderCounters, Receiver, Sender, StartAt, WriterCounters
from rigmesh.transports.bell import LOOK_EVERY, Bell, LocalBell, NoBell, SharedBell
from rigmesh.transports.layout import RingState
from rigmesh.transports.memory import MemoryTransport
from rigmesh.transports.reader import RingReader, Window
from rigmesh.transports.ring import capacity_for
from rigmesh.transports.shm import (
    ShmTransport,
    check_platform,
    declare_lost,
    position_of,
    process_token,
    sweep,
    token_is_alive,
    unlink,
)
from rigmesh.transports.writer import RingWriter

__all__ = [
    "LOOK_EVERY",
    "Bell",
    "LocalBell",
    "MemoryTransport",
    "NoBell",
    "ReaderCounters",
    "Receiver",
    "RingReader",
    "RingState",
    "RingWriter",
    "Sender",
    "SharedBell",
    "ShmTransport",
    "StartAt",
    "Window",
    "WriterCounters",
    "capacity_for",
    "check_platform",
    "declare_lost",
    "position_of",
    "process_token",
    "sweep",
    "token_is_alive",
    "unlink",
]

"""A page of shared memory in which a group keeps its heartbeat and counters.

The daemon reads it without asking, also when the group hangs or is dead.
"""

from __future__ import annotations

from rigmesh.errors import StreamError
from rigmesh.transports.segment import SharedSegment
from rigmesh.transports.writer import WRITER_LOCK
from rigmesh_proto.v1.group_pb2 import GroupPage

__all__ = ["PageReader", "PageWriter", "page_name"]

_SIZE = 256 * 1024
_CHANGES, _LENGTH, _AT = 0, 1, 16


def page_name(session: str, process: str) -> str:
    """Return where the page of a process lies."""
    return f"/rigmesh-{session}-page.{process}"


class PageWriter:
    """The group's side."""

    def __init__(self, session: str, process: str, *, mode: int = 0o600, gid: int = -1) -> None:
        name = page_name(session, process)
        self._segment = SharedSegment.create(name, _SIZE, mode=mode, gid=gid)
        self._segment.try_lock(WRITER_LOCK)
        self._words = self._segment.buffer.cast("Q")

    def write(self, page: GroupPage) -> None:
        """Publish the counters; readers never see half of them."""
        raw = page.SerializeToString()
        if len(raw) > _SIZE - _AT:
            raise StreamError(f"the counters of this group take {len(raw)} bytes, too many")
        words = self._words
        words[_CHANGES] += 1  # odd: being written
        words[_LENGTH] = len(raw)
        self._segment.buffer[_AT : _AT + len(raw)] = raw
        words[_CHANGES] += 1

    def close(self) -> None:
        """Remove the page."""
        self._words.release()
        self._segment.unlink()
        self._segment.close()


class PageReader:
    """The daemon's side."""

    def __init__(self, session: str, process: str) -> None:
        self._segment = SharedSegment.attach(page_name(session, process))
        self._words = self._segment.buffer.cast("Q")

    def read(self) -> GroupPage | None:
        """Return the counters, or None if they are being written over and over."""
        words = self._words
        for _ in range(100):
            before = words[_CHANGES]
            raw = bytes(self._segment.buffer[_AT : _AT + words[_LENGTH]])
            if before % 2 == 0 and words[_CHANGES] == before:
                return GroupPage.FromString(raw)
        return None

    def close(self) -> None:
        """Let go of it, and remove what a dead group left."""
        self._words.release()
        self._segment.unlink()
        self._segment.close()

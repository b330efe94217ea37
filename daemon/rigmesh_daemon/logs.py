"""Log records of every process, kept and handed to who watches."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from rigmesh_proto.v1.control_pb2 import LogRecord

__all__ = ["LogStore"]

_KEPT = 2000
_LONGEST = 16 * 1024

_log = logging.getLogger(__name__)


class LogStore:
    """The last records, and a function that is told of each new one."""

    def __init__(self, tell: Callable[[LogRecord], None]) -> None:
        self._tell = tell
        self._records: deque[LogRecord] = deque(maxlen=_KEPT)

    def add(self, record: LogRecord) -> None:
        """Keep a record."""
        record.message = _harmless(record.message)
        self._records.append(record)
        level = logging.getLevelName(record.level)
        if isinstance(level, int) and level >= logging.WARNING:
            _log.log(level, "[%s] %s", record.node or record.process, record.message)
        self._tell(record)

    def add_output(self, process: str, line: str) -> None:
        """Keep a line that a process printed."""
        self.add(
            LogRecord(
                time=time.time(), level="INFO", process=process, logger="stdout", message=line
            )
        )

    @property
    def records(self) -> list[LogRecord]:
        """The last records, oldest first."""
        return list(self._records)


def _harmless(text: str) -> str:
    """Keep a hostile stream name from colouring or flooding somebody's terminal."""
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)

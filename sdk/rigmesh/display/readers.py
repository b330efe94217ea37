"""Where the streams of a graph are read, without a manager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rigmesh.display.feeds import Reader
from rigmesh.errors import DaemonUnavailable

if TYPE_CHECKING:
    from rigmesh.transports import StartAt

__all__ = ["graph_reader"]


def graph_reader(where: str, stream: str, *, start: StartAt = "now") -> Callable[[], Reader]:
    """Return what opens a reader of a graph's stream, for a `Feed`.

    Parameters
    ----------
    where : str
        The socket of the daemon on this machine, or the address of another one that this user
        has logged in to (``name:port``).
    stream : str
        ``node.port``.
    start : int, "now" or "oldest"
        Where to begin.
    """
    if "/" not in where:
        return lambda: _remote(where, stream, start)
    return lambda: _Local(Path(where), stream, start)


def _remote(address: str, stream: str, start: StartAt) -> Reader:
    from rigmesh.credentials import load_credentials
    from rigmesh.relay import RemoteStreamReader

    return RemoteStreamReader(load_credentials(address), stream, start=start, lossless=False)


class _Local:
    """A reader with a connection of its own: one that hangs up frees both."""

    def __init__(self, socket: Path, stream: str, start: StartAt) -> None:
        from rigmesh.client.retry import PatientConnection
        from rigmesh.client.stream import StreamReader
        from rigmesh.transports import LOOK_EVERY

        if not socket.exists():  # gRPC would look for it for ten seconds; who reads asks again
            raise DaemonUnavailable(f"no daemon answers on {socket}")
        self._connection = PatientConnection(socket)
        self._reader = StreamReader(self._connection, stream, start=start, look_every=LOOK_EVERY)
        self.read = self._reader.read

    def close(self) -> None:
        self._reader.close()
        self._connection.close()

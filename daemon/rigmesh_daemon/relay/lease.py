"""What the daemon says of a stream: where its rings lie, for as long as we listen."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from rigmesh.errors import DaemonUnavailable, RigmeshError
from rigmesh.rpc import CHANNEL_OPTIONS, FAILURE_KEY, error_of
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.control_pb2 import Failure
from rigmesh_proto.v1.control_pb2_grpc import ControlServiceStub
from rigmesh_proto.v1.stream_pb2 import Ring

__all__ = ["DaemonLink", "Lease"]

_log = logging.getLogger(__name__)


class DaemonLink:
    """The connection to our own daemon.

    Parameters
    ----------
    socket : Path
        The daemon's.
    """

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
        self._stub = ControlServiceStub(self._channel)

    def lease(self, stream: str, changed: Callable[[], None]) -> Lease:
        """Have a stream published for as long as the lease is held."""
        request = pb.SubscribeRequest(stream=stream, reader="relay")
        return Lease(self._stub.Subscribe(request), stream, changed)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


class Lease:
    """Follows a stream's rings.

    Parameters
    ----------
    answers : grpc.Call
        The daemon's, of `Subscribe`.
    stream : str
        As it was asked for.
    changed : callable
        Called from another thread when there is something new.

    Attributes
    ----------
    session : str
        Whose rings they are.
    ended : bool
        Whether no other ring follows.
    failure : RigmeshError or None
        Why the daemon does not say more.
    published : threading.Event
        Set once whatever the stream gives goes into a ring, or that has failed.
    """

    def __init__(self, answers: Any, stream: str, changed: Callable[[], None]) -> None:
        self.stream = stream
        self.session = ""
        self.ended = False
        self.failure: RigmeshError | None = None
        self.published = threading.Event()
        self._rings: deque[Ring] = deque()
        self._answers = answers
        self._changed = changed
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name=f"lease {stream}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Return how many rings are waiting."""
        return len(self._rings)

    def pop(self) -> Ring | None:
        """Return the next ring."""
        return self._rings.popleft() if self._rings else None

    def close(self) -> None:
        """Give the stream back."""
        self._closed = True
        self._answers.cancel()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _listen(self) -> None:
        try:
            self._answers.initial_metadata()
            self.published.set()
            for answer in self._answers:
                self.session = answer.session or self.session
                if answer.HasField("ring"):
                    self._rings.append(answer.ring)
                else:
                    self.ended = True
                self._changed()
        except grpc.RpcError as error:
            if not self._closed:
                self.failure = _translate(error, self.stream)
                _log.debug("%s: %s", self.stream, self.failure)
                self._changed()
        finally:
            self.published.set()


def _translate(error: grpc.RpcError, stream: str) -> RigmeshError:
    if isinstance(error, grpc.Call):
        for key, value in error.trailing_metadata() or ():
            if key == FAILURE_KEY and isinstance(value, bytes):
                return error_of(Failure.FromString(value))
    return DaemonUnavailable(f"{stream}: the daemon of this host is gone")

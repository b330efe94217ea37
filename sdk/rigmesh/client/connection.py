"""A connection to one daemon: calls that raise rigmesh's own errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from rigmesh.errors import DaemonUnavailable, RigmeshError, WaitTimeout
from rigmesh.rpc import CHANNEL_OPTIONS, FAILURE_KEY, error_of
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.control_pb2 import Failure
from rigmesh_proto.v1.control_pb2_grpc import ControlServiceStub

__all__ = ["Connection"]

Response = TypeVar("Response")

_CONNECT_WITHIN = 10.0


class Connection:
    """A synchronous connection over a Unix socket.

    Parameters
    ----------
    socket : Path
        The daemon's.

    Raises
    ------
    DaemonUnavailable
        If no daemon answers there.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=CHANNEL_OPTIONS)
        self.stub = ControlServiceStub(self._channel)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=_CONNECT_WITHIN)
        except grpc.FutureTimeoutError as error:
            self._channel.close()
            raise DaemonUnavailable(f"no daemon answers on {socket}") from error

    def call(
        self, method: Callable[..., Response], request: Any, *, timeout: float | None = 60.0
    ) -> Response:
        """Call an RPC.

        Raises
        ------
        RigmeshError
            What the daemon raised, by its class.
        """
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            failure = self._translate(error)
        raise failure

    @contextmanager
    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Iterator[Any]]:
        """Call an RPC that answers with a stream; it is cancelled on leaving."""
        call = method(request)
        try:
            yield self._messages(call)
        finally:
            call.cancel()

    def status(self) -> pb.Status:
        """Return the state of everything."""
        return self.call(self.stub.GetStatus, pb.GetStatusRequest()).status

    def close(self) -> None:
        """Hang up."""
        self._channel.close()

    def _messages(self, call: Any) -> Iterator[Any]:
        try:
            yield from call
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() == grpc.StatusCode.CANCELLED:
                return
            failure = self._translate(error)
        else:
            return
        raise failure

    def _translate(self, error: grpc.RpcError) -> RigmeshError:
        """Return the error that the daemon raised, or what a broken connection means."""
        if not isinstance(error, grpc.Call):
            return DaemonUnavailable(f"the daemon on {self.socket}: {error}")
        for key, value in error.trailing_metadata() or ():
            if key == FAILURE_KEY and isinstance(value, bytes):
                return error_of(Failure.FromString(value))
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return WaitTimeout(f"the daemon on {self.socket} did not answer in time")
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return DaemonUnavailable(f"the daemon on {self.socket} is gone: {error.details()}")
        return DaemonUnavailable(f"{error.code().name}: {error.details()}")

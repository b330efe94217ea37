"""A connection to one daemon: calls that raise rigmesh's own errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from rigmesh.credentials import Credentials
from rigmesh.errors import DaemonError, DaemonUnavailable, NotPermitted, RigmeshError, WaitTimeout
from rigmesh.names import operator
from rigmesh.rpc import CHANNEL_OPTIONS, FAILURE_KEY, OPERATOR_KEY, error_of
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.control_pb2 import Failure
from rigmesh_proto.v1.control_pb2_grpc import ControlServiceStub

__all__ = ["Connection"]

Response = TypeVar("Response")

_CONNECT_WITHIN = 10.0
_ASK_AFTER = 1.0
"""Seconds after which we look why a machine does not answer."""


class Connection:
    """A synchronous connection to a daemon on this machine or another one.

    After the daemon was away, calls work again within a second of its return; what was under way
    raised `DaemonUnavailable`.

    Parameters
    ----------
    target : Path or Credentials
        The Unix socket of a daemon, or what ``rigmesh login`` has stored of another machine.

    Raises
    ------
    DaemonUnavailable
        If no daemon answers there.
    NotPermitted
        If it is not the host that was logged in to.
    """

    def __init__(self, target: Path | Credentials) -> None:
        self.target = target
        self._who = ((OPERATOR_KEY, operator()),)
        if isinstance(target, Credentials):
            self.where = target.address
            self._channel = target.channel()
        else:
            self.where = str(target)
            self._channel = grpc.insecure_channel(f"unix:{target}", options=CHANNEL_OPTIONS)
        self.stub = ControlServiceStub(self._channel)
        try:
            self._await_ready()
        except BaseException:
            self._channel.close()
            raise

    @property
    def is_remote(self) -> bool:
        """Whether the daemon is on another machine."""
        return isinstance(self.target, Credentials)

    @property
    def socket(self) -> Path:
        """The daemon's Unix socket.

        Raises
        ------
        NotPermitted
            If it is on another machine.
        """
        if isinstance(self.target, Credentials):
            raise NotPermitted(
                f"{self.where} is another machine: windows and classes of one's own run on this one"
            )
        return self.target

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
            return method(request, timeout=timeout, metadata=self._who)
        except grpc.RpcError as error:
            failure = self._translate(error)
        raise failure

    @contextmanager
    def stream(self, method: Callable[..., Any], request: Any) -> Iterator[Iterator[Any]]:
        """Call an RPC that answers with a stream; it is cancelled on leaving."""
        call = method(request, metadata=self._who)
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

    def _await_ready(self) -> None:
        ready = grpc.channel_ready_future(self._channel)
        deadline = time.monotonic() + _CONNECT_WITHIN
        first = _ASK_AFTER if self.is_remote else _CONNECT_WITHIN
        try:
            ready.result(timeout=first)
            return
        except grpc.FutureTimeoutError:
            fault, is_final = self._fault()
            if not is_final:
                left = max(0.0, deadline - time.monotonic()) if self.is_remote else 0.0
                try:
                    ready.result(timeout=left)
                    return
                except grpc.FutureTimeoutError:
                    pass
        finally:
            ready.cancel()
        why = f": {fault}" if fault else ""
        if is_final:
            raise NotPermitted(fault)
        raise DaemonUnavailable(f"no daemon answers on {self.where}{why}")

    def _fault(self) -> tuple[str, bool]:
        return self.target.fault() if isinstance(self.target, Credentials) else ("", False)

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
            return DaemonUnavailable(f"the daemon on {self.where}: {error}")
        for key, value in error.trailing_metadata() or ():
            if key == FAILURE_KEY and isinstance(value, bytes):
                return error_of(Failure.FromString(value))
        code, details = error.code(), error.details()
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return WaitTimeout(f"the daemon on {self.where} did not answer in time")
        if code == grpc.StatusCode.UNAVAILABLE:
            return DaemonUnavailable(f"the daemon on {self.where} is gone: {details}")
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            return NotPermitted(f"the daemon on {self.where} refuses: {details}")
        if code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT):
            return DaemonError(f"the daemon on {self.where} refuses: {details}")
        if code == grpc.StatusCode.INTERNAL:
            return DaemonError(f"the daemon on {self.where} failed: {details}")
        return DaemonUnavailable(f"{code.name}: {details}")

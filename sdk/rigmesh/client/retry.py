"""Going on after the daemon was away for a while: it crashed, and was started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc

from rigmesh.client.connection import Connection
from rigmesh.errors import DaemonUnavailable, RigmeshError
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["BACK_WITHIN", "PatientConnection", "connect"]

Response = TypeVar("Response")

BACK_WITHIN = 10.0
"""How long a daemon may be away, in seconds: a service is started again after one."""

_AGAIN_AFTER = 0.05
_ENDED_AFTER = 0.5
"""A socket that is not there for so long was removed by a daemon that ended in good order."""

_REPEATABLE = (
    pb.GetStatusRequest,
    pb.ListNodeTypesRequest,
    pb.GetStatesRequest,
    pb.GetLatenciesRequest,
    pb.GetGraphRequest,
    pb.StopRequest,
)
"""Done twice, these are as if done once."""


class _Gone(DaemonUnavailable):
    """The connection broke, or there was none."""

    was_sent = True


class PatientConnection(Connection):
    """A connection to a daemon that may be restarted: calls wait until it is back.

    A call that was on its way when the daemon died is made again only if that cannot do harm. One
    that never left is always made again.

    Raises
    ------
    DaemonUnavailable
        If no daemon answers.
    """

    _has_given_up = False

    def call(
        self, method: Callable[..., Response], request: Any, *, timeout: float | None = 60.0
    ) -> Response:
        """Call an RPC.

        Raises
        ------
        RigmeshError
            What the daemon raised, by its class.
        DaemonUnavailable
            If it does not come back, or died during a call that may have been done or not.
        """
        since = time.monotonic()
        while True:
            try:
                answer = super().call(method, request, timeout=timeout)
            except _Gone as error:
                gone = error
            else:
                self._has_given_up = False
                return answer
            if gone.was_sent and not isinstance(request, _REPEATABLE):
                asked = type(request).__name__.removesuffix("Request")
                raise DaemonUnavailable(
                    f"{gone}; it was asked for {asked}, and may have done it or not: see "
                    "`manager.status()` once it is back, and ask again if need be"
                ) from gone
            if self._is_over(time.monotonic() - since):
                self._has_given_up = True
                raise DaemonUnavailable(str(gone)) from gone
            time.sleep(_AGAIN_AFTER)

    def _is_over(self, away: float) -> bool:
        """Whether waiting makes no more sense; who has waited in vain once does not wait again."""
        if self._has_given_up or away > BACK_WITHIN:
            return True
        target = self.target
        return isinstance(target, Path) and away > _ENDED_AFTER and not target.exists()

    def _translate(self, error: grpc.RpcError) -> RigmeshError:
        failure = super()._translate(error)
        if (
            isinstance(failure, DaemonUnavailable)
            and isinstance(error, grpc.Call)
            and error.code() == grpc.StatusCode.UNAVAILABLE
        ):
            gone = _Gone(str(failure))
            # gRPC does not tell otherwise; if it says something else some day we are too careful.
            gone.was_sent = "failed to connect" not in (error.details() or "").lower()
            return gone
        return failure


def connect(socket: Path, *, is_private: bool) -> Connection:
    """Connect to a daemon; nobody starts a private one again."""
    return Connection(socket) if is_private else PatientConnection(socket)

"""RPC as rigmesh uses it: channel options, and errors that survive the wire, in one table."""

from __future__ import annotations

import traceback

from rigmesh import errors
from rigmesh_proto.v1.control_pb2 import Failure

__all__ = [
    "CHANNEL_OPTIONS",
    "FAILURE_KEY",
    "OPERATOR_KEY",
    "SERVER_OPTIONS",
    "error_of",
    "failure_of",
    "status_of",
]

_MAX_MESSAGE = 8 * 2**20

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    ("grpc.enable_http_proxy", 0),
]
SERVER_OPTIONS: list[tuple[str, int]] = [
    *CHANNEL_OPTIONS,
    # By default a second server may bind the same port, in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 256),
]

FAILURE_KEY = "rigmesh-failure-bin"
"""Trailing metadata that carries a serialised Failure."""

OPERATOR_KEY = "rigmesh-operator"
"""Metadata of a call that says who makes it, as ``user@host``."""

_STATUS: list[tuple[type[Exception], str]] = [
    (errors.UnknownName, "NOT_FOUND"),
    (errors.StreamNotFound, "NOT_FOUND"),
    (errors.NameTaken, "ALREADY_EXISTS"),
    (errors.GraphError, "INVALID_ARGUMENT"),
    (errors.NotOwner, "FAILED_PRECONDITION"),
    (errors.NotPermitted, "PERMISSION_DENIED"),
    (errors.OutOfMemory, "RESOURCE_EXHAUSTED"),
    (errors.StateError, "FAILED_PRECONDITION"),
    (errors.WaitTimeout, "DEADLINE_EXCEEDED"),
    (errors.RigmeshError, "ABORTED"),
]


def status_of(error: Exception) -> str:
    """Return the gRPC status of an error."""
    for kind, code in _STATUS:
        if isinstance(error, kind):
            return code
    return "INTERNAL"


def failure_of(error: BaseException, *, host: str = "") -> Failure:
    """Return what crosses the wire of an error."""
    failure = Failure(
        error=type(error).__name__, message=str(error.args[0] if error.args else error)
    )
    if isinstance(error, errors.NodeError):
        failure.node, failure.hook = error.node, error.hook
        failure.traceback = error.remote_traceback
        failure.host = error.host or host
    elif not isinstance(error, errors.RigmeshError):
        failure.traceback = "".join(traceback.format_exception(error))
        failure.host = host
    return failure


def error_of(failure: Failure) -> errors.RigmeshError:
    """Return the error that crossed the wire: of the class it had, if this side knows it."""
    kind = getattr(errors, failure.error, None)
    if kind is errors.NodeError:
        return errors.NodeError(
            failure.message,
            host=failure.host,
            node=failure.node,
            hook=failure.hook,
            traceback=failure.traceback,
        )
    if isinstance(kind, type) and issubclass(kind, errors.RigmeshError):
        return kind(failure.message)
    where = f" (on {failure.host})" if failure.host else ""
    return errors.DaemonError(f"{failure.error}: {failure.message}{where}\n{failure.traceback}")

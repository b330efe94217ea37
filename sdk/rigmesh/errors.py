"""Every error of rigmesh, in one tree.

::

    RigmeshError
    ├── GraphError (ValueError)            a graph that cannot run as written
    │   ├── UnknownName (KeyError)         no such node type, node, port, parameter, stream, host
    │   ├── NameTaken                      a second node, group or stream of that name
    │   ├── ParameterError                 a parameter's value is not acceptable
    │   └── PortMismatch (TypeError)       the two ends of a link do not fit
    ├── StreamError
    │   ├── StreamNotFound (LookupError)   nobody publishes it (yet)
    │   ├── StreamLost (ConnectionError)   its writer is gone
    │   ├── StreamFormatError (ValueError) a chunk that does not fit its description
    │   ├── SecondWriter                   a ring has one writer
    │   └── Overrun (LookupError)          the samples asked for are overwritten
    ├── OutOfMemory (MemoryError)          /dev/shm or its configured share is full
    ├── RecordingError (OSError)           a recording cannot start, go on or be read
    ├── NodeError (RuntimeError)           a hook of a node raised; carries where and its traceback
    ├── StateError (RuntimeError)          not possible in the present state
    ├── WaitTimeout (TimeoutError)         something did not happen within its time
    ├── DaemonError (RuntimeError)         the daemon failed, or refused
    │   ├── DaemonUnavailable (ConnectionError)
    │   └── NotPermitted (PermissionError)
    │       └── NotOwner               the graph is another operator's
    └── Unsupported (NotImplementedError)  not on this platform, or a library is missing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DaemonError",
    "DaemonUnavailable",
    "GraphError",
    "NameTaken",
    "NodeError",
    "NotPermitted",
    "OutOfMemory",
    "Overrun",
    "ParameterError",
    "PortMismatch",
    "RecordingError",
    "RigmeshError",
    "SecondWriter",
    "StateError",
    "StreamError",
    "StreamFormatError",
    "StreamLost",
    "StreamNotFound",
    "UnknownName",
    "Unsupported",
    "WaitTimeout",
    "near_miss",
]


class RigmeshError(Exception):
    """Base of every error raised on purpose by rigmesh."""

    def __str__(self) -> str:
        # KeyError and friends would print their argument's repr; ours are sentences.
        return str(self.args[0]) if self.args else type(self).__name__


class GraphError(RigmeshError, ValueError):
    """A graph cannot run as it is written."""


class UnknownName(GraphError, KeyError):
    """A name nobody knows: of a node type, node, port, parameter, stream or host."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> UnknownName:
        """Build the error for `name`, which is not one of `known`."""
        known = sorted(known)
        hint = near_miss(name, known)
        listed = ", ".join(known) if known else "none"
        if len(known) > 12:
            listed = ", ".join(known[:12]) + ", …"
        return cls(f"no {what} {name!r}{hint}; known: {listed}")


class NameTaken(GraphError):
    """A name that is in use already."""


class ParameterError(GraphError):
    """A parameter's value is not acceptable."""


class PortMismatch(GraphError, TypeError):
    """The two ends of a link do not fit."""


class StreamError(RigmeshError):
    """Something is wrong with a stream."""


class StreamNotFound(StreamError, LookupError):
    """Nobody publishes the stream that was asked for."""


class StreamLost(StreamError, ConnectionError):
    """The writer of a stream is gone."""


class StreamFormatError(StreamError, ValueError):
    """A chunk does not fit the description of its stream."""


class SecondWriter(StreamError):
    """A stream that has a writer already was opened for writing."""


class Overrun(StreamError, LookupError):
    """The samples asked for have been overwritten, or do not exist yet."""


class OutOfMemory(RigmeshError, MemoryError):
    """The shared memory asked for does not fit."""


class RecordingError(RigmeshError, OSError):
    """A recording cannot start, go on or be read."""


class NodeError(RigmeshError, RuntimeError):
    """A hook of a node raised.

    Attributes
    ----------
    host, node, hook : str
        Where it happened.
    remote_traceback : str
        The traceback in the node's process, empty if there is none.
    """

    def __init__(
        self, message: str, *, host: str = "", node: str = "", hook: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.host = host
        self.node = node
        self.hook = hook
        self.remote_traceback = traceback

    def __str__(self) -> str:
        text = super().__str__()
        if self.remote_traceback:
            text += f"\n\nTraceback in node {self.node!r} on {self.host or 'this host'}:\n"
            text += self.remote_traceback.rstrip()
        return text


class StateError(RigmeshError, RuntimeError):
    """What was asked is not possible in the present state."""


class WaitTimeout(RigmeshError, TimeoutError):
    """Something did not happen within its time."""


class DaemonError(RigmeshError, RuntimeError):
    """The daemon failed at, or refused, what was asked."""


class DaemonUnavailable(DaemonError, ConnectionError):
    """No daemon answers."""


class NotPermitted(DaemonError, PermissionError):
    """The daemon, or the system, does not allow it."""


class NotOwner(NotPermitted):
    """The graph is another operator's."""


class Unsupported(RigmeshError, NotImplementedError):
    """Not possible on this platform, or a library it needs is missing."""


def near_miss(name: str, known: Iterable[str]) -> str:
    """Say which of the `known` names may have been meant.

    Examples
    --------
    >>> near_miss("lo", ["low", "high"])
    ' (did you mean low?)'
    >>> near_miss("volume", ["low", "high"])
    ''
    """
    by_folded = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.5)
    return f" (did you mean {by_folded[match[0]]}?)" if match else ""

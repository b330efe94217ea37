"""The node: one class in one file, nothing to register."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, dataclass_transform

from pydantic.fields import FieldInfo

from rigmesh.node.params import Parameters, param
from rigmesh.node.ports import Input, Output
from rigmesh.node.states import Commands, StateField, States, state
from rigmesh.streams import Chunk, local_clock

__all__ = ["Node", "Runtime"]


class Runtime(Protocol):
    """What a node can ask of the process that runs it."""

    @property
    def run_start(self) -> float:
        """Local time at which the graph was started, in seconds; kept over a group's restart."""

    @property
    def now(self) -> float:
        """The local clock, in seconds; in tests that of the test."""

    @property
    def context(self) -> Mapping[str, Any]:
        """The graph, versions and host, as recorders write them down; only JSON types."""

    @property
    def recording_root(self) -> str:
        """Folder that recordings stay inside of; empty for anywhere."""

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run a function in the node's lane at a local time."""


class _Detached:
    """The runtime of a node that nobody runs: as in a unit test of a method."""

    run_start = now = 0.0
    context: Mapping[str, Any] = {}
    recording_root = ""

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Refuse: there is no lane."""
        raise RuntimeError("timers need a running node; see rigmesh.node.testing.run")


@dataclass_transform(kw_only_default=True, field_specifiers=(param, state))
class Node:
    """Base of every node: ports and parameters are class attributes, hooks are methods.

    ========================= =========================================================
    hook                      called
    ========================= =========================================================
    ``open()``                at start: take the device or file
    ``prepare()``             when the inputs' descriptions are known, again when one
                              or a parameter that is not live changes: announce outputs
    ``process(chunk)``        for each chunk; ``process_<port>`` with several inputs.
                              Returns a chunk for the only output, or None
    ``acquire()``             instead, in a source: yields chunks, in a thread of its own
    ``close()``               always, even after a failure
    ========================= =========================================================

    A chunk's arrays are read-only and valid until the hook returns; keep copies.

    Attributes
    ----------
    name : str
        The node's name in its graph.
    log : logging.LoggerAdapter
        Logs under the node's name.
    report : dict
        What the node says of itself in its status, at each change of state; only JSON types. A
        recorder reports ``path`` and ``verdict``.
    """

    detached: ClassVar[str] = ""
    """Name of the companion process for classes that may block (``lsl``, ``record``)."""
    can_wait: ClassVar[bool] = False
    """Whether a source may be told to wait for slow readers: a file, a simulation."""
    channel_wise: ClassVar[bool] = False
    """Whether each channel is treated alike and by itself: replicas then run as one call over the
    stacked channels."""
    is_window: ClassVar[bool] = False
    """Whether it is only the declaration of a window, which clients open and no daemon runs."""
    workers: ClassVar[dict[str, tuple[str, str]]] = {}
    """Of a window: for an input the type of a node that computes what is shown, in a group of its
    own, and the input that takes what it gives."""
    aliases: ClassVar[tuple[str, ...]] = ()
    """Other names of the class, such as those it has in other software."""
    inputs: ClassVar[dict[str, Input[Any]]] = {}
    outputs: ClassVar[dict[str, Output[Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.inputs = {**cls.inputs, **_of_type(cls, Input)}
        cls.outputs = {**cls.outputs, **_of_type(cls, Output)}
        for name, value in vars(cls).items():
            if isinstance(value, FieldInfo | StateField) and hasattr(Node, name):
                raise TypeError(f"{cls.__name__}.{name} hides Node.{name}; choose another name")
        if inspect.isabstract(cls) or cls.__name__.startswith("_") or cls.is_window:
            return
        if cls.is_source() and cls.inputs:
            raise TypeError(f"{cls.__name__} has acquire() and inputs; a source has no inputs")
        for name in cls.inputs:
            cls.handler_name(name)

    def __init__(self, **parameters: Any) -> None:
        self.name = type(self).__name__
        self.log = logging.LoggerAdapter(logging.getLogger(type(self).__module__), {})
        self.runtime: Runtime = _Detached()
        self.parameters: dict[str, Any] = {}
        self.report: dict[str, Any] = {}
        self._stop = threading.Event()
        for name, port in type(self).inputs.items():
            setattr(self, name, port.bound())
        for name, output in type(self).outputs.items():
            setattr(self, name, output.bound(f"{self.name}.{name}"))
        type(self).states().reset(self, own_only=False)
        self.set_parameters(type(self).declared().validate(parameters))

    @classmethod
    @functools.cache
    def declared(cls) -> Parameters:
        """Return the declared parameters of this class."""
        return Parameters(cls)

    @classmethod
    @functools.cache
    def states(cls) -> States:
        """Return the declared states of this class."""
        return States(cls)

    @classmethod
    @functools.cache
    def commands(cls) -> Commands:
        """Return the declared commands of this class."""
        return Commands(cls)

    @classmethod
    def is_source(cls) -> bool:
        """Whether this class makes chunks by itself."""
        return hasattr(cls, "acquire")

    @classmethod
    def handler_name(cls, port: str) -> str:
        """Return the name of the hook that takes a port's chunks.

        Raises
        ------
        TypeError
            If there is none.
        """
        own = f"process_{port}"
        if hasattr(cls, own):
            return own
        if len(cls.inputs) == 1 and hasattr(cls, "process"):
            return "process"
        expected = own if len(cls.inputs) > 1 else f"process() or {own}"
        raise TypeError(f"{cls.__name__} has the input {port!r} but no {expected}")

    def open(self) -> None:
        """Take the device or file."""

    def prepare(self) -> None:
        """Get ready for the inputs' descriptions; announce the outputs'."""

    def close(self) -> None:
        """Give up what `open` took; called after any failure, too."""

    def on_journal(self, entry: Mapping[str, Any]) -> None:
        """Learn of what happened in the graph (a parameter changed, a person noted something).

        Parameters
        ----------
        entry : mapping
            Has ``kind`` and ``time`` (local clock, in seconds); only JSON types.
        """

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over validated values."""
        self.parameters.update(values)
        for name, value in values.items():
            setattr(self, name, value)

    def port(self, name: str) -> Any:
        """Return this node's port of a name."""
        return getattr(self, name)

    # --- for sources ---------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Whether `acquire` should return."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep in `acquire`; return False at once when the node is stopped."""
        return not self._stop.wait(seconds)

    def wait_until(self, when: float) -> bool:
        """Sleep until a local time; return False when the node is stopped."""
        remaining = when - local_clock()
        return not self._stop.wait(remaining) if remaining > 0 else not self._stop.is_set()

    def request_stop(self) -> None:
        """Ask `acquire` to return."""
        self._stop.set()

    def allow_start(self) -> None:
        """Take back a request to stop."""
        self._stop.clear()

    # --- timers --------------------------------------------------------------------------

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run a function in this node's lane at a local time, chunks or none."""
        self.runtime.call_at(when, callback)

    def call_every(self, period: float, callback: Callable[[], None]) -> None:
        """Run a function in this node's lane every `period` seconds until the node stops."""

        def again() -> None:
            if not self.is_stopping:
                callback()
                due.append(max(due.pop() + period, self.runtime.now))
                self.runtime.call_at(due[0], again)

        due = [self.runtime.now + period]
        self.runtime.call_at(due[0], again)

    def bound_inputs(self) -> Iterator[Input[Chunk]]:
        """Return this node's inputs."""
        return (getattr(self, name) for name in type(self).inputs)

    def bound_outputs(self) -> Iterator[Output[Chunk]]:
        """Return this node's outputs."""
        return (getattr(self, name) for name in type(self).outputs)


def _of_type(cls: type, kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(cls).items() if isinstance(value, kind)}

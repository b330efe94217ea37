"""Drives one node: the order of its hooks, its state, its failures."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from rigmesh.errors import NodeError, ParameterError, PortMismatch, StateError
from rigmesh.node.base import Node
from rigmesh.node.hotpath import Meter, taker
from rigmesh.node.lane import Lane
from rigmesh.node.order import DeliveryOrder
from rigmesh.node.ports import InputLink
from rigmesh.streams import Cause, Chunk, StreamInfo

__all__ = ["NodeRunner", "NodeState"]


class NodeState(Enum):
    """Where a node is in its life."""

    CREATED = "created"
    OPEN = "open"
    """Has its device; waits for the descriptions of its inputs."""
    READY = "ready"
    """Prepared; waits for the start."""
    RUNNING = "running"
    ENDED = "ended"
    """Its inputs, or its source, are over; about to close."""
    STOPPED = "stopped"
    FAILED = "failed"


class NodeRunner:
    """Runs a node within a lane.

    Parameters
    ----------
    node : Node
        The node.
    name : str
        Its name in the graph.
    changed : callable
        Called with the runner after each change of state.
    scribble : bool
        Hand the node a copy of each chunk and overwrite it afterwards, so that a node which
        keeps a borrowed array is found out. For tests.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        *,
        changed: Callable[[NodeRunner], None] = lambda runner: None,
        scribble: bool = False,
    ) -> None:
        self.node = node
        self.name = node.name = name
        self.state = NodeState.CREATED
        self.failure: NodeError | None = None
        self.lane = Lane()
        self.meters: dict[str, Meter] = {}
        self.watchers: list[Callable[[], None]] = []
        self.order = DeliveryOrder(self)
        self._changed = changed
        self.scribbles = scribble
        self._thread: threading.Thread | None = None
        self._finishing = threading.Lock()
        self._needs_close = False
        node.log.extra = {"node": name}
        for output in node.bound_outputs():
            output.stream = f"{name}.{output.name}"
        self.join(self.lane)
        outputs = list(node.bound_outputs())
        self.only_output = outputs[0] if len(outputs) == 1 else None

    def join(self, lane: Lane) -> None:
        """Move into a lane."""
        self.lane = lane
        for output in self.node.bound_outputs():
            output.join(lane)

    # --- life ------------------------------------------------------------------------------

    def begin_run(self) -> None:
        """Forget the last run; every output begins a new epoch. Before any node is opened."""
        for meter in self.meters.values():
            meter.reset()
        self.order.forget()
        for port in self.node.bound_inputs():
            for link in port.links:
                link.ended, link.info = False, None
        for output in self.node.bound_outputs():
            if output.is_announced:
                output.restart(output.epoch + 1)

    def open(self) -> None:
        """Call `open`; a failure is kept in `failure` and raised.

        Raises
        ------
        NodeError
            If the hook raises.
        """
        if self.state not in (NodeState.CREATED, NodeState.STOPPED, NodeState.FAILED):
            raise StateError(f"node {self.name!r} is {self.state.value} already")
        self.failure = None
        self._needs_close = True
        self.node.allow_start()
        type(self.node).states().reset(self.node, own_only=True)
        self._call("open", self.node.open)
        with self.lane:
            self._enter(NodeState.OPEN)
            self.prepare_if_possible()

    def prepare_if_possible(self) -> None:
        """Call `prepare` once all inputs are described."""
        with self.lane:
            if self.state is NodeState.OPEN and self._inputs_are_known():
                self._prepare()
                if self.state is NodeState.OPEN:
                    self._enter(NodeState.READY)

    def start(self) -> None:
        """Let chunks in; a source gets its thread.

        Raises
        ------
        StateError
            If the node is not ready.
        """
        with self.lane:
            if self.state is not NodeState.READY:
                raise StateError(f"node {self.name!r} is {self.state.value}, not ready")
            self._enter(NodeState.RUNNING)
        if self.node.is_source():
            self._thread = threading.Thread(
                target=self._acquire, name=f"source {self.name}", daemon=True
            )
            self._thread.start()

    def request_stop(self) -> None:
        """Ask a source to end its stream; everything behind it follows by itself."""
        self.node.request_stop()

    def finish(self, timeout: float | None = None) -> None:
        """End the streams, call `close`, be stopped. Harmless if that has happened.

        Raises
        ------
        NodeError
            If `close` raises.
        StateError
            If a source does not return within `timeout` seconds.
        """
        self.node.request_stop()
        with self._finishing:
            if not self._needs_close:
                return
            self._join_source(timeout)
            with self.lane:
                self._end_outputs()
                if self.state is NodeState.RUNNING:
                    self._enter(NodeState.ENDED)  # no chunk comes in while it closes
            self._needs_close = False
            self._call("close", self.node.close)
            if self.state is not NodeState.FAILED:
                self._enter(NodeState.STOPPED)

    def _join_source(self, timeout: float | None) -> None:
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(timeout)
        if thread.is_alive():
            raise StateError(f"node {self.name!r} did not return from acquire() within {timeout} s")
        self._thread = None

    # --- chunks ----------------------------------------------------------------------------

    def handler(self, port: str) -> Callable[[Chunk], None]:
        """Return the function that takes the chunks of an input; its caller holds the lane."""
        self.meters.setdefault(port, Meter())
        return taker(self, port)

    def tell_watchers(self) -> None:
        """Let those look who follow the node's states."""
        for watch in self.watchers:
            watch()

    def input_announced(self, link: InputLink, info: StreamInfo, *, new_epoch: bool) -> None:
        """Take note of an input's description; prepare, or prepare again."""
        with self.lane:
            changed = link.info is None or not link.info.same_format(info)
            link.info, link.ended = info, False
            if self.state is NodeState.OPEN:
                self.prepare_if_possible()
            elif self.state in (NodeState.READY, NodeState.RUNNING) and (changed or new_epoch):
                for output in self.node.bound_outputs():
                    output.force_new_epoch = new_epoch
                self._prepare()

    def input_ended(self, link: InputLink) -> None:
        """Take note that an input is over; when all are, so is the node."""
        with self.lane:
            link.ended = True
            if self.state is not NodeState.RUNNING:
                return
            links = [link for port in self.node.bound_inputs() for link in port.links]
            if all(link.ended for link in links):
                self._end_outputs()
                self._enter(NodeState.ENDED)

    # --- parameters ------------------------------------------------------------------------

    def set_parameters(self, values: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        """Change parameters between two chunks, all or none.

        Returns
        -------
        dict of str to (int, int)
            For each output the epoch and sample index at which the change took effect.

        Raises
        ------
        ParameterError
            If one is unknown or not acceptable; then none is changed.
        NodeError
            If `prepare` fails with the new values; the node is failed then.
        """
        declared = type(self.node).declared()
        with self.lane:
            wanted = {**self.node.parameters, **values}
            checked = declared.validate(wanted, node=self.name)
            changed = {k: v for k, v in checked.items() if v != self.node.parameters.get(k)}
            needs_prepare = any(not declared.is_live(name) for name in changed)
            running = self.state in (NodeState.READY, NodeState.RUNNING)
            if needs_prepare and running and self.node.is_source():
                names = ", ".join(n for n in changed if not declared.is_live(n))
                raise ParameterError(
                    f"{self.name}: {names} of a source can only change while it is stopped"
                )
            self.node.set_parameters(changed)
            if needs_prepare and running:
                self._prepare()
                if self.failure is not None:
                    raise self.failure
            return {o.stream: (o.epoch, o.index) for o in self.node.bound_outputs()}

    # --- failures --------------------------------------------------------------------------

    def fail(self, hook: str, error: BaseException) -> None:
        """Put the node into the state `failed`; its streams end, the rest goes on."""
        with self.lane:
            if self.state is NodeState.FAILED:
                return
            self.failure = self.node_error(hook, error)
            self.failure.__cause__ = error
            self.node.request_stop()
            self._enter(NodeState.FAILED)
            self.node.log.error("%s", self.failure)
            self._end_outputs()

    # --- inside ----------------------------------------------------------------------------

    def node_error(self, hook: str, error: BaseException) -> NodeError:
        """Return what crosses the wire of an error in a hook."""
        return NodeError(
            f"{self.name}.{hook}: {type(error).__name__}: {error}",
            node=self.name,
            hook=hook,
            traceback="".join(traceback.format_exception(error)),
        )

    def _enter(self, state: NodeState) -> None:
        self.state = state
        self._changed(self)

    def _call(self, hook: str, method: Callable[[], None]) -> None:
        try:
            method()
        except Exception as error:
            self.fail(hook, error)
            if self.failure is not None:
                raise self.failure from error

    def _prepare(self) -> None:
        try:
            self._check_inputs()
            self.node.prepare()
        except Exception as error:
            self.fail("prepare", error)

    def _check_inputs(self) -> None:
        for port in self.node.bound_inputs():
            for link in port.links:
                if link.info is not None and (refusal := port.demands.refusal(link.info)):
                    raise PortMismatch(f"{link.stream} → {self.name}.{port.name} {refusal}")

    def _inputs_are_known(self) -> bool:
        for port in self.node.bound_inputs():
            if any(link.info is None for link in port.links):
                return False
        return True

    def no_only_output(self, result: Any, hook: str) -> TypeError:
        """Return the error of a hook that returns a chunk where there is no single output."""
        return TypeError(
            f"{hook}() of {type(self.node).__name__} returned a {type(result).__name__}; with "
            f"{len(type(self.node).outputs)} outputs it calls self.<port>.push(chunk)"
        )

    def _acquire(self) -> None:
        generator = None
        try:
            generator = self.node.acquire()  # type: ignore[attr-defined]
            for chunk in generator:
                if chunk is not None:
                    if self.only_output is None:
                        raise self.no_only_output(chunk, "acquire")
                    self.only_output.push(chunk)
                if self.node.is_stopping:
                    break
            generator.close()
            with self.lane:
                if self.state is NodeState.RUNNING:
                    self._end_outputs()
                    self._enter(NodeState.ENDED)
        except Exception as error:
            self.fail("acquire", error)
            if generator is not None:
                generator.close()

    def _end_outputs(self) -> None:
        for output in self.node.bound_outputs():
            output.end()

    def pass_on_gaps(self, chunk: Chunk) -> None:
        """Say of each output that it has the hole which its input has."""
        source = chunk.info
        for output in self.node.bound_outputs():
            if not output.is_announced or not output.info.is_regular:
                continue
            for gap in chunk.gaps:
                if gap.cause is Cause.RESTART:
                    continue  # the output begins an epoch, too; its readers see the hole there
                ratio = 1.0
                if source is not None and source.is_regular:
                    ratio = output.info.sampling_rate / source.sampling_rate
                output.lose(
                    round(gap.count * ratio),
                    cause=gap.cause,
                    duration=gap.duration,
                    exact=gap.exact and ratio == 1.0,
                )

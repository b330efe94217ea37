"""The nodes of one process: made, linked, run and counted."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, Protocol

from rigmesh.errors import NameTaken, NodeError, StateError, UnknownName
from rigmesh.graph.spec import GroupSpec, spin_microseconds
from rigmesh.node import Input, Node, NodeRunner, NodeState, Output, link_nodes
from rigmesh.node.hotpath import NEVER
from rigmesh.node.lane import Lane, Timers
from rigmesh.node.registry import load
from rigmesh.streams import Chunk, local_clock
from rigmesh.transports import RingWriter, ShmTransport
from rigmesh_daemon.group.publication import Publication
from rigmesh_daemon.group.runtime import NodeRuntime, RunFacts
from rigmesh_daemon.group.subscription import RingAt, Subscription

__all__ = ["GroupNodes", "Reports"]

_log = logging.getLogger(__name__)

_IDLE = 0.25
"""The receiving thread looks around this often when nothing rings, in seconds."""

_BUSY = (NodeState.OPEN, NodeState.READY, NodeState.RUNNING, NodeState.ENDED)


class Reports(Protocol):
    """What the nodes tell whoever hosts them."""

    def node_changed(self, runner: NodeRunner) -> None:
        """Report a node that is in a new state."""

    def output_announced(self, runner: NodeRunner, output: Output[Chunk]) -> None:
        """Report an output that has a (new) description."""

    def ring_made(self, writer: RingWriter) -> None:
        """Report an epoch that lies in a new ring."""


class GroupNodes:
    """All nodes of this process.

    Parameters
    ----------
    transport : ShmTransport
        Rings to and from other processes.
    facts : RunFacts
        Filled in by the control side when a run begins.
    reports : Reports
        Told what happens.
    own_types : mapping of str to type of Node
        Classes that only this process has: those of a script.
    group : GroupSpec
        How it buffers, waits, and what is late.
    """

    def __init__(
        self,
        transport: ShmTransport,
        facts: RunFacts,
        reports: Reports,
        *,
        own_types: Mapping[str, type[Node]] | None = None,
        group: GroupSpec | None = None,
    ) -> None:
        group = group or GroupSpec("")
        self.facts = facts
        self.runners: dict[str, NodeRunner] = {}
        self.subscriptions: list[Subscription] = []
        self.publications: dict[str, Publication] = {}
        self.orphaned = False
        """Whether the daemon is gone, so that dead writers must be noticed here."""
        self._transport = transport
        self._reports = reports
        self._own_types = own_types or {}
        self._seconds = group.buffer_seconds
        self._spin = (spin_microseconds(group.wait) or 0.0) / 1e6
        self._deadline = round(group.deadline * 1e9) or NEVER
        self._timers = Timers()
        self._undo: dict[tuple[str, str], Callable[[], None]] = {}
        self._bell = transport.bell()
        self._closing = False
        self._changes = threading.Lock()
        # A node that must be overwritten by a test is found out only if someone overwrites.
        self._scribble = os.environ.get("RIGMESH_SCRIBBLE") == "1"
        self._receiver = threading.Thread(target=self._receive, name="receiver", daemon=True)
        self._receiver.start()

    # --- building ----------------------------------------------------------------------------

    def add(
        self,
        name: str,
        type_name: str,
        params: Mapping[str, Any],
        *,
        first_epochs: Mapping[str, int],
    ) -> dict[str, Any]:
        """Make a node; return its parameters, defaults filled in.

        Raises
        ------
        NameTaken, UnknownName, ParameterError
            If it cannot be.
        """
        if name in self.runners:
            raise NameTaken(f"this group has a node {name!r} already")
        cls = self._own_types.get(type_name) or load(type_name)
        cls.declared().validate(params, node=name)
        node = cls(**params)
        runtime = NodeRuntime(self.facts, self._timers)
        node.runtime = runtime
        runner = NodeRunner(node, name, changed=self._reports.node_changed, scribble=self._scribble)
        runtime.serve(runner)
        for output in node.bound_outputs():
            output.epoch = first_epochs.get(output.name, 0)
            self._report_announcements(runner, output)
        self.runners[name] = runner
        return dict(node.parameters)

    def remove(self, name: str) -> None:
        """Take a node away.

        Raises
        ------
        StateError
            While it runs.
        """
        runner = self.runner(name)
        if runner.state in _BUSY:
            raise StateError(f"node {name!r} is {runner.state.value}; stop it first")
        for output in runner.node.bound_outputs():
            publication = self.publications.pop(output.stream, None)
            if publication is not None:
                publication.close()
        for subscription in [s for s in self.subscriptions if s.name.startswith(f"{name}.")]:
            self._drop(subscription)
        mine = [ends for ends in self._undo if any(end.startswith(f"{name}.") for end in ends)]
        for ends in mine:
            self._undo.pop(ends)()
        del self.runners[name]

    def runner(self, name: str) -> NodeRunner:
        """Return a node's runner.

        Raises
        ------
        UnknownName
            If there is none.
        """
        if name not in self.runners:
            raise UnknownName.among("node", name, self.runners)
        return self.runners[name]

    def link(self, source: str, output: str, sink: str, port: str) -> None:
        """Link two nodes of this process; they share a lane from now on."""
        first, second = self.runner(source), self.runner(sink)
        if NodeState.RUNNING in (first.state, second.state):
            raise StateError(
                f"{source}.{output} → {sink}.{port} joins two running nodes of one process; "
                "stop the graph first, or put one into another group"
            )
        if first.lane is not second.lane:
            self._merge(first.lane, second.lane)
        self._undo[f"{source}.{output}", f"{sink}.{port}"] = link_nodes(first, output, second, port)

    def unlink(self, source: str, output: str, sink: str, port: str) -> None:
        """Undo a link of this process."""
        undo = self._undo.pop((f"{source}.{output}", f"{sink}.{port}"), None)
        if undo is None:
            raise UnknownName(f"{source}.{output} is not linked to {sink}.{port}")
        with self.runner(sink).lane:
            undo()

    def subscribe(self, stream: str, sink: str, port: str) -> None:
        """Link an input to a stream of another process."""
        runner = self.runner(sink)
        into: Input[Chunk] = runner.node.port(port)
        subscription = Subscription(stream, runner, into, self._transport, self._bell)
        with self._changes:
            self.subscriptions = [*self.subscriptions, subscription]

    def unsubscribe(self, stream: str, sink: str, port: str) -> None:
        """Undo :meth:`subscribe`."""
        for subscription in self.subscriptions:
            if subscription.stream == stream and subscription.name == f"{sink}.{port}":
                self._drop(subscription)
                return
        raise UnknownName(f"{sink}.{port} does not read {stream}")

    def publish(self, name: str, output_name: str) -> list[RingWriter]:
        """Put an output into a ring from now on; return the rings there are."""
        runner = self.runner(name)
        output: Output[Chunk] = runner.node.port(output_name)
        with runner.lane:
            publication = self.publications.get(output.stream)
            if publication is None:
                publication = Publication(
                    output,
                    self._transport,
                    seconds=self._seconds,
                    stopping=lambda: runner.node.is_stopping or self._closing,
                    made=self._reports.ring_made,
                )
                self.publications[output.stream] = publication
                output.add_target(publication)
            return publication.rings

    # --- running -----------------------------------------------------------------------------

    def begin_run(self, blocking: Set[str]) -> None:
        """Get ready for another run: every output begins a new epoch.

        Parameters
        ----------
        blocking : set of str
            Nodes whose outputs wait for lossless readers; who reads them is lossless.
        """
        for runner in self.runners.values():
            if runner.state in _BUSY:
                raise StateError(f"node {runner.name!r} is {runner.state.value} already")
        for runner in self.runners.values():
            runner.begin_run()
            for meter in runner.meters.values():
                meter.deadline = (
                    self._deadline if self._deadline and self.is_last(runner) else NEVER
                )
            for output in runner.node.bound_outputs():
                output.overflow_blocks = runner.name in blocking
        with self._changes:
            for subscription in self.subscriptions:
                source, _, _ = subscription.stream.partition(".")
                subscription.begin_run(lossless=source in blocking)

    def open(self, names: Sequence[str]) -> None:
        """Open nodes at the same time, since some wait for a device or a stream.

        Raises
        ------
        NodeError
            That of the first node which cannot open, once all have tried.
        """
        failures: list[NodeError] = []

        def open_one(name: str) -> None:
            try:
                self.runner(name).open()
            except NodeError as error:
                failures.append(error)

        threads = [
            threading.Thread(target=open_one, args=(name,), name=f"open {name}") for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._bell.ring()
        if failures:
            raise failures[0]

    def start(self, names: Sequence[str]) -> None:
        """Let nodes run; those with nothing to wait for by themselves end at once when asked."""
        for name in names:
            self.runner(name).start()
        self._bell.ring()

    def request_stop(self, names: Sequence[str]) -> None:
        """Ask sources to end their streams."""
        for name in names:
            self.runner(name).request_stop()

    def rings(
        self, stream: str, rings: list[RingAt], reader: str, resume: tuple[int, int] | None
    ) -> None:
        """Learn where a stream lies, for one reader or for all."""
        for subscription in self.subscriptions:
            if subscription.stream == stream and reader in ("", subscription.name):
                subscription.add_rings(rings, resume)

    def stream_over(self, stream: str) -> None:
        """Learn that no further ring of a stream follows."""
        for subscription in self.subscriptions:
            if subscription.stream == stream:
                subscription.end()

    def journal(self, entry: Mapping[str, Any]) -> None:
        """Tell every node what happened in the graph."""
        for runner in self.runners.values():
            if type(runner.node).on_journal is Node.on_journal:
                continue  # entries come all the time; a lane is not taken for nothing
            with runner.lane:
                if runner.state is NodeState.RUNNING:
                    runner.node.on_journal(entry)

    def is_last(self, runner: NodeRunner) -> bool:
        """Whether a node ends a chain within this process."""
        feeding = f"{runner.name}."
        return bool(runner.meters) and not any(s.startswith(feeding) for s, _ in self._undo)

    @property
    def busy(self) -> list[NodeRunner]:
        """Nodes that have not stopped."""
        return [r for r in self.runners.values() if r.state in _BUSY]

    def close(self) -> None:
        """End the threads and remove everything from shared memory."""
        self._closing = True
        self._bell.ring()
        self._receiver.join()
        self._timers.close()
        for subscription in self.subscriptions:
            subscription.close()
        for publication in self.publications.values():
            publication.close()
        self._bell.close()

    # --- inside ------------------------------------------------------------------------------

    def _report_announcements(self, runner: NodeRunner, output: Output[Chunk]) -> None:
        output.on_announce = partial(self._reports.output_announced, runner)

    def _merge(self, first: Lane, second: Lane) -> None:
        for runner in self.runners.values():
            if runner.lane is second:
                runner.join(first)

    def _drop(self, subscription: Subscription) -> None:
        # The receiving thread finishes its round before the reader is closed under it.
        with self._changes:
            self.subscriptions = [s for s in self.subscriptions if s is not subscription]
        with self._runner_of(subscription).lane:
            subscription.close()

    def _runner_of(self, subscription: Subscription) -> NodeRunner:
        return self.runner(subscription.name.partition(".")[0])

    def _receive(self) -> None:
        look_around = local_clock()
        while not self._closing:
            busy = self._poll()
            if not busy and not (self._spin and self._spin_for_more()):
                self._bell.wait(_IDLE)
            if local_clock() - look_around > _IDLE:
                look_around = local_clock()
                for subscription in self.subscriptions:
                    subscription.look_for_dead_writer(alone=self.orphaned)

    def _poll(self) -> bool:
        """Hand on what there is; return whether there was anything."""
        busy = False
        with self._changes:
            for subscription in self.subscriptions:
                try:
                    busy = subscription.poll() or busy
                except Exception as error:
                    _log.exception("%s cannot read on", subscription.name)
                    self._runner_of(subscription).fail("read", error)
        return busy

    def _spin_for_more(self) -> bool:
        """Look again and again for as long as the group is told to; return whether it paid."""
        give_way = select.poll().poll
        until = local_clock() + min(self._spin, _IDLE)
        while not self._closing:
            if self._poll():
                return True
            if local_clock() > until:
                return self._spin > _IDLE
            # Lets the other threads of this process have the interpreter; sleep(0) took 100 µs.
            give_way(0)
        return False

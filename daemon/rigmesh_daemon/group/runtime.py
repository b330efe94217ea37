"""What a node can ask of its group, and the group of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rigmesh.node import NodeRunner, NodeState
from rigmesh.node.lane import Timers
from rigmesh.streams import local_clock

__all__ = ["NodeRuntime", "RunFacts"]


@dataclass(slots=True)
class RunFacts:
    """What every node of a group may know of the run."""

    run_start: float = 0.0
    context: Mapping[str, Any] = field(default_factory=dict)
    recording_root: str = ""


class NodeRuntime:
    """The runtime of one node."""

    def __init__(self, facts: RunFacts, timers: Timers) -> None:
        self._facts = facts
        self._timers = timers
        self._runner: NodeRunner | None = None

    def serve(self, runner: NodeRunner) -> None:
        """Run the node's timers in the lane of `runner`."""
        self._runner = runner

    @property
    def run_start(self) -> float:
        """Local time at which the graph was started, in seconds."""
        return self._facts.run_start

    @property
    def now(self) -> float:
        """The local clock, in seconds."""
        return local_clock()

    @property
    def context(self) -> Mapping[str, Any]:
        """The graph, versions and host."""
        return self._facts.context

    @property
    def recording_root(self) -> str:
        """Folder that recordings stay inside of."""
        return self._facts.recording_root

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run a function in the node's lane at a local time, while the node is alive."""
        self._timers.call_at(when, lambda: self._run(callback))

    def _run(self, callback: Callable[[], None]) -> None:
        runner = self._runner
        if runner is None:
            return
        with runner.lane:
            if runner.state in (NodeState.STOPPED, NodeState.FAILED):
                return
            try:
                callback()
            except Exception as error:
                runner.fail("timer", error)

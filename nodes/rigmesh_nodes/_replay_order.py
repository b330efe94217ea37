"""The order in which a node with several inputs was handed their samples, kept in a replay."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rigmesh.errors import GraphError
from rigmesh.graph import GraphSpec, check_graph
from rigmesh.graph.loader import parse_graph
from rigmesh.node import NodeRunner
from rigmesh.node.registry import NodeType
from rigmesh.streams import Chunk
from rigmesh_nodes._replay_plan import ReplayPlan

__all__ = ["Turns", "cut", "first_epochs", "known_streams"]

Note = Mapping[str, Any]
Key = tuple[str, str]
Tell = Callable[[], None]

_PATIENCE = 5.0
"""So long a sample is held back for another one that should come first, in seconds."""


class Taker(Protocol):
    """A link of a node."""

    def hand(self, chunk: Chunk) -> None:
        """Hand a chunk to the node."""


@dataclass(slots=True)
class _Run:
    """Samples of one input that the node was handed without any of another between them."""

    key: Key
    epoch: int
    start: int
    stop: int
    is_over: bool = False


@dataclass(slots=True)
class _Held:
    """A chunk that came, or the end of its stream, with what is told before."""

    tells: list[Tell]
    chunk: Chunk | None
    came: float


@dataclass(slots=True)
class _Queue:
    """What came of one stream and was not handed on."""

    link: Taker
    runs: deque[_Run]
    items: deque[_Held] = field(default_factory=deque)
    tells: list[Tell] = field(default_factory=list)
    has_begun: bool = False


class Turns:
    """Hands the samples of several streams to a node in the order of a recording's journal.

    Samples of which the journal tells nothing are handed on as they come.

    Parameters
    ----------
    notes : sequence of mapping
        The journal.
    node : str
        The node.

    Attributes
    ----------
    n_in_order, n_as_came : int
        Samples that were handed on in the order of the journal, and others.
    is_given_up : bool
        Whether a sample of the journal did not come, so that the rest was handed on as it came.
    """

    def __init__(self, notes: Sequence[Note], node: str) -> None:
        mine = [n for n in notes if n.get("kind") == "order" and n.get("node") == node]
        mine.sort(key=lambda note: float(note.get("time", 0.0)))
        self._runs = deque(run for note in mine for run in _runs(note))
        self._queues: dict[Key, _Queue] = {}
        self.n_in_order = self.n_as_came = 0
        self.is_given_up = False

    def add(self, port: str, stream: str, link: Taker) -> None:
        """Take what comes over a link from now on."""
        runs = deque(run for run in self._runs if run.key == (port, stream))
        self._queues[port, stream] = _Queue(link, runs)

    def begin(self, known: set[str]) -> None:
        """Begin, once all links are there; `known` are the streams numbered as in the journal."""
        if any(stream not in known for _, stream in self._queues):
            self._forget()
        self._runs = deque(run for run in self._runs if run.key in self._queues)

    def announce(self, port: str, stream: str, tell: Tell) -> None:
        """Tell the node of a description: together with the first sample that it is for."""
        queue = self._queues[port, stream]
        if queue.has_begun:
            queue.tells.append(tell)
        else:
            tell()

    def take(self, port: str, stream: str, chunk: Chunk) -> None:
        """Take a chunk; it or others may be handed on now."""
        queue = self._queues[port, stream]
        queue.has_begun = True
        now = float(chunk.timestamps[-1]) if len(chunk) else float("nan")
        self._append(queue, _Held(queue.tells, chunk, now))
        if queue.items and (last := queue.items[-1]).chunk is not None:
            last.chunk = last.chunk.copy()  # its arrays are lent
        if any(q.items and now - q.items[0].came > _PATIENCE for q in self._queues.values()):
            self.is_given_up = True
            self._forget()
            self._go()

    def end(self, port: str, stream: str, tell: Tell) -> None:
        """Tell the node that a stream is over, after its last sample."""
        queue = self._queues[port, stream]
        self._append(queue, _Held([*queue.tells, tell], None, float("nan")))

    def _append(self, queue: _Queue, held: _Held) -> None:
        queue.tells = []
        queue.items.append(held)
        self._go()

    def _forget(self) -> None:
        self._runs.clear()
        for queue in self._queues.values():
            queue.runs.clear()

    def _go(self) -> None:
        """Hand on whatever may be."""
        has_moved = True
        while has_moved:
            has_moved = False
            for queue in self._queues.values():
                while queue.items and self._hand_first(queue):
                    has_moved = True

    def _hand_first(self, queue: _Queue) -> bool:
        """Hand on what came first of a stream, or as much of it as may be; return whether."""
        held = queue.items[0]
        chunk = held.chunk
        if chunk is None:
            self._pass(queue)
        elif n := self._allowed(queue, chunk):
            if n < len(chunk):
                chunk, held.chunk = cut(chunk, n)
        elif len(chunk):
            return False
        tells, held.tells = held.tells, []
        if chunk is held.chunk:
            queue.items.popleft()
        for tell in tells:
            tell()
        if chunk is not None:
            queue.link.hand(chunk)
            self._pass(queue, chunk.epoch, chunk.stop)
        return True

    def _allowed(self, queue: _Queue, chunk: Chunk) -> int:
        """Return how many samples may be handed on now."""
        self._pass(queue, chunk.epoch, chunk.index)
        n, run = len(chunk), queue.runs[0] if queue.runs else None
        if run is None or run.epoch > chunk.epoch or chunk.index < run.start:
            if run is not None and run.epoch == chunk.epoch:
                n = min(n, run.start - chunk.index)
            self.n_as_came += n
            return n
        while self._runs[0].is_over:
            self._runs.popleft()
        if run is not self._runs[0]:
            return 0
        n = min(n, run.stop - chunk.index)
        self.n_in_order += n
        return n

    def _pass(self, queue: _Queue, epoch: float = float("inf"), index: int = 0) -> None:
        """Note that nothing before a sample follows, or nothing at all."""
        runs = queue.runs
        while runs and (runs[0].epoch, runs[0].stop) <= (epoch, index):
            runs.popleft().is_over = True


def cut(chunk: Chunk, n: int) -> tuple[Chunk, Chunk]:
    """Return the first samples of a chunk, with the gaps before them, and the others."""
    parts = [
        type(chunk)(
            chunk.data[rows], chunk.raw_timestamps[rows], index=chunk.index + start,
            epoch=chunk.epoch, gaps=() if start else chunk.gaps, clock=chunk.clock,
            info=chunk.info,
        )
        for start, rows in ((0, slice(0, n)), (n, slice(n, None)))
    ]  # fmt: skip
    return parts[0], parts[1]


def first_epochs(notes: Sequence[Note]) -> dict[str, int]:
    """Return the first epoch of each stream of which an order is told."""
    found: dict[str, int] = {}
    for note in notes:
        if note.get("kind") == "order":
            for run in _runs(note):
                stream = run.key[1]
                found[stream] = min(run.epoch, found.get(stream, run.epoch))
    return found


def known_streams(
    plan: ReplayPlan,
    runners: Mapping[str, NodeRunner],
    recorded: Any,
    types: Mapping[str, NodeType],
    *,
    counted: Mapping[str, bool],
) -> set[str]:
    """Return the streams that have the same samples here as when they were recorded.

    Those that are played have; those that are computed only if the nodes are the ones that were
    recorded. Otherwise the fifth event is not the fifth of the journal.

    Parameters
    ----------
    plan : ReplayPlan
        What runs.
    runners : mapping of str to NodeRunner
        The nodes that run.
    recorded : JSON
        The graph of the recording; if there is none, it is taken to be the same.
    types : mapping of str to NodeType
        Every type.
    counted : mapping of str to bool
        For each computed stream whether its samples have the numbers that they had.
    """
    was = _graph(recorded, types)
    known = set(plan.played)
    for spec in plan.computed:
        runner, taken = runners[spec.name], [s for each in spec.inputs.values() for s in each]
        before = was.nodes.get(spec.name) if was is not None else spec
        is_same = (
            before is not None
            and (before.type, dict(before.inputs)) == (spec.type, dict(spec.inputs))
            and type(runner.node).declared().validate(before.params) == runner.node.parameters
        )
        if is_same and known.issuperset(taken):
            outputs = (output.stream for output in runner.node.bound_outputs())
            known |= {stream for stream in outputs if counted.get(stream)}
    return known


def _graph(recorded: Any, types: Mapping[str, NodeType]) -> GraphSpec | None:
    if not recorded:
        return None
    try:
        return check_graph(parse_graph(json.dumps(recorded)), types)
    except GraphError:
        return GraphSpec()


def _runs(note: Note) -> Iterator[_Run]:
    inputs = [(str(port), str(stream)) for port, stream in note["inputs"]]
    begins = {run: (epoch, start) for run, epoch, start in note["from"]}
    at: dict[int, tuple[int, int]] = {}
    flat = note["runs"]
    for run, (number, n) in enumerate(zip(flat[::2], flat[1::2], strict=True)):
        epoch, start = begins.get(run) or at[number]
        at[number] = epoch, start + n
        yield _Run(inputs[number], epoch, start, start + n)

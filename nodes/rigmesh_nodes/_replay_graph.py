"""Runs a graph over the streams of a recording: in one thread, on the time of the recording."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rigmesh.errors import RecordingError
from rigmesh.graph import GraphSpec
from rigmesh.node import NodeRunner, NodeState, Output
from rigmesh.node.lane import Lane
from rigmesh.node.registry import NodeType, load
from rigmesh.recording import Capture, RecordedStream, Recording
from rigmesh.recording.compare import parts_by_name
from rigmesh.streams import Chunk, ClockModel, Frames, Gap, Markers, Signal, local_clock
from rigmesh_nodes._replay_changes import Changes, Link
from rigmesh_nodes._replay_order import Turns, first_epochs, known_streams
from rigmesh_nodes._replay_plan import ReplayPlan, plan_replay
from rigmesh_nodes._replay_track import Track

__all__ = ["Replayed", "replay_graph"]

_CHUNK = 0.01

_KINDS: Mapping[str, type[Chunk]] = {kind.kind: kind for kind in (Signal, Markers, Frames)}

Progress = Callable[[float, float], None]
"""Told the seconds done, and those in all."""


@dataclass(slots=True)
class Replayed:
    """How a replay went.

    Attributes
    ----------
    plan : ReplayPlan
        What ran, and what did not.
    n_changes : int
        Changes by people that were made again.
    n_by_time : int
        Those of them whose sample is not recorded, only the time.
    refused : list of str
        Changes that the graph does not take, in words.
    timed : list of str
        Nodes that asked for the time: what they give depends on when chunks came.
    gaps : dict of str to int
        Played streams of which samples are missing only here, since the recorder lost them.
    n_pauses : int
        How often recording paused while the graph went on.
    unordered : dict of str to (int, int)
        Nodes with several inputs that were not handed everything in the order that was recorded:
        how many samples they got in the order of their times, and how many in all.
    """

    plan: ReplayPlan
    n_changes: int = 0
    n_by_time: int = 0
    refused: list[str] = field(default_factory=list)
    timed: list[str] = field(default_factory=list)
    gaps: dict[str, int] = field(default_factory=dict)
    n_pauses: int = 0
    unordered: dict[str, tuple[int, int]] = field(default_factory=dict)


def replay_graph(
    recording: Recording,
    graph: GraphSpec,
    types: Mapping[str, NodeType],
    capture: Capture,
    *,
    streams: Collection[str] = (),
    without: Collection[str] = (),
    speed: float = 0.0,
    progress: Progress = lambda done, total: None,
) -> Replayed:
    """Run a graph over recorded streams, and record what it makes of them.

    The streams that sources gave are played with the names, numbers, gaps, epochs and clocks that
    they had. Changes of parameters and states, and commands, are made at the same samples.

    Parameters
    ----------
    recording : Recording
        With the streams of the sources.
    graph : GraphSpec
        As it was checked.
    types : dict of str to NodeType
        Every type it has.
    capture : Capture
        Takes the streams that are computed and recorded, to be compared; it is finished then.
    streams : collection of str
        Compute only these.
    without : collection of str
        Nodes that are not to run.
    speed : float
        1: in recorded time; 0: as fast as possible. The result is the same.
    progress : callable
        Told how far it is.

    Raises
    ------
    RecordingError, UnknownName
        If nothing can be computed.
    NodeError
        If a node fails.
    """
    parts = parts_by_name(recording)
    plan = plan_replay(graph, types, list(parts), streams=streams, without=without)
    run = _Run(recording, parts, plan, types, capture)
    try:
        run.open()
        run.play(speed, progress)
    finally:
        run.close()
    capture.finish()
    return run.outcome()


class _Clock:
    """The time of the recording; timers run when it passes them."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), callback))

    def advance(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            when, _, callback = heapq.heappop(self._due)
            self.now = max(self.now, when)
            callback()
        self.now = max(self.now, now)


class _Runtime:
    """The runtime of one node in a replay."""

    recording_root = ""

    def __init__(self, clock: _Clock, context: Mapping[str, Any]) -> None:
        self.context = context
        self.run_start = clock.now
        self.has_asked = False
        self.runner: NodeRunner | None = None
        self._clock = clock

    @property
    def now(self) -> float:
        """The time of the recording, in seconds."""
        self.has_asked = True
        return self._clock.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run a function when the recording comes to a time, while the node is alive."""
        self.has_asked = True
        self._clock.call_at(when, lambda: self._run(callback))

    def _run(self, callback: Callable[[], None]) -> None:
        runner = self.runner
        if runner is None or runner.state in (NodeState.STOPPED, NodeState.FAILED):
            return
        try:
            callback()
        except Exception as error:
            runner.fail("timer", error)


class _Tape:
    """Records an output."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._gaps: list[Gap] = []
        self._output: Output[Chunk] | None = None

    def announced(self, output: Output[Chunk]) -> None:
        self._output = output
        self._capture.describe(output.info)

    def deliver(self, chunk: Chunk) -> None:
        self._gaps.clear()
        self._capture.append(chunk)

    def lost(self, gap: Gap) -> None:
        self._gaps.append(gap)

    def clock_changed(self, clock: ClockModel) -> None: ...

    def ended(self) -> None:
        """Tell of gaps that no sample follows."""
        output = self._output
        if output is None or not self._gaps or output.info.kind == "markers":
            return
        info = output.info
        nothing = np.empty((0, *info.sample_shape), info.dtype)
        self._capture.append(
            _KINDS[info.kind](
                nothing, np.empty(0), index=output.index, epoch=output.epoch,
                gaps=tuple(self._gaps), clock=output.clock, info=info,
            )
        )  # fmt: skip


class _Run:
    """The nodes and streams of one replay."""

    def __init__(
        self,
        recording: Recording,
        parts: Mapping[str, Sequence[RecordedStream]],
        plan: ReplayPlan,
        types: Mapping[str, NodeType],
        capture: Capture,
    ) -> None:
        self._plan = plan
        self._types = types
        self._context = recording.context
        self._parts = {name: parts[name] for name in plan.played}
        self._recorded = parts
        self._n_pauses = sum(note.get("kind") == "pause" for note in recording.notes)
        self._begin, self._end = _extent(self._parts)
        self._clock = _Clock(self._begin)
        self._lane = Lane()
        self._runners: dict[str, NodeRunner] = {}
        self._runtimes: dict[str, _Runtime] = {}
        self._changes: dict[str, Changes] = {}
        self._outputs: dict[str, Output[Any]] = {}
        for name in plan.played:
            self._outputs[name] = output = Output[Any]().bound(name)
            output.join(self._lane)
        self._turns: dict[str, Turns] = {}
        self._first_epochs = first_epochs(recording.notes)
        ends = _ends(parts)
        for spec in plan.computed:
            runner = self._add(spec.name, spec.type, spec.params)
            changes = Changes.of(runner, recording.notes, ends)
            self._changes[spec.name] = changes
            turns = None
            if spec.name in plan.several_inputs:
                self._turns[spec.name] = turns = Turns(recording.notes, spec.name)
            for port, streams in spec.inputs.items():
                for stream in streams:
                    self._outputs[stream].add_target(Link(runner, port, stream, changes, turns))
        for name in plan.compared:
            self._outputs[name].add_target(_Tape(capture))

    def _add(self, name: str, type_name: str, params: Mapping[str, Any]) -> NodeRunner:
        node = load(type_name)(**params)
        node.runtime = runtime = _Runtime(self._clock, self._context)
        runner = NodeRunner(node, name)
        runner.join(self._lane)
        runtime.runner = runner
        self._runners[name], self._runtimes[name] = runner, runtime
        for output in node.bound_outputs():
            self._outputs[output.stream] = output
            known = self._recorded.get(output.stream, ())
            epochs = [epoch for part in known for epoch in part.epochs]
            begins = self._first_epochs.get(output.stream, 0)
            output.epoch = epochs[0].epoch if epochs else begins
        return runner

    def open(self) -> None:
        """Open the nodes and tell them what the streams are."""
        for runner in self._runners.values():
            runner.open()
        self._tracks = [
            Track(parts, self._outputs[name], paced=False, numbered=True)
            for name, parts in self._parts.items()
        ]
        self._raise_failure()
        self._number_from_the_middle()
        for runner in reversed(self._runners.values()):
            runner.start()

    def play(self, speed: float, progress: Progress) -> None:
        """Give all samples in the order of their times."""
        begun, told = local_clock(), -math.inf
        pieces = heapq.merge(
            *(track.pieces(_CHUNK, -math.inf) for track in self._tracks),
            key=lambda piece: piece.due,
        )
        for piece in pieces:
            done = piece.due - self._begin
            if speed:
                time.sleep(max(0.0, begun + done / speed - local_clock()))
            with self._lane:
                self._clock.advance(float(piece.times[0]))
                piece.track.give(piece, piece.raw, 0)
                self._clock.advance(piece.due)
            self._raise_failure()
            if done - told > 0.25:
                told = done
                progress(done, self._end - self._begin)
        for name in self._parts:
            self._outputs[name].end()
        self._raise_failure()
        progress(self._end - self._begin, self._end - self._begin)

    def close(self) -> None:
        """Close the nodes."""
        for runner in self._runners.values():
            runner.finish(timeout=10)

    def outcome(self) -> Replayed:
        """Say how it went."""
        changes = self._changes.values()
        lost = {
            name: sum(
                g.gap.count for part in parts for g in part.gaps
                if g.gap.cause.value in ("overrun", "disk")
            )
            for name, parts in self._parts.items()
        }  # fmt: skip
        return Replayed(
            self._plan,
            n_changes=sum(each.n_made for each in changes),
            n_by_time=sum(each.n_by_time for each in changes),
            refused=[text for each in changes for text in each.refused],
            timed=[name for name, runtime in self._runtimes.items() if runtime.has_asked],
            gaps={name: count for name, count in lost.items() if count},
            n_pauses=self._n_pauses,
            unordered={
                name: (turns.n_as_came, turns.n_as_came + turns.n_in_order)
                for name, turns in self._turns.items()
                if turns.n_as_came
            },
        )

    def _number_from_the_middle(self) -> None:
        """Let what has one sample for each of its input's count like that, if it began later."""
        counted: dict[str, bool] = {}
        is_whole = all(self._outputs[name].index == 0 for name in self._parts)
        for spec in self._plan.computed:
            runner = self._runners[spec.name]
            changes = self._changes[spec.name]
            changes.is_whole = is_whole
            inputs = [(port, s) for port, streams in spec.inputs.items() for s in streams]
            for port, stream in inputs:
                changes.first[port] = changes.first.get(port, 0) + self._outputs[stream].index
            source = self._outputs[inputs[0][1]]
            follows = len(inputs) == 1 and source.info.is_regular
            for output in runner.node.bound_outputs():
                counted[output.stream] = is_whole
                if (
                    follows
                    and output.is_announced
                    and output.info.sampling_rate == source.info.sampling_rate
                ):
                    output.index, counted[output.stream] = source.index, True
        known = known_streams(
            self._plan, self._runners, self._context.get("graph"), self._types, counted=counted
        )
        for turns in self._turns.values():
            turns.begin(known)

    def _raise_failure(self) -> None:
        for runner in self._runners.values():
            if runner.failure is not None:
                raise runner.failure


def _extent(parts: Mapping[str, Sequence[RecordedStream]]) -> tuple[float, float]:
    """Return the earliest and the latest local time of streams, in seconds."""
    filled = [part for each in parts.values() for part in each if len(part)]
    if not filled:
        raise RecordingError(f"no sample of {', '.join(parts)} is recorded; nothing can be played")
    ends = [float(part.timestamps[len(part) - 1 : len(part)][0]) for part in filled]
    return min(float(part.timestamps[0:1][0]) for part in filled), max(ends)


def _ends(parts: Mapping[str, Sequence[RecordedStream]]) -> dict[tuple[str, int], int]:
    """Return for each stream and epoch the index behind its last sample."""
    found = {}
    for name, each in parts.items():
        for part in each:
            for epoch in part.epochs:
                end = epoch.first_row + epoch.n
                before = [
                    (g.row, g.gap.index) for g in part.gaps
                    if g.gap.epoch == epoch.epoch and epoch.first_row <= g.row <= end
                ]  # fmt: skip
                row, index = before[-1] if before else (epoch.first_row, epoch.first_index)
                found[name, epoch.epoch] = index + end - row
    return found

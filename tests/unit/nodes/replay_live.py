"""Nodes as they ran when they were recorded, and the same over the recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.graph import GraphSpec, NodeSpec, check_graph
from rigmesh.node import Node, NodeRunner, NodeState
from rigmesh.node.live import call, write
from rigmesh.node.registry import NodeType
from rigmesh.node.testing import TestRuntime, chunked
from rigmesh.recording import Capture, open_recording
from rigmesh.recording.compare import StreamComparison, compare_streams, parts_by_name
from rigmesh.streams import Chunk, ClockModel, Gap, Signal, StreamInfo
from rigmesh_nodes._replay_changes import Link
from rigmesh_nodes.events import Threshold
from rigmesh_nodes.filters import BandPass
from rigmesh_nodes.replay import Replayed, replay_graph

Types = dict[str, NodeType]

RATE = 500.0
EEG = StreamInfo.signal("eeg.signal", channels=["Cz", "Pz"], sampling_rate=RATE, unit="uV")

Act = Mapping[int, Any]
"""What is done to the node once its input has had so many samples."""


def eeg(
    first: int, n: int, *, epoch: int = 0, gaps: Sequence[Gap] = (), at: float | None = None
) -> Signal:
    data = np.random.default_rng(1000 * epoch + first).normal(size=(n, 2)).cumsum(axis=0)
    begin = 100.0 + first / RATE if at is None else at
    stamps = begin + np.arange(n) / RATE
    clock = ClockModel(0.5)
    return Signal(data, stamps, index=first, epoch=epoch, gaps=tuple(gaps), clock=clock, info=EEG)


class Live:
    """A node as it ran when it was recorded: chunk by chunk, changed in between."""

    def __init__(self, name: str, node: Node, port: str = "signal") -> None:
        self.node, self.port = node, port
        self.runtime = node.runtime = TestRuntime()
        self.runner = NodeRunner(node, name)
        self.out: list[Chunk] = []
        self.notes: list[dict[str, Any]] = []
        self._epoch: int | None = None
        self._link = Link(self.runner, port, "test", _Unchanged())  # type: ignore[arg-type]
        for output in node.bound_outputs():
            output.add_target(self)
        self.runner.open()

    def feed(self, chunks: Sequence[Chunk], acts: Act, *, with_taken: bool = True) -> list[Chunk]:
        taken = 0
        for chunk in chunks:
            for act in acts.get(taken, ()):
                note = act(self.runner)
                effective = {
                    o.stream: {"epoch": o.epoch, "index": o.index}
                    for o in self.node.bound_outputs()
                }
                note |= {"time": self.runtime.now, "node": self.runner.name, "effective": effective}
                self.notes.append(note | ({"taken": {self.port: taken}} if with_taken else {}))
            self._announce(chunk)
            with self.runner.lane:
                self._link.take(chunk)
                self.runtime.advance(float(chunk.timestamps[-1]))
            taken += len(chunk)
        assert self.runner.failure is None
        self.runner.finish()
        return self.out

    def _announce(self, chunk: Chunk) -> None:
        if self._epoch != chunk.epoch:
            is_new, self._epoch = self._epoch is not None, chunk.epoch
            assert chunk.info is not None
            self.runner.input_announced(self._link._link, chunk.info, new_epoch=is_new)
            if self.runner.state is NodeState.READY:
                self.runner.start()

    def announced(self, output: Any) -> None: ...

    def deliver(self, chunk: Chunk) -> None:
        self.out.append(chunk.copy())

    def lost(self, gap: Gap) -> None: ...

    def clock_changed(self, clock: ClockModel) -> None: ...

    def ended(self) -> None: ...


class _Unchanged:
    pending = ()


def setting(**values: Any) -> Any:
    def act(runner: NodeRunner) -> dict[str, Any]:
        runner.set_parameters(values)
        return {"kind": "parameters", "values": values}

    return act


def state(**values: Any) -> Any:
    def act(runner: NodeRunner) -> dict[str, Any]:
        write(runner, values, "clients")
        return {"kind": "state", "values": values, "writer": "clients"}

    return act


def obeying(command: str) -> Any:
    def act(runner: NodeRunner) -> dict[str, Any]:
        call(runner, command, {})
        return {"kind": "command", "command": command, "arguments": {}}

    return act


def in_pieces(*chunks: Chunk) -> Iterator[Chunk]:
    """Cut chunks into pieces of 7, each with the gaps before it."""
    for chunk in chunks:
        pieces = chunked(chunk, 7)
        pieces[0].gaps = chunk.gaps
        yield from pieces


def record(
    path: Path, streams: Sequence[Sequence[Chunk]], notes: Sequence[Any] = (), **context: Any
) -> Path:
    capture = Capture.create(path, "run", context)
    for chunks in streams:
        for chunk in chunks:
            capture.append(chunk)
    for note in notes:
        capture.note(note)
    capture.finish()
    return path


BAND = NodeSpec("bp", "filters.BandPass", params={"low": 8, "high": 12},
                inputs={"signal": ("eeg.signal",)})  # fmt: skip
EVENTS = NodeSpec("thr", "events.Threshold", params={"level": 0.5, "direction": "both"},
                  inputs={"signal": ("bp.filtered",)})  # fmt: skip


def graph(types: Mapping[str, NodeType], *nodes: NodeSpec) -> GraphSpec:
    every = (NodeSpec("eeg", "sim.EEG"), *nodes)
    return check_graph(GraphSpec(nodes={node.name: node for node in every}), types)


def replayed(
    path: Path, graph: GraphSpec, types: Mapping[str, NodeType], **more: Any
) -> tuple[Replayed, dict[str, StreamComparison]]:
    again = path.with_name("again.h5")
    with open_recording(path) as recording:
        capture = Capture.create(again, "again", {})
        done = replay_graph(recording, graph, types, capture, **more)
        recorded = parts_by_name(recording)
        with open_recording(again) as other:
            found = parts_by_name(other)
            return done, {
                name: compare_streams(recorded[name], found.get(name, []))
                for name in done.plan.compared
            }


def live(
    chunks: Sequence[Chunk], band: Act | None = None, events: Act | None = None, **more: Any
) -> tuple[list[Sequence[Chunk]], list[Any]]:
    """Filter and find events as they were recorded; return all streams, and the notes."""
    filtering = Live("bp", BandPass(low=8, high=12))
    filtered = filtering.feed(chunks, band or {}, **more)
    finding = Live("thr", Threshold(level=0.5, direction="both"))
    found = finding.feed(filtered, events or {}, **more)
    return [chunks, filtered, found], [*filtering.notes, *finding.notes]


def assert_same(found: Mapping[str, StreamComparison]) -> None:
    assert {name: (each.missing, each.extra, each.n_differing, each.remarks)
            for name, each in found.items() if not each.is_same} == {}  # fmt: skip

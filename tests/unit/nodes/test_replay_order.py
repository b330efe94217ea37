"""Several streams into one node: handed over again in the order in which they once came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.replay_live import Types, assert_same, graph, record, replayed

from rigmesh.graph import GraphSpec, NodeSpec
from rigmesh.node import InputLink, NodeRunner
from rigmesh.node.registry import NodeType, describe_all
from rigmesh.node.testing import TestRuntime
from rigmesh.streams import Chunk, Markers, StreamInfo
from rigmesh_nodes._replay_order import Turns
from rigmesh_nodes.event_logic import EventFilter

PORTS = {"go.markers": "events", "art.markers": "block"}
AFTER = 0.05
SOURCES = [NodeSpec(name, "replay.File", params={"path": "x.h5"}) for name in ("go", "art")]

Given = tuple[str, float]
"""A stream, and the time of an event of it."""


@pytest.fixture(scope="module")
def types() -> Types:
    return {found.name: found for found in describe_all() if isinstance(found, NodeType)}


class Live:
    """A filter of events as it ran: what came, in that order, is what is recorded."""

    def __init__(self, *, epoch: int = 0) -> None:
        self.runner = NodeRunner(EventFilter(after=AFTER), "veto")
        self.runner.node.runtime = TestRuntime()
        self.streams: dict[str, list[Chunk]] = {"go.markers": [], "art.markers": []}
        self.out: list[Chunk] = []
        self.notes: list[Mapping[str, Any]] = []
        self._takes: dict[str, Any] = {}
        self._links = {stream: InputLink(stream) for stream in PORTS}
        self._counts = dict.fromkeys(PORTS, 0)
        self._epochs = dict.fromkeys(PORTS, epoch)
        for stream, link in self._links.items():
            bind = partial(self._takes.__setitem__, stream)
            self.runner.order.attach(PORTS[stream], link, bind)
        for output in self.runner.node.bound_outputs():
            output.add_target(self)
        self.runner.open()
        for stream, link in self._links.items():
            self.runner.input_announced(link, StreamInfo.markers(stream), new_epoch=False)
        self.runner.start()

    def give(self, given: Iterable[Given]) -> None:
        for stream, time in given:
            chunk = _chunk(self._counts[stream], 1 + self._counts[stream], self._epochs[stream])
            chunk.raw_timestamps[:], chunk.info = time, StreamInfo.markers(stream)
            self._counts[stream] += 1
            self.streams[stream].append(chunk)
            with self.runner.lane:
                self._takes[stream](chunk.copy())

    def restart(self, stream: str) -> None:
        self._epochs[stream] += 1
        self._counts[stream] = 0
        self.runner.input_announced(self._links[stream], StreamInfo.markers(stream), new_epoch=True)

    def note(self) -> None:
        entry = self.runner.order.drain()
        assert entry is not None
        self.notes.append(entry)

    def record(self, path: Path, notes: Sequence[Any] | None = None) -> Path:
        return record(
            path, [*self.streams.values(), self.out], self.notes if notes is None else notes
        )

    def announced(self, output: Any) -> None: ...

    def deliver(self, chunk: Chunk) -> None:
        self.out.append(chunk.copy())

    def lost(self, gap: Any) -> None: ...

    def clock_changed(self, clock: Any) -> None: ...

    def ended(self) -> None: ...


def given(n: int, begin: float = 100.0, seed: int = 0) -> list[Given]:
    """Each event has one that would block it just before; half of them came too late for that."""
    late = np.random.default_rng(seed).random(n) < 0.5
    found: list[Given] = []
    for number in range(n):
        at = begin + number
        pair = [("art.markers", at - 0.01), ("go.markers", at)]
        found += pair[::-1] if late[number] else pair
    return found


def veto(types: Types, **params: Any) -> GraphSpec:
    return graph(
        types,
        *SOURCES,
        NodeSpec("veto", "event_logic.EventFilter", params={"after": AFTER, **params},
                 inputs={"events": ("go.markers",), "block": ("art.markers",)}),
    )  # fmt: skip


def test_what_came_late_comes_late_again(tmp_path: Path, types: Types) -> None:
    live = Live()
    live.give(given(100))
    live.note()

    done, found = replayed(live.record(tmp_path / "a.h5"), veto(types), types)

    assert_same(found)
    assert 20 < found["veto.passed"].n_recorded < 80
    assert done.unordered == {}


def test_without_the_journal_it_comes_in_the_order_of_its_times(
    tmp_path: Path, types: Types
) -> None:
    live = Live()
    live.give(given(100))

    done, found = replayed(live.record(tmp_path / "a.h5", notes=[]), veto(types), types)

    assert found["veto.passed"].missing == found["veto.passed"].n_recorded
    assert done.unordered == {"veto": (200, 200)}


def test_what_the_journal_does_not_tell_of_is_handed_on_as_it_comes(
    tmp_path: Path, types: Types
) -> None:
    live = Live()
    live.give(given(40))
    live.note()
    live.give(given(20, begin=140.0, seed=1))
    live.runner.order.drain()  # this entry is lost
    live.give(given(40, begin=160.0, seed=2))
    live.note()

    done, found = replayed(live.record(tmp_path / "a.h5"), veto(types), types)

    passed = found["veto.passed"]
    in_stretch = [chunk for chunk in live.out if 140 <= float(chunk.timestamps[0]) < 160]
    assert in_stretch
    assert (passed.missing, passed.extra) == (len(in_stretch), 0)
    assert done.unordered == {"veto": (40, 200)}


def test_an_epoch_that_began_anew_is_found_again(tmp_path: Path, types: Types) -> None:
    live = Live()
    live.give(given(30))
    live.restart("art.markers")
    live.give(given(30, begin=130.0, seed=1))
    live.note()

    done, found = replayed(live.record(tmp_path / "a.h5"), veto(types), types)

    assert_same(found)
    assert done.unordered == {}


def test_a_recording_from_the_middle_has_the_order_from_there_on(
    tmp_path: Path, types: Types
) -> None:
    live = Live(epoch=2)
    live.give(given(20))
    live.note()
    before = len(live.out)
    live.give(given(60, begin=120.0, seed=1))
    live.note()
    for stream in live.streams:
        live.streams[stream] = live.streams[stream][20:]
    live.out = live.out[before:]

    done, found = replayed(live.record(tmp_path / "a.h5"), veto(types), types)

    assert_same(found)
    assert done.unordered == {}


def test_a_change_is_made_between_the_same_samples_of_all_inputs(
    tmp_path: Path, types: Types
) -> None:
    live = Live()
    live.give(given(30))
    taken = {port: meter.delivered for port, meter in live.runner.meters.items()}
    live.runner.set_parameters({"after": 0.001})
    live.give([("go.markers", 130.0), ("art.markers", 129.99), ("go.markers", 130.02)])
    live.note()
    change = {"kind": "parameters", "time": 129.5, "node": "veto", "values": {"after": 0.001},
              "effective": {}, "taken": taken}  # fmt: skip

    path = live.record(tmp_path / "a.h5", notes=[*live.notes, change])
    done, found = replayed(path, veto(types), types)

    assert_same(found)
    assert (done.n_changes, done.n_by_time) == (1, 0)


@pytest.mark.parametrize("after", [0.0, 0.001])
def test_what_another_graph_computes_is_not_put_into_the_order_of_the_journal(
    tmp_path: Path, types: Types, after: float
) -> None:
    live = Live()
    live.give(given(60))
    live.note()
    (note,) = live.notes
    note = {**note, "inputs": [["events", "go.markers"], ["block", "thin.passed"]]}
    graph_then = _thinned(types, 0.0)
    path = tmp_path / "a.h5"
    record(path, [*live.streams.values(), live.out], [note], graph=graph_then.to_dict())

    done, found = replayed(path, _thinned(types, after), types)

    assert done.unordered == ({"veto": (120, 120)} if after else {})
    assert found["veto.passed"].is_same is not bool(after)


def _thinned(types: Types, after: float) -> GraphSpec:
    return graph(
        types,
        *SOURCES,
        NodeSpec("thin", "event_logic.EventFilter", params={"after": after},
                 inputs={"events": ("art.markers",)}),
        NodeSpec("veto", "event_logic.EventFilter", params={"after": AFTER},
                 inputs={"events": ("go.markers",), "block": ("thin.passed",)}),
    )  # fmt: skip


class _Taken:
    def __init__(self, name: str, taken: list[Any]) -> None:
        self.name, self.taken = name, taken

    def hand(self, chunk: Chunk) -> None:
        self.taken.append((self.name, chunk.epoch, chunk.index, chunk.stop))


def _chunk(start: int, stop: int, epoch: int = 0) -> Markers:
    times = np.arange(start, stop) / 10
    return Markers(["x"] * (stop - start), times, index=start, epoch=epoch)


def _turns(*runs: list[int]) -> tuple[Turns, list[Any]]:
    note = {"kind": "order", "node": "it", "inputs": [["p", "a"], ["p", "b"]],
            "runs": [number for run in runs for number in run[:2]],
            "from": [[at, *run[2:]] for at, run in enumerate(runs) if run[2:]]}  # fmt: skip
    turns, taken = Turns([note], "it"), list[Any]()
    for name in ("a", "b"):
        turns.add("p", name, _Taken(name, taken))
    turns.begin({"a", "b"})
    return turns, taken


def test_chunks_are_cut_where_it_was_the_turn_of_another() -> None:
    turns, taken = _turns([0, 4, 0, 0], [1, 2, 0, 0], [0, 4], [1, 3])

    turns.take("p", "a", _chunk(0, 8))
    turns.take("p", "b", _chunk(0, 5))

    assert taken == [("a", 0, 0, 4), ("b", 0, 0, 2), ("a", 0, 4, 8), ("b", 0, 2, 5)]
    assert (turns.n_in_order, turns.n_as_came) == (13, 0)


def test_what_the_recorder_has_lost_is_not_waited_for() -> None:
    turns, taken = _turns([0, 4, 0, 0], [1, 2, 0, 0], [0, 4], [1, 3])

    turns.take("p", "b", _chunk(0, 5))
    assert taken == []
    turns.take("p", "a", _chunk(6, 8))

    assert taken == [("b", 0, 0, 2), ("a", 0, 6, 8), ("b", 0, 2, 5)]


def test_what_ends_is_not_waited_for_and_ends_after_what_is_held() -> None:
    turns, taken = _turns([0, 4, 0, 0], [1, 2, 0, 0], [0, 4], [1, 3])
    turns.take("p", "b", _chunk(0, 5))
    turns.end("p", "b", lambda: taken.append("end of b"))
    turns.take("p", "a", _chunk(0, 4))

    assert taken == [("a", 0, 0, 4), ("b", 0, 0, 2)]
    turns.end("p", "a", lambda: taken.append("end of a"))
    assert taken == [("a", 0, 0, 4), ("b", 0, 0, 2), "end of a", ("b", 0, 2, 5), "end of b"]


def test_a_description_comes_with_the_first_sample_that_it_is_for() -> None:
    turns, taken = _turns([0, 4, 0, 0], [1, 2, 0, 0], [0, 4, 1, 0])
    turns.announce("p", "a", lambda: taken.append("a"))
    turns.take("p", "a", _chunk(0, 4))
    turns.announce("p", "a", lambda: taken.append("a anew"))
    turns.take("p", "a", _chunk(0, 4, epoch=1))
    turns.take("p", "b", _chunk(0, 2))

    assert taken == ["a", ("a", 0, 0, 4), ("b", 0, 0, 2), "a anew", ("a", 1, 0, 4)]


def test_after_some_seconds_nothing_is_waited_for_any_more() -> None:
    turns, taken = _turns([0, 4, 0, 0], [1, 200, 0, 0])

    for start in range(0, 100, 10):
        turns.take("p", "b", _chunk(start, start + 10))

    assert turns.is_given_up
    assert taken[-1] == ("b", 0, 90, 100)
    assert turns.n_as_came == 100

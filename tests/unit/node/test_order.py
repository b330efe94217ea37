"""In which order a node with several inputs was handed their samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from rigmesh.node import Input, InputLink, Node, NodeRunner, Output, order
from rigmesh.streams import Chunk, Markers, Signal, StreamInfo

Take = Callable[[Chunk], None]


class Two(Node):
    """Takes two kinds of things."""

    first = Input(Signal)
    others = Input(Markers, many=True)
    out = Output(Markers)

    def prepare(self) -> None:
        self.out.announce(StreamInfo.markers("out"))
        self.taken: list[str] = []

    def process_first(self, chunk: Signal) -> None:
        self.taken.append("first")

    def process_others(self, chunk: Markers) -> None:
        self.taken.append("others")


class Sink(Node):
    """Gives nothing."""

    streams = Input(Signal, Markers, many=True)

    def process(self, chunk: Chunk) -> None: ...


class Apart(Two):
    """Reaches the world outside."""

    detached: ClassVar[str] = "it waits"


class Rig:
    """A node and the functions that take its chunks."""

    def __init__(self, node: Node) -> None:
        self.runner = NodeRunner(node, "two")
        self.takes: dict[str, Take] = {}
        self.links: dict[str, InputLink] = {}

    def attach(self, port: str, stream: str) -> None:
        link = self.links[stream] = InputLink(stream)
        self.runner.order.attach(port, link, lambda take: self.takes.update({stream: take}))

    def start(self) -> None:
        self.runner.open()
        for stream, link in self.links.items():
            info = StreamInfo.markers(stream)
            if stream == "eeg.signal":
                info = StreamInfo.signal(stream, channels=1, sampling_rate=100.0)
            self.runner.input_announced(link, info, new_epoch=False)
        self.runner.start()

    def give(self, stream: str, start: int, n: int, epoch: int = 0) -> None:
        times = np.arange(start, start + n, dtype=float)
        chunk: Chunk = (
            Signal(np.zeros((n, 1)), times) if stream == "eeg.signal" else Markers(["x"] * n, times)
        )
        chunk.index, chunk.epoch = start, epoch
        with self.runner.lane:
            self.takes[stream](chunk)

    def drained(self) -> dict[str, Any]:
        entry = self.runner.order.drain()
        assert entry is not None
        return entry


@pytest.fixture
def rig() -> Rig:
    rig = Rig(Two())
    rig.attach("first", "eeg.signal")
    rig.attach("others", "a.events")
    rig.attach("others", "b.events")
    rig.start()
    return rig


def test_the_order_is_noted_and_what_follows_on_itself_is_one_run(rig: Rig) -> None:
    rig.give("eeg.signal", 50, 10)
    rig.give("eeg.signal", 60, 10)
    rig.give("b.events", 0, 1)
    rig.give("eeg.signal", 70, 10)
    rig.give("eeg.signal", 0, 10, epoch=1)

    entry = rig.drained()

    assert (entry["kind"], entry["node"], entry["lost"]) == ("order", "two", False)
    assert entry["inputs"] == [["first", "eeg.signal"], ["others", "a.events"],
                               ["others", "b.events"]]  # fmt: skip
    assert entry["runs"] == [0, 20, 2, 1, 0, 10, 0, 10]
    assert entry["from"] == [[0, 0, 50], [1, 0, 0], [3, 1, 0]]
    assert rig.runner.node.taken == ["first", "first", "others", "first", "first"]  # type: ignore[attr-defined]


def test_it_is_told_once(rig: Rig) -> None:
    rig.give("a.events", 0, 1)
    rig.drained()

    assert rig.runner.order.drain() is None
    rig.give("a.events", 1, 1)
    entry = rig.drained()
    assert (entry["runs"], entry["from"]) == ([1, 1], [[0, 0, 1]])


def test_of_too_many_chunks_the_last_are_kept_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order, "_MOST", 3)
    small = Rig(Two())
    small.attach("first", "eeg.signal")
    small.attach("others", "a.events")
    small.start()
    for n in range(4):
        small.give("eeg.signal", 10 * n, 10)
        small.give("a.events", n, 1)

    entry = small.drained()

    assert (entry["runs"], entry["lost"]) == ([1, 1, 0, 10, 1, 1], True)
    assert entry["from"] == [[0, 0, 2], [1, 0, 30]]
    small.give("a.events", 4, 1)
    assert not small.drained()["lost"]


def test_chunks_without_samples_have_no_order(rig: Rig) -> None:
    rig.give("eeg.signal", 0, 0)
    rig.give("a.events", 0, 0)

    assert rig.drained()["runs"] == []


@pytest.mark.parametrize("node", [Sink(), Apart()])
def test_where_nothing_depends_on_it_nothing_is_noted(node: Node) -> None:
    rig = Rig(node)
    port = next(iter(node.bound_inputs())).name
    rig.attach(port, "eeg.signal")
    rig.attach("others" if port == "first" else port, "a.events")

    assert not rig.runner.order.is_noted
    assert {take.__name__ for take in rig.takes.values()} == {"take"}


def test_a_node_with_one_stream_has_the_function_that_it_always_had() -> None:
    rig = Rig(Two())
    rig.attach("first", "eeg.signal")
    assert rig.takes["eeg.signal"].__name__ == "take"

    rig.attach("others", "a.events")
    assert {take.__name__ for take in rig.takes.values()} == {"take_and_note"}

    rig.runner.order.detach(rig.links["a.events"])
    assert rig.takes["eeg.signal"].__name__ == "take"
    assert not rig.runner.node.port("others").links


def test_another_run_begins_with_nothing_noted(rig: Rig) -> None:
    rig.give("a.events", 0, 1)

    rig.runner.begin_run()

    assert rig.runner.order.drain() is None

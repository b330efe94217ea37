"""Nodes that the tests of this folder run, and how they are run without a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rigmesh.node import Hz, Input, InputLink, Node, NodeRunner, Output, param
from rigmesh.node.testing import sine
from rigmesh.streams import Chunk, ClockModel, Gap, Signal, StreamInfo

SINE = sine(10, duration=0.1)
INFO = StreamInfo.signal("test.signal", channels=1, sampling_rate=1000.0)


class Gain(Node):
    """Multiply; writes down which hooks were called."""

    signal = Input(Signal)
    out = Output(Signal)
    factor: float = param(default=2.0, ge=0, doc="What to multiply by.", live=True)
    offset: float = param(default=0.0, doc="What to add.")

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.hooks: list[str] = []

    def open(self) -> None:
        self.hooks.append("open")

    def prepare(self) -> None:
        self.hooks.append("prepare")
        self.out.announce(self.signal.info)

    def process(self, chunk: Signal) -> Signal | None:
        self.hooks.append("process")
        return chunk.with_data(chunk.data * self.factor + self.offset)

    def close(self) -> None:
        self.hooks.append("close")


class Ticker(Node):
    """Give one sample after the other until it is stopped, or until the end."""

    out = Output(Signal)
    n: int = param(default=0, doc="How many; 0 for no end.")
    rate: Hz = param(default=100.0, doc="Only said, not kept.")
    fails: bool = param(default=False, doc="Whether to fail at the end.")

    def prepare(self) -> None:
        self.out.announce(StreamInfo.signal("", channels=1, sampling_rate=self.rate))

    def acquire(self) -> Iterator[Signal]:
        at = 0
        while not self.n or at < self.n:
            yield Signal(np.full((1, 1), float(at)), np.full(1, float(at)))
            at += 1
            if not self.wait(0.0001):
                return
        if self.fails:
            raise RuntimeError("unplugged")


class Seen:
    """A target that keeps the chunks."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self.deliver = chunks.append

    def announced(self, output: Output[Chunk]) -> None: ...
    def lost(self, gap: Gap) -> None: ...
    def clock_changed(self, clock: ClockModel) -> None: ...
    def ended(self) -> None: ...


def fed(node: Node) -> tuple[NodeRunner, InputLink, Callable[[Chunk], None]]:
    """Make a runner whose only input has a stream, which has one stream."""
    runner = NodeRunner(node, "it")
    port = next(iter(node.bound_inputs()))
    link = InputLink("test.signal")
    port.links.append(link)
    return runner, link, runner.handler(port.name)

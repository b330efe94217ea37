"""Drives a node of events whose clock stands where the test puts it."""

from __future__ import annotations

import numpy as np

from rigmesh.node import InputLink, Node, NodeRunner
from rigmesh.node.testing import Collector, TestRuntime
from rigmesh.streams import IDENTITY, ClockModel, Markers, StreamInfo

Event = tuple[float, str]


class EventLoop:
    """A running node that takes events.

    Parameters
    ----------
    node : Node
        The node.
    streams : dict of str to str
        The input that each stream is linked to; the first stream is the one fed by default.

    Attributes
    ----------
    output : Collector
        What the node gives.
    """

    def __init__(self, node: Node, streams: dict[str, str] | None = None) -> None:
        self.node = node
        self.clock = TestRuntime()
        node.runtime = self.clock
        self.runner = NodeRunner(node, "node", scribble=True)
        self.output = Collector()
        for output in node.bound_outputs():
            output.add_target(self.output)
        self._inputs = streams or {"events": "events"}
        self._links = {stream: InputLink(stream) for stream in self._inputs}
        for stream, port in self._inputs.items():
            node.port(port).links.append(self._links[stream])

    def start(self) -> EventLoop:
        self.runner.open()
        for stream in self._inputs:
            self.announce(stream)
        if self.runner.failure is not None:
            raise self.runner.failure
        self.runner.start()
        return self

    def announce(self, stream: str, *, new_epoch: bool = False) -> None:
        info = StreamInfo.markers(stream)
        self.runner.input_announced(self._links[stream], info, new_epoch=new_epoch)

    def end(self) -> None:
        for link in self._links.values():
            self.runner.input_ended(link)

    def feed(self, *events: Event, stream: str = "", clock: ClockModel = IDENTITY) -> None:
        """Feed events in one chunk; the clock stays where it is."""
        stream = stream or next(iter(self._inputs))
        times, texts = [time for time, _ in events], [text for _, text in events]
        chunk = Markers(texts, np.array(times, dtype=np.float64), clock=clock)
        chunk.info = StreamInfo.markers(stream)
        with self.runner.lane:
            self.runner.handler(self._inputs[stream])(chunk)
        if self.runner.failure is not None:
            raise self.runner.failure

    def feed_at_once(self, *events: Event, stream: str = "") -> None:
        """Feed each event in a chunk of its own, when the clock is there."""
        for time, text in events:
            self.clock.advance(time)
            self.feed((time, text), stream=stream)

    @property
    def given(self) -> list[Event]:
        """Raw stamps and texts of what the node gave."""
        return [
            (float(time), text)
            for chunk in self.output.chunks
            for time, text in zip(chunk.raw_timestamps, chunk.data, strict=True)
        ]

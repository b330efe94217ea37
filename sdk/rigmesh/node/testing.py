"""Testing nodes with no daemon: :func:`run`, signals to feed, and :class:`NodeTests`."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rigmesh.node._feeding import chunked, markers, sine, split
from rigmesh.node.base import Node
from rigmesh.node.ports import InputLink, Output
from rigmesh.node.runner import NodeRunner, NodeState
from rigmesh.streams import Cause, Chunk, ClockModel, Frames, Gap, Markers, Signal, StreamInfo

__all__ = [
    "Collector",
    "NodeTests",
    "TestRuntime",
    "chunked",
    "collect",
    "markers",
    "run",
    "sine",
    "split",
]


class TestRuntime:
    """A runtime whose clock stands where the test puts it; timers run when it passes them."""

    __test__ = False

    def __init__(
        self, *, context: Mapping[str, Any] | None = None, recording_root: str = ""
    ) -> None:
        self.run_start = 0.0
        self.context: Mapping[str, Any] = context or {}
        self.recording_root = recording_root
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Remember a callback."""
        heapq.heappush(self._due, (when, next(self._numbers), callback))

    def advance(self, now: float) -> None:
        """Move the clock and run what is due on the way."""
        while self._due and self._due[0][0] <= now:
            when, _, callback = heapq.heappop(self._due)
            self.now = max(self.now, when)
            callback()
        self.now = max(self.now, now)


class Collector:
    """An output's target that keeps what it gets.

    Attributes
    ----------
    chunks : list of Chunk
        Copies of the chunks.
    infos : list of StreamInfo
        Each description announced.
    epochs : list of int
        The epoch of each.
    gaps : list of Gap
        What the node said it lost.
    clocks : list of ClockModel
        Each clock model set.
    is_ended : bool
        Whether the stream is over.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.infos: list[StreamInfo] = []
        self.epochs: list[int] = []
        self.gaps: list[Gap] = []
        self.clocks: list[ClockModel] = []
        self.is_ended = False

    def announced(self, output: Output[Chunk]) -> None:
        """Keep a description."""
        self.infos.append(output.info)
        self.epochs.append(output.epoch)

    def deliver(self, chunk: Chunk) -> None:
        """Keep a copy of a chunk."""
        self.chunks.append(chunk.copy())

    def lost(self, gap: Gap) -> None:
        """Keep a gap."""
        self.gaps.append(gap)

    def clock_changed(self, clock: ClockModel) -> None:
        """Keep a clock model."""
        self.clocks.append(clock)

    def ended(self) -> None:
        """Keep in mind that the stream is over."""
        self.is_ended = True


def run(
    node: Node,
    *chunks: Chunk | Sequence[Chunk],
    port: str = "",
    name: str = "node",
    runtime: TestRuntime | None = None,
    max_samples: int | None = None,
    **more: Chunk | Sequence[Chunk],
) -> Any:
    """Run a node over chunks and return what it gives.

    The chunks handed to the node are overwritten as soon as its hook returns.

    Parameters
    ----------
    node : Node
        A fresh node.
    *chunks : Chunk or list of Chunk
        What comes into its only input, or into `port`.
    port : str
        The input, if there are several.
    name : str
        The node's name.
    runtime : TestRuntime
        Clock and context of the node.
    max_samples : int
        Of a source: stop it after so many samples.
    **more : Chunk or list of Chunk
        What comes into other inputs, by name; several inputs are fed in the order of time.

    Returns
    -------
    Chunk, dict of str to Chunk, or None
        All samples of the output in one chunk; a dict if there are several outputs. None if
        nothing came.

    Raises
    ------
    NodeError
        If a hook raised.
    """
    collectors = collect(node, *chunks, port=port, name=name, runtime=runtime,
                         max_samples=max_samples, **more)  # fmt: skip
    joined = {key: _join(c.chunks, c.infos) for key, c in collectors.items()}
    if len(joined) == 1:
        return next(iter(joined.values()))
    return joined or None


def collect(
    node: Node,
    *chunks: Chunk | Sequence[Chunk],
    port: str = "",
    name: str = "node",
    runtime: TestRuntime | None = None,
    max_samples: int | None = None,
    **more: Chunk | Sequence[Chunk],
) -> dict[str, Collector]:
    """Run a node as :func:`run` does; return chunks, descriptions and gaps of each output."""
    runtime = runtime or TestRuntime()
    node.runtime = runtime
    runner = NodeRunner(node, name, scribble=True)
    collectors: dict[str, Collector] = {}
    for output in node.bound_outputs():
        collectors[output.name] = Collector()
        output.add_target(collectors[output.name])
    flat = [c for item in chunks for c in _as_list(item)]
    feeds = {key: _as_list(value) for key, value in more.items()}
    if flat:
        feeds[port or next(iter(type(node).inputs))] = flat
    plan = _link(runner, feeds)
    try:
        runner.open()
        for feed in plan:
            runner.input_announced(feed.link, feed.info, new_epoch=False)
        _raise_failure(runner)
        if max_samples is not None:
            _stop_after(runner, max_samples)
        runner.start()
        _feed(runner, plan, runtime)
        if node.is_source():
            while runner.state is NodeState.RUNNING:
                node.wait(0.01)
        _raise_failure(runner)
    finally:
        runner.finish(timeout=10)
    return collectors


@dataclass
class _Feed:
    """The chunks of one stream, and the input's handler that takes them."""

    link: InputLink
    chunks: list[Chunk]
    take: Callable[[Chunk], None]

    @property
    def info(self) -> StreamInfo:
        return self.chunks[0].info or _guess(self.chunks[0], self.link.stream)


def _link(runner: NodeRunner, given: Mapping[str, list[Chunk]]) -> list[_Feed]:
    feeds = []
    for port, chunks in given.items():
        by_stream: dict[str, list[Chunk]] = {}
        for chunk in chunks:
            stream = chunk.info.name if chunk.info else f"test.{port}"
            by_stream.setdefault(stream, []).append(chunk)
        for stream, found in by_stream.items():
            link = InputLink(stream, release=_nothing)
            runner.node.port(port).links.append(link)
            feeds.append(_Feed(link, found, runner.handler(port)))
    return feeds


def _feed(runner: NodeRunner, feeds: list[_Feed], runtime: TestRuntime) -> None:
    in_time = sorted(
        ((_last_time(chunk), feed, chunk) for feed in feeds for chunk in feed.chunks),
        key=lambda item: item[0],
    )
    epochs: dict[str, int] = {}
    for time, feed, chunk in in_time:
        link = feed.link
        if epochs.setdefault(link.stream, chunk.epoch) != chunk.epoch:
            epochs[link.stream] = chunk.epoch
            runner.input_announced(link, chunk.info or feed.info, new_epoch=True)
        with runner.lane:
            handed = chunk.copy()
            handed.info = chunk.info or link.info
            begin, count = link.produced.get(chunk.epoch, (chunk.index, chunk.index))
            missed = sum(gap.count for gap in chunk.gaps if gap.cause is not Cause.RESTART)
            link.produced[chunk.epoch] = begin, count + len(chunk) + missed
            feed.take(handed)
            runtime.advance(time)
    for feed in feeds:
        runner.input_ended(feed.link)


def _stop_after(runner: NodeRunner, max_samples: int) -> None:
    """Stop a source in the middle of its thread, so that the count does not depend on speed."""
    output = next(runner.node.bound_outputs())

    class Stop(Collector):
        def deliver(self, chunk: Chunk) -> None:
            if chunk.stop >= max_samples:
                runner.request_stop()

    output.add_target(Stop())


def _nothing() -> None:
    """Do nothing: nobody waits for a release in a test."""


def _last_time(chunk: Chunk) -> float:
    return float(chunk.raw_timestamps[-1]) if len(chunk) else 0.0


def _raise_failure(runner: NodeRunner) -> None:
    if runner.failure is not None:
        raise runner.failure


def _as_list(value: Chunk | Sequence[Chunk]) -> list[Chunk]:
    return [value] if isinstance(value, Chunk) else list(value)


def _guess(chunk: Chunk, name: str) -> StreamInfo:
    stamps = chunk.raw_timestamps
    rate = 1 / float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    if isinstance(chunk, Markers):
        return StreamInfo.markers(name)
    if isinstance(chunk, Frames):
        return StreamInfo.frames(
            name, shape=chunk.data.shape[1:], sampling_rate=rate, dtype=chunk.data.dtype.name
        )
    return StreamInfo.signal(
        name,
        channels=chunk.data.shape[1],
        sampling_rate=round(rate, 6),
        dtype=chunk.data.dtype.name,
    )


def _join(chunks: list[Chunk], infos: list[StreamInfo]) -> Chunk | None:
    if not chunks:
        return None
    first = chunks[0]
    stamps = np.concatenate([c.raw_timestamps for c in chunks])
    data: Any
    if isinstance(first, Markers):
        data = [text for c in chunks for text in c.data]
    else:
        data = np.concatenate([c.data for c in chunks])
    gaps = tuple(gap for c in chunks for gap in c.gaps)
    return type(first)(
        data, stamps, index=first.index, epoch=first.epoch, gaps=gaps, clock=first.clock,
        info=infos[-1],
    )  # fmt: skip


class NodeTests:
    """What every processing node must do; subclass it and say how to make the node.

    Attributes
    ----------
    make : callable
        Makes a fresh node.
    feed : Chunk
        What to feed its input with.
    exact : bool
        Whether another chunking gives the same bits, or only close numbers.
    """

    make: ClassVar[Callable[[], Node]]
    feed: ClassVar[Chunk]
    exact: ClassVar[bool] = True

    @functools.cached_property
    def _whole(self) -> Any:
        return run(type(self).make(), self.feed)

    def test_chunk_sizes_do_not_change_the_result(self) -> None:
        """Feed the same samples in many cuts; the results are equal."""
        from hypothesis import example, given, settings
        from hypothesis import strategies as st

        sizes = st.lists(st.integers(1, max(2, len(self.feed) // 2)), max_size=12)

        # Cuts that few random ones come near, and that devices make.
        @example([1] * 64)
        @example([7] * min(len(self.feed) // 7, 1000))
        @settings(max_examples=25, deadline=None)
        @given(sizes)
        def cut(sizes: list[int]) -> None:
            result = run(type(self).make(), split(self.feed, sizes))
            self._check_same(self._whole, result)

        cut()

    def test_channels_do_not_know_of_each_other(self) -> None:
        """Feed a class that says so (`channel_wise`) more channels; those before are the same."""
        feed = self.feed
        if not (type(type(self).make()).channel_wise and isinstance(feed, Signal)):
            return
        n = feed.data.shape[1]
        alone = run(type(self).make(), Signal(feed.data, feed.raw_timestamps))
        both = np.hstack((feed.data, feed.data[:, ::-1]))
        stacked = run(type(self).make(), Signal(both, feed.raw_timestamps))
        if isinstance(alone, Signal):
            for found in (stacked.data[:, :n], stacked.data[:, n:][:, ::-1]):
                np.testing.assert_allclose(found, alone.data, rtol=1e-6, atol=1e-9)

    def test_every_public_name_is_documented(self) -> None:
        """The class has a docstring; every parameter says what it does."""
        cls = type(type(self).make())

        assert cls.__doc__
        assert all(field.description for field in cls.declared().fields.values())

    def _check_same(self, expected: Any, found: Any) -> None:
        if isinstance(expected, dict):
            for key in expected:
                self._check_same(expected[key], found[key])
            return
        if expected is None or found is None:
            assert expected is found
            return
        np.testing.assert_array_equal(expected.raw_timestamps, found.raw_timestamps)
        if isinstance(expected, Markers):
            assert expected.data == found.data
        elif self.exact:
            np.testing.assert_array_equal(expected.data, found.data)
        else:
            np.testing.assert_allclose(expected.data, found.data, rtol=1e-9, atol=1e-12)

"""What happens to a chunk on its way through a node: the code that runs most, in one place.

A chain of nodes is one nested call, so everything here is paid for once a node and chunk. What can
be known before is bound by `taker`; what is counted is one clock reading, two sums and a bin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rigmesh.node.histogram import BIN_OF, LINEAR, Histogram, bin_of
from rigmesh.streams import Chunk, Markers

if TYPE_CHECKING:
    from rigmesh.node.runner import NodeRunner

__all__ = ["NEVER", "Meter", "taker"]

NEVER = 2**63
"""A latency that no chunk has, in ns."""


class Meter:
    """What an input of a node has been handed, and what the node made of it.

    Attributes
    ----------
    delivered : int
        Samples handed to the node.
    latency : Histogram
        From the moment a chunk was received in its group (over a ring: in the group before) until
        this node was done with it.
    work : int
        Time spent in the node itself, in ns.
    deadline : int
        Latency that counts as a miss, in ns.
    late : int
        How often that was missed.
    """

    __slots__ = ("deadline", "delivered", "late", "latency", "work")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.latency = Histogram()
        self.delivered = self.work = self.late = 0

    def reset(self) -> None:
        """Begin to count."""
        self.delivered = self.work = self.late = 0
        self.latency.clear()


def taker(runner: NodeRunner, port: str) -> Callable[[Chunk], None]:
    """Return the function that takes the chunks of an input; its caller holds the lane."""
    node, running = runner.node, runner.state.RUNNING
    hook = type(node).handler_name(port)
    method = getattr(node, hook)
    wants_empty = node.port(port).lossless
    meter, watchers = runner.meters[port], runner.watchers
    counts = meter.latency.counts
    output = runner.only_output
    now, linear, bins = time.monotonic_ns, LINEAR, BIN_OF

    def take(chunk: Chunk) -> None:
        if runner.state is not running:
            return
        try:
            if chunk.gaps:
                runner.pass_on_gaps(chunk)
            n = len(chunk.raw_timestamps)
            if not n and not wants_empty:
                return
            meter.delivered += n
            result = method(chunk)
            lane = runner.lane
            done = now()
            meter.work += done - lane.mark
            lane.mark = done
            latency = done - lane.received
            counts[bins[latency >> 8] if latency < linear else bin_of(latency)] += 1
            if latency > meter.deadline:
                meter.late += 1
            if watchers:
                runner.tell_watchers()
            if result is not None:
                if output is None:
                    raise runner.no_only_output(result, hook)
                output.send(result)
        except Exception as error:
            runner.fail(hook, error)

    def take_and_scribble(chunk: Chunk) -> None:
        copied = chunk.copy()
        try:
            take(copied)
        finally:
            _scribble_over(copied)

    return take_and_scribble if runner.scribbles else take


def _scribble_over(chunk: Chunk) -> None:
    if isinstance(chunk, Markers):
        chunk.data[:] = ["overwritten after process() returned"] * len(chunk.data)
    else:
        chunk.data.flags.writeable = True
        chunk.data[...] = np.array(77).astype(chunk.data.dtype)
    chunk.raw_timestamps[:] = np.nan

"""What people changed while a graph was recorded, made again at the same samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rigmesh.errors import NodeError, RigmeshError
from rigmesh.node import Input, InputLink, NodeRunner, Output
from rigmesh.node.live import call, write
from rigmesh.streams import Chunk, ClockModel, Gap, StreamInfo
from rigmesh_nodes._replay_order import Turns, cut

__all__ = ["Changes", "Link", "Note"]

Note = Mapping[str, Any]

_KINDS = ("parameters", "state", "command")
_NEAR = 1.0
"""How long after its newest sample a node may be changed, in seconds."""


@dataclass(slots=True)
class Changes:
    """The changes of one node, in order.

    A note tells how many samples each input had taken (``taken``): exact for any node, as long as
    the recording has all that it took. It also tells for each output the index from which on the
    change held: as good for a regular output, also in a recording that began in the middle. There,
    what only gives events is changed after so many samples if that goes with the time of the note;
    else, and where a note does not tell, at that time, between samples.

    Parameters
    ----------
    runner : NodeRunner
        The node.
    pending : deque of mapping
        Notes on the node that are still to come.
    epochs : mapping of (str, int) to int
        For each stream and epoch that is recorded, the index behind its last sample.

    Attributes
    ----------
    first : dict of str to int
        For each input, the index of the first sample in the recording.
    is_whole : bool
        Whether the recording has the inputs from their first sample on.
    n_made : int
        Changes made.
    refused : list of str
        Changes that this node does not take, in words.
    n_by_time : int
        Changes made at the time of their note, for want of an index.
    """

    runner: NodeRunner
    pending: deque[Note]
    epochs: Mapping[tuple[str, int], int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    n_made: int = 0
    n_by_time: int = 0
    refused: list[str] = field(default_factory=list)
    is_whole: bool = True
    _taken: dict[str, int] = field(default_factory=dict)
    _is_by_time: bool = False

    @classmethod
    def of(
        cls, runner: NodeRunner, notes: Iterable[Note], epochs: Mapping[tuple[str, int], int]
    ) -> Changes:
        """Return those of one node among the notes of a recording."""
        mine = [n for n in notes if n.get("kind") in _KINDS and n.get("node") == runner.name]
        return cls(runner, deque(mine), epochs)

    def hand(self, port: str, chunk: Chunk, link: Link) -> None:
        """Hand a chunk on, in pieces where something changes."""
        while self.pending and len(chunk):
            n = self._before_next(port, chunk)
            if not n:
                self._make(self.pending.popleft())
            elif n < len(chunk):
                head, chunk = cut(chunk, n)
                self._count(port, n)
                link.take(head)
            else:
                break
        self._count(port, len(chunk))
        link.take(chunk)

    def missed(self, port: str, n: int) -> None:
        """Count samples that the node had taken, and only the recorder had not."""
        self._count(port, n)

    def _count(self, port: str, n: int) -> None:
        self._taken[port] = self._taken.get(port, 0) + n

    def _before_next(self, port: str, chunk: Chunk) -> int:
        """Return how many samples can be handed on before it is looked again; 0: now it changes."""
        note = self.pending[0]
        rate = chunk.info.sampling_rate if chunk.info is not None else 0.0
        found = self._of_output(note) if rate else None
        left = self._left(note, port, chunk, rate, has_index=found is not None)
        self._is_by_time = left is None and found is None
        if left is not None:
            return max(0, min(len(chunk), left))
        if found is None:
            return int(np.searchsorted(chunk.timestamps, float(note["time"]), side="right"))
        output, epoch, index = found
        if output.epoch != epoch:
            return len(chunk) if output.epoch < epoch else 0
        if output.index >= index:
            return 0
        # As many as cannot lead too far, then one by one.
        steps = int((index - output.index - 1) * rate / output.info.sampling_rate)
        return min(len(chunk), max(1, steps))

    def _left(
        self, note: Note, port: str, chunk: Chunk, rate: float, *, has_index: bool
    ) -> int | None:
        """Return how many samples are taken before a change, if that is known."""
        taken = note.get("taken") or {}
        if port not in taken:
            return None
        left = int(taken[port]) - self._taken.get(port, 0) - self.first.get(port, 0)
        if not self.is_whole:
            by_time = (float(note["time"]) - float(chunk.timestamps[0])) * rate
            if has_index or not rate or abs(left - by_time) > _NEAR * rate:
                return None
        return left

    def _of_output(self, note: Note) -> tuple[Output[Chunk], int, int] | None:
        """Return a regular output, and the epoch and index from which on a note holds there."""
        for output in self.runner.node.bound_outputs():
            at = (note.get("effective") or {}).get(output.stream)
            if at is None or not output.is_announced or not output.info.is_regular:
                continue
            epoch, index = int(at["epoch"]), int(at["index"])
            if not index and (output.stream, epoch - 1) in self.epochs:
                # The change itself began the epoch.
                return output, epoch - 1, self.epochs[output.stream, epoch - 1]
            return output, epoch, index
        return None

    def _make(self, note: Note) -> None:
        runner, kind = self.runner, note["kind"]
        self.n_by_time += self._is_by_time
        try:
            if kind == "parameters":
                runner.set_parameters(note["values"])
            elif kind == "state":
                write(runner, note["values"], note.get("writer", "clients"))
            else:
                call(runner, note["command"], note.get("arguments", {}))
        except NodeError:
            if runner.failure is not None:
                raise
            self.n_made += 1  # a command that failed did so when it was recorded, too
        except RigmeshError as error:
            self.refused.append(str(error))
        else:
            self.n_made += 1


class Link:
    """Brings the chunks of an output to an input, and changes the node on the way.

    Parameters
    ----------
    runner : NodeRunner
        The node.
    port : str
        Its input.
    stream : str
        The stream.
    changes : Changes
        Those of the node.
    turns : Turns
        In which order it takes the samples of several streams.
    """

    def __init__(
        self,
        runner: NodeRunner,
        port: str,
        stream: str,
        changes: Changes,
        turns: Turns | None = None,
    ) -> None:
        into: Input[Chunk] = runner.node.port(port)
        self.take = runner.handler(port)
        self._link = InputLink(stream)
        into.links.append(self._link)
        self._runner = runner
        self._port = port
        self._changes = changes
        self._turns = turns
        if turns is not None:
            turns.add(port, stream, self)
        self._epoch: int | None = None
        self._next: int | None = None

    def announced(self, output: Output[Chunk]) -> None:
        """Pass the description on."""
        tell = partial(self._describe, output.info, output.epoch, output.index)
        if self._turns is None:
            tell()
        else:
            self._turns.announce(self._port, self._link.stream, tell)

    def deliver(self, chunk: Chunk) -> None:
        """Hand a chunk on, when it is its turn."""
        if self._turns is None:
            self.hand(chunk)
        else:
            self._turns.take(self._port, self._link.stream, chunk)

    def hand(self, chunk: Chunk) -> None:
        """Hand a chunk to the node."""
        if self._changes.pending:
            # Only what a recorder was too slow for is counted by the index, too.
            if self._next is not None:
                self._changes.missed(self._port, chunk.index - self._next)
            self._next = chunk.stop
            self._changes.hand(self._port, chunk, self)
        else:
            self.take(chunk)

    def lost(self, gap: Gap) -> None:
        """Nothing to do: the next chunk carries the gap."""

    def clock_changed(self, clock: ClockModel) -> None:
        """Nothing to do: the next chunk carries the clock."""

    def ended(self) -> None:
        """Pass the end on."""
        tell = partial(self._runner.input_ended, self._link)
        if self._turns is None:
            tell()
        else:
            self._turns.end(self._port, self._link.stream, tell)

    def _describe(self, info: StreamInfo, epoch: int, index: int) -> None:
        is_new = self._epoch is not None and epoch != self._epoch
        if is_new:
            self._next = index
        self._epoch = epoch
        self._runner.input_announced(self._link, info, new_epoch=is_new)

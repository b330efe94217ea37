"""In which order a node with several inputs was handed their samples: noted, so as to be repeated.

Results of such a node may depend on it, and it cannot be told from stamps afterwards. A node with
one input pays nothing: only where there are several are functions bound that take note.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rigmesh.node.inputs import InputLink
from rigmesh.streams import Chunk, local_clock

if TYPE_CHECKING:
    from rigmesh.node.runner import NodeRunner

__all__ = ["DeliveryOrder"]

Take = Callable[[Chunk], None]
Bind = Callable[[Take], None]

_Noted = tuple[int, int, int, int]
"""Input, epoch, index and length of a chunk."""

_MOST = 16384
"""Chunks that are kept until they are fetched; the order of earlier ones is lost."""


class DeliveryOrder:
    """The streams linked to a node, and in which order it was handed what.

    Parameters
    ----------
    runner : NodeRunner
        The node.

    Attributes
    ----------
    is_noted : bool
        Whether there is an order that matters: of several streams, in a node that gives something.
    """

    def __init__(self, runner: NodeRunner) -> None:
        self.is_noted = False
        self._runner = runner
        self._links: dict[InputLink, tuple[str, Bind]] = {}
        self._inputs: list[tuple[str, str]] = []
        self._noted: deque[_Noted] = deque(maxlen=_MOST)

    def attach(self, port: str, link: InputLink, bind: Bind) -> None:
        """Link a stream to an input.

        Parameters
        ----------
        port : str
            The input.
        link : InputLink
            The stream.
        bind : callable
            Told which function takes the chunks, now and whenever it is another one.
        """
        node = self._runner.node
        node.port(port).links.append(link)
        self._links[link] = port, bind
        self._rebind(link)

    def detach(self, link: InputLink) -> None:
        """Undo :meth:`attach`."""
        port, _ = self._links.pop(link)
        self._runner.node.port(port).links.remove(link)
        self._rebind()

    def drain(self) -> dict[str, Any] | None:
        """Return what was noted since the last time, for a journal; None if that is nothing."""
        noted = self._noted
        n = len(noted)
        if not n:
            return None
        # Without the lane, which might have to wait for this thread.
        taken: list[_Noted] = []
        with contextlib.suppress(IndexError):  # another run begins meanwhile
            taken.extend(noted.popleft() for _ in range(n))
        if not taken:
            return None
        runs, begins = _runs(taken)
        return {
            "kind": "order", "time": local_clock(), "node": self._runner.name,
            "inputs": [list(each) for each in self._inputs],
            "runs": runs, "from": begins, "lost": n == noted.maxlen,
        }  # fmt: skip

    def forget(self) -> None:
        """Forget the last run."""
        self._noted.clear()

    def _rebind(self, *new: InputLink) -> None:
        node, was_noted = self._runner.node, self.is_noted
        gives = any(True for _ in node.bound_outputs())
        self.is_noted = len(self._links) > 1 and gives and not type(node).detached
        links = new if self.is_noted is was_noted else tuple(self._links)
        for link in links:
            port, bind = self._links[link]
            take = self._runner.handler(port)
            bind(self._noting(port, link.stream, take) if self.is_noted else take)

    def _noting(self, port: str, stream: str, take: Take) -> Take:
        if (port, stream) not in self._inputs:
            self._inputs.append((port, stream))
        number = self._inputs.index((port, stream))
        note = self._noted.append

        def take_and_note(chunk: Chunk) -> None:
            note((number, chunk.epoch, chunk.index, len(chunk.raw_timestamps)))
            take(chunk)

        return take_and_note


def _runs(noted: Sequence[_Noted]) -> tuple[list[int], list[list[int]]]:
    """Return (input, samples) of each run, flat, and (run, epoch, start) where that is new."""
    table = np.array(noted, np.int64)
    table = table[table[:, 3] > 0]
    is_new = np.any(np.diff(table[:, :2], axis=0), axis=1)
    first = np.flatnonzero(np.append(True, is_new)[: len(table)])
    last = np.append(first[1:], len(table))[: len(first)] - 1
    numbers, epochs, starts = table[first, :3].T
    stops = table[last, 2] + table[last, 3]
    follows = np.zeros(len(first), bool)
    for number in np.unique(numbers):
        mine = np.flatnonzero(numbers == number)
        same = (epochs[mine[1:]] == epochs[mine[:-1]]) & (starts[mine[1:]] == stops[mine[:-1]])
        follows[mine[1:]] = same
    new = np.flatnonzero(~follows)
    return (
        np.column_stack((numbers, stops - starts)).ravel().tolist(),
        np.column_stack((new, epochs[new], starts[new])).tolist(),
    )

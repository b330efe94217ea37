"""Links between nodes of one lane: a chunk is handed on by calling."""

from __future__ import annotations

from collections.abc import Callable

from rigmesh.node.ports import InputLink, Output
from rigmesh.node.runner import NodeRunner
from rigmesh.streams import Chunk, ClockModel, Gap

__all__ = ["link_nodes"]


class _NodeTarget:
    """An output's link to the next node of its lane."""

    deliver: Callable[[Chunk], None]

    def __init__(self, runner: NodeRunner, link: InputLink, out: Output[Chunk]) -> None:
        self._runner = runner
        self._link = link
        self._out = out
        self._epoch: int | None = None

    def bind(self, take: Callable[[Chunk], None]) -> None:
        """Hand chunks to this function from now on."""
        self.deliver = take
        self._out.rebind()

    def announced(self, output: Output[Chunk]) -> None:
        """Pass the description on."""
        new = self._epoch is not None and output.epoch != self._epoch
        self._epoch = output.epoch
        self._runner.input_announced(self._link, output.info, new_epoch=new)

    def lost(self, gap: Gap) -> None:
        """Nothing to do: the next chunk carries the gap."""

    def clock_changed(self, clock: ClockModel) -> None:
        """Nothing to do: the next chunk carries the clock."""

    def ended(self) -> None:
        """Pass the end on."""
        self._runner.input_ended(self._link)


def link_nodes(source: NodeRunner, output: str, sink: NodeRunner, port: str) -> Callable[[], None]:
    """Link two nodes within a process; they must share a lane. Return what undoes it."""
    out: Output[Chunk] = source.node.port(output)
    link = InputLink(out.stream)
    target = _NodeTarget(sink, link, out)
    sink.order.attach(port, link, target.bind)
    out.add_target(target)

    def undo() -> None:
        out.remove_target(target)
        sink.order.detach(link)

    return undo

"""Inputs of a node: where chunks come in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rigmesh.errors import StateError
from rigmesh.node.demands import Demands
from rigmesh.streams import Chunk, StreamInfo
from rigmesh.transports import StartAt

__all__ = ["Input", "InputLink"]

C = TypeVar("C", bound=Chunk)


@dataclass(slots=True, eq=False)
class InputLink:
    """One stream that is linked to an input.

    Attributes
    ----------
    stream : str
        Name of the stream, ``node.port``.
    info : StreamInfo or None
        Its description, once announced.
    ended : bool
        Whether it is over.
    start : int, "now" or "oldest"
        Where to begin reading; a node may set it in `open`, for the epoch
        `start_epoch` (other epochs are read from their oldest sample).
    produced : dict of int to (int, int)
        For each epoch: index at which this reader began, and samples that exist up to now or to
        the epoch's end, those lost by the writer included. Kept by who reads the ring.
    """

    stream: str
    info: StreamInfo | None = None
    ended: bool = False
    start: StartAt = "now"
    start_epoch: int = -1
    produced: dict[int, tuple[int, int]] = field(default_factory=dict)
    release: Callable[[], None] | None = field(default=None, repr=False)


class Input(Generic[C]):
    """Declare an input, and use it in the hooks.

    Parameters
    ----------
    *kinds : type of Chunk
        What it takes: :class:`Signal`, :class:`Markers`, :class:`Frames`.
    many : bool
        Whether any number of streams can be linked to it.
    optional : bool
        Whether the node works without it.
    lossless : bool
        A source that may wait waits for this input; the node says what it is done with by
        :meth:`release`, and is handed empty chunks that tell of gaps at the end of a stream.
    demands : Demands
        What its streams must be like; refused before `prepare`, naming the link.
    """

    def __init__(
        self,
        *kinds: type[C],
        many: bool = False,
        optional: bool = False,
        lossless: bool = False,
        demands: Demands = Demands(),  # noqa: B008 - a frozen value
    ) -> None:
        self.kinds = tuple(kind.kind for kind in kinds)
        self.many = many
        self.optional = optional
        self.lossless = lossless
        self.demands = demands
        self.name = ""
        self.links: list[InputLink] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def bound(self) -> Input[C]:
        """Return a copy for one node."""
        port = copy.copy(self)
        port.links = []
        return port

    @property
    def connected(self) -> bool:
        """Whether anything is linked to it."""
        return bool(self.links)

    @property
    def info(self) -> StreamInfo:
        """Description of the linked stream.

        Raises
        ------
        StateError
            Before `prepare`, or if nothing is linked.
        """
        for link in self.links:
            if link.info is not None:
                return link.info
        raise StateError(f"input {self.name!r} has no stream yet; use .info in prepare or later")

    def release(self) -> None:
        """Say that everything received so far is not needed again (it is on disk, say)."""
        for link in self.links:
            if link.release is not None:
                link.release()

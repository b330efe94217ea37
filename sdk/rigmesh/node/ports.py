"""Ports of a node: where chunks come in and go out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from rigmesh.errors import StateError
from rigmesh.node.inputs import Input, InputLink
from rigmesh.node.lane import Lane
from rigmesh.streams import IDENTITY, Cause, Chunk, ClockModel, Gap, StreamInfo

__all__ = ["Input", "InputLink", "Output", "Target"]

C = TypeVar("C", bound=Chunk)


class Target(Protocol):
    """Something an output hands its chunks to: another node, or a ring."""

    def announced(self, output: Output[Chunk]) -> None:
        """Learn the description, also of a new epoch."""

    def deliver(self, chunk: Chunk) -> None:
        """Take a chunk."""

    def lost(self, gap: Gap) -> None:
        """Learn of missing samples before the next chunk."""

    def clock_changed(self, clock: ClockModel) -> None:
        """Learn how raw stamps map onto the local clock."""

    def ended(self) -> None:
        """Learn that nothing follows."""


class Output(Generic[C]):
    """Declare an output, and use it in the hooks.

    Parameters
    ----------
    kind : type of Chunk
        What it gives. Several kinds: the node decides when it announces.

    Attributes
    ----------
    epoch : int
        The present epoch.
    index : int
        Index of the next sample.
    lost : int
        Samples of this epoch known to be lost before they came here.
    lane : Lane
        Held during every push; knows when what is pushed came in.
    is_late : bool
        Set by a node that catches up: what it pushes now is old, and waits for lossless readers.
    on_announce : callable or None
        Told of each description, before the targets are.
    """

    def __init__(self, *kinds: type[C]) -> None:
        self.kinds = tuple(kind.kind for kind in kinds)
        self.name = ""
        self.stream = ""
        self.epoch = 0
        self.index = 0
        self.lost = 0
        self.device_index: int | None = None
        self.is_ended = False
        self.overflow_blocks = False
        self.is_late = False
        self.targets: list[Target] = []
        self.force_new_epoch = False
        self.on_announce: Callable[[Output[C]], None] | None = None
        self._info: StreamInfo | None = None
        self._clock = IDENTITY
        self._has_own_clock = False
        self._pending: list[Gap] = []
        self._deliver: list[Callable[[Chunk], None]] = []
        self.lane = Lane()
        # Size, shape and type of the last chunk that fitted: most are like the one before.
        self._n = -1
        self._shape: tuple[int, ...] = ()
        self._dtype: object = None
        self._is_markers = False

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def bound(self, stream: str) -> Output[C]:
        """Return a copy for one node."""
        port: Output[C] = Output()
        port.kinds, port.name, port.stream = self.kinds, self.name, stream
        return port

    def join(self, lane: Lane) -> None:
        """Take part in a lane: it is held during every push."""
        self.lane = lane

    @property
    def info(self) -> StreamInfo:
        """The description announced last.

        Raises
        ------
        StateError
            If none was announced.
        """
        if self._info is None:
            raise StateError(f"output {self.stream or self.name!r} is not announced yet")
        return self._info

    @property
    def is_announced(self) -> bool:
        """Whether there is a description."""
        return self._info is not None

    def announce(self, info: StreamInfo, *, device_index: int | None = None) -> None:
        """Describe what follows; its name is the graph's, whatever `info` says.

        Parameters
        ----------
        info : StreamInfo
            The description. A change of format begins a new epoch.
        device_index : int
            The device's own count of the next sample, if it counts: it makes the length of a
            gap over a restart exact. Giving it begins a new epoch.
        """
        info = info.renamed(self.stream)
        with self.lane:
            if self._info is not None and (self.index or self.lost):
                is_same = self._info.same_format(info) and device_index is None
                if self.force_new_epoch or not is_same:
                    self.epoch += 1
                    self.index = self.lost = 0
                    self._pending.clear()
            self.force_new_epoch = False
            self._describe(info, device_index)

    def follow(
        self, info: StreamInfo, *, epoch: int, index: int, device_index: int | None = None
    ) -> None:
        """Describe what follows with the numbers that it has elsewhere: a stream handed through.

        Parameters
        ----------
        info : StreamInfo
            The description; its name is the graph's.
        epoch, index : int
            Of the next sample. The index counts only in another epoch than the present one.
        device_index : int
            The device's own count of the epoch's sample 0, if it counts.

        Raises
        ------
        StateError
            If the epoch lies before the present one, or the format changes within it.
        """
        info = info.renamed(self.stream)
        with self.lane:
            old = self._info
            if epoch < self.epoch or (
                epoch == self.epoch and old is not None and not old.same_format(info)
            ):
                raise StateError(
                    f"output {self.stream!r} is in epoch {self.epoch}; what is described for epoch "
                    f"{epoch} does not go on from there"
                )
            if epoch != self.epoch or old is None:
                self.epoch, self.index, self.lost = epoch, index, 0
                self._pending.clear()
            self.force_new_epoch = False
            self._describe(info, device_index)

    def _describe(self, info: StreamInfo, device_index: int | None) -> None:
        self._n, self._is_markers = -1, info.kind == "markers"
        self.device_index = device_index
        self._info = info
        if self.on_announce is not None:
            self.on_announce(self)
        for target in self.targets:
            target.announced(self)  # type: ignore[arg-type]

    def restart(self, epoch: int) -> None:
        """Forget the last run; the next one begins with this epoch."""
        self.epoch, self.index, self.lost = epoch, 0, 0
        self.is_ended = self.is_late = False
        self._info = None
        self._n, self._is_markers = -1, False
        self._clock, self._has_own_clock = IDENTITY, False
        self._pending.clear()

    def add_target(self, target: Target) -> None:
        """Hand chunks to `target` from now on."""
        self.targets.append(target)
        if self._info is not None:
            target.announced(self)  # type: ignore[arg-type]
        self.rebind()

    def remove_target(self, target: Target) -> None:
        """Hand no more chunks to `target`."""
        self.targets.remove(target)
        self.rebind()

    def rebind(self) -> None:
        """Look again which functions of the targets take chunks."""
        self._deliver = [t.deliver for t in self.targets]

    @property
    def clock(self) -> ClockModel:
        """How the stamps of this stream map onto the local clock."""
        return self._clock

    @clock.setter
    def clock(self, clock: ClockModel) -> None:
        self._has_own_clock = True
        self._use_clock(clock)

    def _use_clock(self, clock: ClockModel) -> None:
        with self.lane:
            self._clock = clock
            for target in self.targets:
                target.clock_changed(clock)

    def push(self, chunk: C, *, received: int = 0) -> None:
        """Emit a chunk: number it and hand it to everything linked.

        Parameters
        ----------
        chunk : Chunk
            What was announced.
        received : int
            When its last sample came in, in ns of the local clock, if that was before now:
            latencies count from there.

        Raises
        ------
        StateError
            If the output is not announced.
        StreamFormatError
            If the chunk is not what was announced.
        """
        if self._info is None:
            raise StateError(f"output {self.stream or self.name!r} pushes before it is announced")
        if self.is_ended:
            raise StateError(f"output {self.stream!r} pushes after its end")
        lane = self.lane
        if lane.enter():
            lane.begin(received)
        try:
            self.send(chunk)
        finally:
            lane.leave()

    def send(self, chunk: C) -> None:
        """Emit a chunk, as `push` does, for who holds the lane of a running node.

        Raises
        ------
        StreamFormatError
            If the chunk is not what was announced.
        """
        n, data = len(chunk.raw_timestamps), chunk.data
        # In one line what `_fit` does at length, for a chunk like the one before.
        if (
            n != self._n
            or chunk.info is not None
            or chunk.clock is not self._clock
            or self._pending
            or data.shape != self._shape
            or data.dtype is not self._dtype
        ) and not (
            self._is_markers
            and data.__class__ is list
            and len(data) == n
            and chunk.info is None
            and chunk.clock is self._clock
            and not self._pending
        ):
            chunk = self._fit(chunk)
        chunk.info, chunk.index, chunk.epoch = self._info, self.index, self.epoch
        self.index += n
        for deliver in self._deliver:
            deliver(chunk)

    def _fit(self, chunk: C) -> C:
        if self._info is None:
            raise StateError(f"output {self.stream or self.name!r} pushes before it is announced")
        chunk.check(self._info)
        if chunk.info is not None:  # a chunk handed through: the sender's numbers stay its own
            chunk = type(chunk)(chunk.data, chunk.raw_timestamps, clock=chunk.clock)
        if self._has_own_clock:
            chunk.clock = self._clock
        elif chunk.clock is not self._clock:
            self._use_clock(chunk.clock)  # a derived stream follows its source's clock
        if self._pending:
            chunk.gaps = tuple(self._pending)
            self._pending.clear()
        if not isinstance(data := chunk.data, list):
            self._n, self._shape, self._dtype = len(data), data.shape, data.dtype
        return chunk

    def lose(
        self,
        count: int,
        *,
        cause: Cause = Cause.DEVICE,
        duration: float = 0.0,
        exact: bool = True,
    ) -> None:
        """Say that samples are missing before the next chunk.

        Parameters
        ----------
        count : int
            How many.
        cause : Cause
            Why; not `RESTART`, which readers find between two epochs.
        duration : float
            How long the hole is, in seconds.
        exact : bool
            Whether the count is known, not estimated.

        Raises
        ------
        ValueError
            If the cause is a restart.
        """
        if cause is Cause.RESTART:
            raise ValueError(f"{self.stream}: readers find restarts by themselves; announce anew")
        with self.lane:
            gap = Gap(cause, self.epoch, self.index, count, duration, exact)
            self.lost += count
            self._pending.append(gap)
            for target in self.targets:
                target.lost(gap)

    def end(self) -> None:
        """Say that nothing follows."""
        with self.lane:
            if not self.is_ended:
                self.is_ended = True
                for target in self.targets:
                    target.ended()

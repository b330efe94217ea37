"""What a consumer has not taken yet, or not said that it has: in memory, bounded, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rigmesh.relay.wire import encode_gaps
from rigmesh.streams import Cause, Gap

__all__ = ["Item", "Spool"]


@dataclass(slots=True)
class Item:
    """One message, or what is left of those that had to be dropped.

    Parameters
    ----------
    wire : bytes
        The message; empty if it was dropped.
    epoch, index : int
        Of its first sample.
    n_samples : int
        How many it has.
    gaps : tuple of Gap
        That it tells of.
    is_data : bool
        Whether it may be dropped; descriptions and clocks are not.
    time : float
        When it was put in, in seconds.
    number : int
        Of its last message in the feed, from 1 on.
    runs : list of (int, int)
        Of a hole: first index, and index past the last, of each run of samples it had. What its
        reader of the ring had missed lies between them.
    """

    wire: bytes
    epoch: int = 0
    index: int = 0
    n_samples: int = 0
    gaps: tuple[Gap, ...] = ()
    is_data: bool = False
    time: float = 0.0
    number: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_hole(self) -> bool:
        """Whether it was dropped."""
        return self.is_data and not self.wire

    @property
    def stop(self) -> int:
        """Index just past its last sample."""
        return self.index + self.n_samples

    def message(self) -> bytes:
        """Return what is sent of it."""
        if not self.is_hole:
            return self.wire
        # The writer's own gaps lie between samples that are gone, too.
        gaps = [replace(gap, index=self.stop) for gap in self.gaps]
        lost = sum(stop - start for start, stop in self.runs)
        if lost:
            gaps.append(Gap(Cause.TRANSPORT, self.epoch, self.stop, lost))
        return encode_gaps(self.epoch, self.stop, gaps)

    def drop(self) -> None:
        """Become a hole."""
        self.wire = b""
        self.runs = [(self.index, self.stop)]

    def take_in(self, later: Item) -> None:
        """Become a hole where the next message was, too."""
        first, stop = self.runs[-1]
        if stop == later.index:
            self.runs[-1] = first, later.stop
        else:
            self.runs.append((later.index, later.stop))
        self.n_samples = later.stop - self.index
        self.gaps = (*self.gaps, *later.gaps)
        self.number = later.number

    def forget_before(self, index: int) -> None:
        """Be a hole only from an index on."""
        self.runs = [(max(a, index), b) for a, b in self.runs if b > index]
        self.gaps = tuple(gap for gap in self.gaps if gap.index >= index)


class Spool:
    """The messages of a feed that may be needed again, and those to be sent first.

    Parameters
    ----------
    seconds : float
        How long a message is kept.
    n_bytes : int
        How much is kept.

    Attributes
    ----------
    n_bytes : int
        What is in it.
    dropped : int
        Samples that were dropped, in all.
    number : int
        Of the last message put in.
    """

    def __init__(self, seconds: float, n_bytes: int) -> None:
        self.seconds = seconds
        self.most_bytes = n_bytes
        self.n_bytes = 0
        self.dropped = 0
        self.number = 0
        self._sent: deque[Item] = deque()
        self._unsent: deque[Item] = deque()

    @property
    def is_full(self) -> bool:
        """Whether anything more would push something out."""
        return self.n_bytes >= self.most_bytes

    @property
    def n_unsent(self) -> int:
        """Messages still to be sent."""
        return len(self._unsent)

    @property
    def next_number(self) -> int:
        """Number of the next message to be sent."""
        if not self._unsent:
            return self.number + 1
        first = self._unsent[0]
        # A hole is one message with the number of the last that it stands for.
        return first.number

    def add(self, item: Item, now: float, *, is_sent: bool = False) -> None:
        """Put a message in; drop the oldest ones that are too much then.

        Parameters
        ----------
        item : Item
            The next of the feed.
        now : float
            The time, in seconds.
        is_sent : bool
            Whether it is being sent at this moment; then nothing may be waiting before it.
        """
        self.number += 1
        item.number, item.time = self.number, now
        self.n_bytes += len(item.wire)
        (self._sent if is_sent else self._unsent).append(item)
        if self.n_bytes > self.most_bytes or self._oldest_time() < now - self.seconds:
            self._make_room(now, spare=item)

    def next(self) -> Item | None:
        """Return the next message to be sent."""
        if not self._unsent:
            return None
        item = self._unsent.popleft()
        self._sent.append(item)
        return item

    def trim(self, number: int) -> None:
        """Forget the messages up to a number: the consumer has them."""
        sent = self._sent
        while sent and sent[0].number <= number:
            self.n_bytes -= len(sent.popleft().wire)

    def rewind(self, number: int, epoch: int, index: int) -> None:
        """Send again what follows a message.

        Parameters
        ----------
        number : int
            The last one that the consumer has.
        epoch, index : int
            Where it is then: some of what was dropped may have reached it before.
        """
        self.trim(number)
        if self._sent and (hole := self._sent[0]).is_hole and hole.epoch == epoch:
            hole.forget_before(index)
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._sent.clear()
        self._unsent.clear()
        self.n_bytes = 0

    def drop_oldest(self) -> bool:
        """Drop the oldest message of samples but the last; return whether there was one."""
        for queue in (self._sent, self._unsent):
            at = next((n for n, item in enumerate(queue) if item.is_data and item.wire), None)
            if at is not None:
                self._drop(queue, at)
                return True
        return False

    # --- inside ------------------------------------------------------------------------------

    def _items(self) -> Iterator[Item]:
        yield from self._sent
        yield from self._unsent

    def _oldest_time(self) -> float:
        """Return when the oldest message came that could be dropped, roughly."""
        for queue in (self._sent, self._unsent):
            if queue:
                first = queue[0]
                if first.is_hole and len(queue) > 1:
                    return queue[1].time
                return first.time
        return float("inf")

    def _make_room(self, now: float, spare: Item) -> None:
        oldest = now - self.seconds
        while True:
            found = next((i for i in self._items() if i.is_data and i.wire), None)
            if found is None or found is spare:
                return
            if self.n_bytes <= self.most_bytes and found.time >= oldest:
                return
            self.drop_oldest()

    def _drop(self, queue: deque[Item], at: int) -> None:
        """Turn a message into a hole, or make the hole before it longer."""
        item = queue[at]
        self.n_bytes -= len(item.wire)
        self.dropped += item.n_samples
        before = queue[at - 1] if at else None
        if before is not None and before.is_hole and before.epoch == item.epoch:
            before.take_in(item)
            del queue[at]
        else:
            item.drop()

"""A consumer of a stream as the relay sees it: here or away, taking or not."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from rigmesh.errors import RigmeshError
from rigmesh_daemon.relay.feed import MESSAGE_BYTES, Feed
from rigmesh_daemon.relay.spool import Item, Spool
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = ["Consumer", "Limits", "Superseded", "Viewer"]

_AWAY = 0.2
"""A consumer that has not asked for so long is slow, or gone, in seconds."""
_AT_ONCE = 64
"""Messages put away before somebody else may look."""
_BLOCKING_BYTES = 64 * 2**20
"""Kept of a stream whose writer waits for its readers, so that it does wait."""


class Superseded(Exception):
    """Another call of the same consumer has taken over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What consumers may ask for.

    Parameters
    ----------
    seconds : float
        Longest time that messages are kept for one that is away.
    n_bytes : int
        Most that is kept for one.
    total_bytes : int
        Most that is kept for all.
    per_identity : int
        Streams that go to one token, or to local clients, at a time.
    """

    seconds: float = 600.0
    n_bytes: int = 512 * 2**20
    total_bytes: int = 2 * 2**30
    per_identity: int = 64


class Viewer:
    """A consumer that wants the newest data: nothing is kept for it.

    Parameters
    ----------
    make_feed : callable
        Makes its feed, given what to call when there is something new.
    credits : int
        Data messages that may be under way; 0: any number.
    """

    def __init__(self, make_feed: Callable[[Callable[[], None]], Feed], credits: int) -> None:  # noqa: A002
        self.id = uuid.uuid4().hex
        self.is_done = False
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._credits = credits if credits else 2**62
        self.feed = make_feed(self._something.set)

    def begin(self) -> pb.Begun:
        """Return what the first message says."""
        return pb.Begun(feed=self.id)

    def next(self) -> Item | None:
        """Return the next message, if there is one and the viewer wants one."""
        with self._lock:
            if self._credits <= 0:
                return None
            item = self.feed.next()
            if item is not None and item.is_data:
                self._credits -= 1
            return item

    def add_credits(self, count: int) -> None:
        """Let so many data messages more be sent."""
        with self._lock:
            self._credits += count
        self.wake()

    def seen(self, place: pb.Place) -> None:
        """Keep nothing anyway."""

    def wait(self, timeout: float) -> None:
        """Sleep until there may be something, `timeout` seconds at most."""
        _wait(self.feed, self._something, timeout)

    def wake(self) -> None:
        """Let who waits look."""
        _wake(self.feed, self._something)

    def close(self) -> None:
        """Give the stream back."""
        with self._lock:
            self.feed.close()


class Consumer:
    """A lossless consumer, with the spool of what it may need again.

    While it takes what comes, its own call reads the ring: nobody else has to be woken. While it
    is slow or away, `keep` is called now and then, and puts away what comes in.

    Parameters
    ----------
    make_feed : callable
        Makes its feed, given what to call when there is something new.
    spool : Spool
        For its messages.

    Attributes
    ----------
    id : str
        Of its feed; another one whenever messages are numbered anew.
    is_done : bool
        Whether it said that it will not come back.
    is_closed : bool
        Whether nothing is kept for it any more.
    has_told : bool
        Whether it was said that something was dropped.
    """

    def __init__(self, make_feed: Callable[[Callable[[], None]], Feed], spool: Spool) -> None:
        self.id = uuid.uuid4().hex
        self.spool = spool
        self.is_done = False
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._calls = 0
        self._is_waiting = False
        self._asked = time.monotonic()
        self._left: float | None = None
        self._failure: RigmeshError | None = None
        self.is_closed = False
        self.has_told = False
        self._dropped = 0
        self.feed = make_feed(self._something.set)

    # --- by its call -------------------------------------------------------------------------

    def enter(self, place: pb.Place | None) -> int:
        """Take over from an earlier call, where the consumer has come to; return our number."""
        with self._lock:
            self._calls += 1
            self._left = None
            self._asked = time.monotonic()
            if place is not None and place.feed == self.id:
                self.spool.rewind(place.number, place.epoch, place.index)
            number = self._calls
        self.wake()  # an earlier call, so that it ends
        return number

    def begin(self) -> pb.Begun:
        """Return what the first message says."""
        with self._lock:
            return pb.Begun(feed=self.id, number=self.spool.next_number - 1)

    def next(self, call: int) -> Item | None:
        """Return the next message, if there is one.

        Raises
        ------
        Superseded
            If the consumer has called again.
        RigmeshError
            If the stream cannot be read.
        """
        with self._lock:
            if call != self._calls or self.is_closed:
                raise Superseded
            self._asked = now = time.monotonic()
            item = self.spool.next()
            if item is not None:
                return item
            if self._failure is not None:
                self.is_done = True
                raise self._failure
            if self._must_wait():
                return None
            try:
                item = self.feed.next()
            except RigmeshError:
                self.is_done = True  # a later call begins anew
                raise
            if item is not None:
                self.spool.add(item, now, is_sent=True)
            return item

    def add_credits(self, count: int) -> None:
        """Send as much as the link takes anyway."""

    def seen(self, place: pb.Place) -> None:
        """Forget what the consumer has dealt with."""
        with self._lock:
            if place.feed == self.id:
                waited = self._must_wait()
                self.spool.trim(place.number)
                if not waited:
                    return
        self.wake()

    def wait(self, timeout: float) -> None:
        """Sleep until there may be something, `timeout` seconds at most."""
        self._is_waiting = True
        try:
            _wait(self.feed, self._something, timeout)
        finally:
            self._is_waiting = False

    def wake(self) -> None:
        """Let who waits look."""
        _wake(self.feed, self._something)

    def leave(self, call: int) -> None:
        """Take note that a call is over."""
        with self._lock:
            if call == self._calls:
                self._left = time.monotonic()

    # --- by the keeper -----------------------------------------------------------------------

    @property
    def is_given_up(self) -> bool:
        """Whether it has been away for longer than anything is kept."""
        left = self._left
        return left is not None and time.monotonic() - left > self.spool.seconds

    def keep(self) -> bool:
        """Put away what came in while the consumer does not ask; return whether more is there."""
        if self._is_waiting and self._left is None:
            return False
        with self._lock:
            now = time.monotonic()
            if self.is_closed or self._failure is not None:
                return False
            if self._left is None and now - self._asked < _AWAY:
                return False
            for _ in range(_AT_ONCE):
                if self._must_wait():
                    return False
                try:
                    item = self.feed.next()
                except RigmeshError as error:  # told to the consumer when it is back
                    self._failure = error
                    return False
                if item is None:
                    return False
                self.spool.add(item, now)
        return True

    def shrink(self, n_bytes: int) -> int:
        """Drop the oldest messages, about so many bytes; return how many it was."""
        with self._lock:
            before = self.spool.n_bytes
            while before - self.spool.n_bytes < n_bytes and self.spool.drop_oldest():
                pass
            return before - self.spool.n_bytes

    def newly_dropped(self) -> int:
        """Return how many samples were dropped since this was asked last."""
        with self._lock:
            count, self._dropped = self.spool.dropped - self._dropped, self.spool.dropped
            return count

    def close(self) -> None:
        """Give the stream back."""
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                self.feed.close()
                self.spool.clear()

    def _must_wait(self) -> bool:
        """Whether the stream's writer has to wait, as it is willing to."""
        # With room for one more: what is too much would push something out.
        most = max(0, min(_BLOCKING_BYTES, self.spool.most_bytes - MESSAGE_BYTES))
        return self.spool.n_bytes > most and self.feed.is_blocking


def _wait(feed: Feed, something: threading.Event, timeout: float) -> None:
    bell = feed.bell
    if bell is not None:
        bell.wait(timeout)
    else:
        something.wait(timeout)
        something.clear()


def _wake(feed: Feed, something: threading.Event) -> None:
    something.set()
    bell = feed.bell
    if bell is not None:
        bell.ring()

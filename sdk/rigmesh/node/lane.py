"""Lanes: nodes that hand chunks to each other by calling share one lock."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable

from rigmesh.streams import local_clock

__all__ = ["Lane", "Timers"]

_LONGEST_WAIT = 3600.0

_get_ident = threading.get_ident
_now = time.monotonic_ns


class Lane:
    """A lock that serves waiting threads in order, and may be entered again by its holder.

    `threading.Lock` lets a fast source starve the others; order matters more than the 0.3 µs.

    Attributes
    ----------
    received : int
        When what is being worked on came in, in ns of the local clock.
    mark : int
        When the node before was done.
    """

    __slots__ = ("_depth", "_guard", "_owner", "_waiting", "mark", "received")

    def __init__(self) -> None:
        self.received = self.mark = 0
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._owner = 0
        self._depth = 0

    def enter(self) -> bool:
        """Wait for one's turn; return False if one has it already."""
        me = _get_ident()
        if self._owner == me:
            self._depth += 1
            return False
        with self._guard:
            if not self._owner:
                self._owner, self._depth = me, 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((me, turn))
        turn.acquire()  # released by the one before, who made us the owner
        return True

    def begin(self, received: int = 0) -> None:
        """Note when a chunk came in, in ns of the local clock; now, if that is not known."""
        self.mark = now = _now()
        self.received = received or now

    def leave(self) -> None:
        """Give the turn to the next."""
        self._depth -= 1
        if self._depth:
            return
        with self._guard:
            if self._waiting:
                self._owner, turn = self._waiting.popleft()
                self._depth = 1
                turn.release()
            else:
                self._owner = 0

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *exc: object) -> None:
        self.leave()


class Timers:
    """One thread that runs functions at local times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Run `callback` at a local time, or at once if that is past."""
        with self._changed:
            heapq.heappush(self._heap, (when, next(self._numbers), callback))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Drop what is due later and end the thread."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._heap or self._heap[0][0] > local_clock()):
                    rest = self._heap[0][0] - local_clock() if self._heap else None
                    # The system refuses to wait for some hundred years, and so for ever.
                    self._changed.wait(None if rest is None else min(rest, _LONGEST_WAIT))
                if self._closed:
                    return
                _, _, callback = heapq.heappop(self._heap)
            callback()

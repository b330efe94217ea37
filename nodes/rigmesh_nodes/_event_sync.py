"""Events that come together."""

from __future__ import annotations

from collections import deque

__all__ = ["Coincidences"]

_MOST = 1024


class Coincidences:
    """Finds events of several inputs that lie within a window.

    The events of each input come in the order of time; the inputs may be ahead of each other. All
    times are of one clock, in seconds.

    Attributes
    ----------
    n_dropped : int
        Events that met too few others.
    n_waiting : int
        Events that wait for others.
    """

    def __init__(self) -> None:
        self.n_dropped = self.n_waiting = 0
        self._waiting: list[deque[float]] = []
        self._owed: list[deque[tuple[float, float]]] = []
        self._need = 0
        self._n_ready = 0

    def begin(self, n_inputs: int, need: int) -> None:
        """Begin anew.

        Parameters
        ----------
        n_inputs : int
            How many inputs there are.
        need : int
            How many of them have to give an event within the window.
        """
        self.n_dropped += self.n_waiting
        self.n_waiting = 0
        self._waiting = [deque() for _ in range(n_inputs)]
        self._owed = [deque(maxlen=_MOST) for _ in range(n_inputs)]
        self._need = need
        self._n_ready = 0

    def add(self, number: int, time: float, window: float) -> float | None:
        """Take the next event of an input; return the time of the last one if enough are together.

        With fewer than all inputs, an event of another input within the same window belongs to
        what was found already, and is used up.
        """
        if self._owed[number] and self._belongs(number, time):
            return None
        waiting = self._waiting[number]
        waiting.append(time)
        self.n_waiting += 1
        if len(waiting) == 1:
            self._n_ready += 1
        elif len(waiting) > _MOST:
            self._pop(number)
            self.n_dropped += 1
        while self._n_ready == self._need:
            ready = [(each[0], i) for i, each in enumerate(self._waiting) if each]
            (first, earliest), (last, _) = min(ready), max(ready)
            if last - first <= window:
                self._use_up(first, last, window)
                return last
            # What follows on those inputs is later still; a silent one is not waited for.
            self._pop(earliest)
            self.n_dropped += 1
        return None

    def _use_up(self, first: float, last: float, window: float) -> None:
        for number, waiting in enumerate(self._waiting):
            if waiting:
                self._pop(number)
            else:
                self._owed[number].append((last - window, first + window))

    def _belongs(self, number: int, time: float) -> bool:
        owed = self._owed[number]
        while owed and owed[0][1] < time:
            owed.popleft()
        if not owed or time < owed[0][0]:
            return False
        owed.popleft()
        return True

    def _pop(self, number: int) -> None:
        waiting = self._waiting[number]
        waiting.popleft()
        self.n_waiting -= 1
        if not waiting:
            self._n_ready -= 1

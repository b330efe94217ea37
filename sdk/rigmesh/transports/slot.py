"""A reader's place in the header of a ring."""

from __future__ import annotations

__all__ = ["SLOT_WORDS", "ReaderSlot"]

SLOT_WORDS = 32
_NAME_BYTES = 64


class ReaderSlot:
    """One reader's place in the header; written by that reader only."""

    __slots__ = ("_at", "_bytes", "_words")

    _STATE, _PID, _LOSSLESS, _CURSOR, _POSITION, _DELIVERED, _LOST, _MAX_LAG = range(8)
    _BELL, _NAME = 16, 24

    def __init__(self, words: memoryview, header: memoryview, at: int) -> None:
        self._words = words
        self._bytes = header
        self._at = at

    def claim(self, pid: int, name: str, bell: str, *, lossless: bool, start: int) -> None:
        """Fill the slot in; the state comes last."""
        words, at = self._words, self._at
        words[at + self._STATE] = 0
        words[at + self._PID] = pid
        words[at + self._LOSSLESS] = int(lossless)
        words[at + self._CURSOR] = words[at + self._POSITION] = start
        words[at + self._DELIVERED] = words[at + self._LOST] = words[at + self._MAX_LAG] = 0
        self._write(self._BELL, bell)
        self._write(self._NAME, name)
        words[at + self._STATE] = 1

    def free(self) -> None:
        """Give the slot up."""
        self._words[self._at + self._STATE] = 0

    @property
    def is_taken(self) -> bool:
        """Whether a reader filled it in (it may have died since)."""
        return bool(self._words[self._at + self._STATE])

    @property
    def pid(self) -> int:
        """Process of the reader."""
        return self._words[self._at + self._PID]

    @property
    def is_lossless(self) -> bool:
        """Whether a writer that may wait has to wait for it."""
        return bool(self._words[self._at + self._LOSSLESS])

    @property
    def at(self) -> int:
        """Word of the header with which it begins."""
        return self._at

    @property
    def cursor(self) -> int:
        """Samples below are not needed any more."""
        return self._words[self._at + self._CURSOR]

    @cursor.setter
    def cursor(self, index: int) -> None:
        self._words[self._at + self._CURSOR] = index

    @property
    def position(self) -> int:
        """Next sample that the reader will take."""
        return self._words[self._at + self._POSITION]

    @position.setter
    def position(self, index: int) -> None:
        self._words[self._at + self._POSITION] = index

    @property
    def delivered(self) -> int:
        """Samples taken."""
        return self._words[self._at + self._DELIVERED]

    @property
    def lost(self) -> int:
        """Samples overwritten before they were taken."""
        return self._words[self._at + self._LOST]

    @property
    def max_lag(self) -> int:
        """The most samples that were waiting."""
        return self._words[self._at + self._MAX_LAG]

    @property
    def bell(self) -> str:
        """Name of the semaphore to post."""
        return self._read(self._BELL)

    @property
    def name(self) -> str:
        """Who reads; cut off after 63 bytes."""
        return self._read(self._NAME)

    def is_named(self, name: str) -> bool:
        """Whether this is the name of who reads, as far as it fits."""
        start = (self._at + self._NAME) * 8
        return bytes(self._bytes[start : start + _NAME_BYTES]) == _shortened(name)

    def advance(self, position: int, delivered: int, lost: int, lag: int) -> None:
        """Count what was taken and what was missed."""
        # Plain numbers: names would be looked up, and this is done for each chunk.
        words, at = self._words, self._at
        words[at + 4] = position
        words[at + 5] += delivered
        if lost:
            words[at + 6] += lost
        if lag > words[at + 7]:
            words[at + 7] = lag

    def _write(self, offset: int, text: str) -> None:
        start = (self._at + offset) * 8
        self._bytes[start : start + _NAME_BYTES] = _shortened(text)

    def _read(self, offset: int) -> str:
        start = (self._at + offset) * 8
        raw = bytes(self._bytes[start : start + _NAME_BYTES])
        return raw.partition(b"\0")[0].decode(errors="replace")


def _shortened(text: str) -> bytes:
    return text.encode()[: _NAME_BYTES - 1].ljust(_NAME_BYTES, b"\0")

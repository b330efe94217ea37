"""The header of a ring: where what lies, over any buffer; no operating-system call.

All words are 8 bytes and aligned, so that one store is one store on x86-64. The writer stores
samples first and ``WRITTEN`` after; x86-64 keeps stores in order for every other core (memcpy
fences the streaming stores it uses for large blocks). A writer can be killed between any two
stores, so nothing here is ever locked or half valid: what is written becomes visible by one store.

::

    words    0 …   23   what never changes, and the state
    word    24          RESERVED: the writer is (or was) about to write up to here
    word    32          WRITTEN: samples below are valid
    words   40,  48     the same two for the bytes of a text ring
    words   56 …   63   the clock model, twice: the one in use and the one being written
    words   64 …  703   the last gaps of the writer, 128 places
    words  704 … 1727   32 reader slots
    words 1728 … 1983   when the last 64 chunks came in and were published
    bytes 16384 …       StreamInfo as JSON, then stamps, then data (each at a page)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from rigmesh.errors import StreamError
from rigmesh.streams import IDENTITY, Cause, ClockModel, Gap, StreamInfo
from rigmesh.transports.slot import SLOT_WORDS, ReaderSlot

__all__ = ["HEADER_BYTES", "PAGE", "Header", "RingState", "pages"]

PAGE = 4096
HEADER_BYTES = 16384
_MAGIC = int.from_bytes(b"RIGMESH\0", "little")
_VERSION = 2

N_GAPS = 128
_GAPS_AT = 64
_GAP_WORDS = 5
N_SLOTS = 32
_SLOTS_AT = 704
STAMPS_AT = 1728
STAMP_WORDS = 4
N_STAMPS = 64

_CAUSES = tuple(Cause)


class RingState(IntEnum):
    """State of a ring's writer."""

    OPEN = 0
    ENDED = 1
    """The stream is over; nothing follows."""
    MOVED = 2
    """The stream goes on in the ring of the next epoch."""
    LOST = 3
    """The writer died; said by whoever found it dead."""


def _gap_at(number: int) -> int:
    return _GAPS_AT + number % N_GAPS * _GAP_WORDS


def pages(n_bytes: int) -> int:
    """Round up to whole pages."""
    return -(-n_bytes // PAGE) * PAGE


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes that are fixed when a ring is made."""

    capacity: int
    byte_capacity: int
    info_bytes: int

    @property
    def data_at(self) -> int:
        """Offset of the first byte behind the description."""
        return HEADER_BYTES + pages(self.info_bytes)


class Header:
    """Typed access to the header words of a ring in `buffer`."""

    __slots__ = ("_bytes", "_doubles", "words")

    MAGIC, VERSION, INFO_BYTES, CAPACITY, BYTE_CAPACITY, EPOCH = 0, 1, 2, 3, 4, 5
    STATE, WRITER_PID, BLOCKING, READERS_CHANGED = 6, 7, 8, 9
    CLOCK_CHANGES, GAP_COUNT, DEVICE_INDEX, HAS_DEVICE_INDEX, FIRST = 16, 17, 18, 19, 20
    RESERVED, WRITTEN, BYTES_RESERVED, BYTES_WRITTEN = 24, 32, 40, 48
    STAMPED = 21
    CLOCKS = 56

    def __init__(self, buffer: memoryview) -> None:
        self._bytes = buffer[:HEADER_BYTES]
        self.words = self._bytes.cast("Q")
        self._doubles = self._bytes.cast("d")

    def initialise(
        self, geometry: Geometry, epoch: int, pid: int, *, first: int, blocking: bool
    ) -> None:
        """Write what never changes; the magic comes last, so that nobody reads half a header."""
        words = self.words
        words[self.INFO_BYTES] = geometry.info_bytes
        words[self.CAPACITY] = geometry.capacity
        words[self.BYTE_CAPACITY] = geometry.byte_capacity
        words[self.EPOCH] = epoch
        words[self.WRITER_PID] = pid
        words[self.BLOCKING] = int(blocking)
        words[self.FIRST] = words[self.RESERVED] = words[self.WRITTEN] = first
        words[self.VERSION] = _VERSION
        words[self.MAGIC] = _MAGIC

    def geometry(self, name: str) -> Geometry:
        """Read the sizes back.

        Raises
        ------
        StreamError
            If this is no ring, or one of another version.
        """
        words = self.words
        if words[self.MAGIC] != _MAGIC:
            raise StreamError(f"{name} is not a ring of rigmesh, or not finished yet")
        if words[self.VERSION] != _VERSION:
            raise StreamError(
                f"{name} has ring layout {words[self.VERSION]}, this rigmesh reads {_VERSION}; "
                "restart the daemon after an update"
            )
        return Geometry(words[self.CAPACITY], words[self.BYTE_CAPACITY], words[self.INFO_BYTES])

    @property
    def state(self) -> RingState:
        """What became of the writer."""
        return RingState(self.words[self.STATE])

    @state.setter
    def state(self, state: RingState) -> None:
        self.words[self.STATE] = state

    @property
    def clock(self) -> ClockModel:
        """How raw stamps map onto the local clock; consistent although the writer may change it."""
        words, doubles = self.words, self._doubles
        while True:
            changes = words[self.CLOCK_CHANGES]
            if not changes:
                return IDENTITY
            at = self.CLOCKS + 4 * (changes % 2)
            model = ClockModel(*doubles[at : at + 4])
            if words[self.CLOCK_CHANGES] == changes:
                return model

    @clock.setter
    def clock(self, model: ClockModel) -> None:
        words, doubles = self.words, self._doubles
        changes = words[self.CLOCK_CHANGES] + 1
        at = self.CLOCKS + 4 * (changes % 2)
        doubles[at], doubles[at + 1] = model.offset, model.drift
        doubles[at + 2], doubles[at + 3] = model.reference, model.uncertainty
        words[self.CLOCK_CHANGES] = changes

    @property
    def device_index(self) -> int | None:
        """The device's own count of the epoch's first sample, if it counts."""
        words = self.words
        return words[self.DEVICE_INDEX] if words[self.HAS_DEVICE_INDEX] else None

    @device_index.setter
    def device_index(self, index: int | None) -> None:
        self.words[self.HAS_DEVICE_INDEX] = index is not None
        self.words[self.DEVICE_INDEX] = index or 0

    @property
    def lost(self) -> int:
        """Samples the writer has lost in this epoch, in all."""
        return self._lost_with(self.words[self.GAP_COUNT])

    def add_gap(self, gap: Gap) -> None:
        """Note a gap of the writer."""
        words = self.words
        number = words[self.GAP_COUNT]
        at = _gap_at(number)
        words[at] = _CAUSES.index(gap.cause) | int(gap.exact) << 8
        words[at + 1] = gap.index
        words[at + 2] = gap.count
        self._doubles[at + 3] = gap.duration
        words[at + 4] = self._lost_with(number) + gap.count
        words[self.GAP_COUNT] = number + 1

    def gaps_since(self, seen: int, lost: int) -> tuple[int, list[Gap]]:
        """Return how many gaps there are, and those from number `seen` on.

        The table tells of the last 126. What was lost with older ones is told by one gap, where the
        oldest that is still known lies.

        Parameters
        ----------
        seen : int
            How many gaps are known already.
        lost : int
            How many samples were lost with those.
        """
        words = self.words
        while True:
            count = words[self.GAP_COUNT]
            oldest = max(seen, count - N_GAPS + 2)
            found = [self._gap(number) for number in range(oldest, count)]
            untold = self._lost_with(oldest) - lost
            # A gap is written over by the one 128 later, and its total is read, too.
            if words[self.GAP_COUNT] - oldest < N_GAPS - 1:
                break
        if oldest > seen and untold and found:
            first = found[0]
            found.insert(0, Gap(first.cause, first.epoch, first.index, untold, exact=False))
        return count, found

    def gaps_before(self, index: int, seen: int) -> tuple[int, int]:
        """Count the gaps before a sample, and the samples lost with them.

        Parameters
        ----------
        index : int
            A gap right before this sample is not counted …
        seen : int
            … unless it is among so many first ones.
        """
        words = self.words
        while True:
            count = words[self.GAP_COUNT]
            number, oldest = count, max(seen, count - N_GAPS + 2)
            while number > oldest and words[_gap_at(number - 1) + 1] >= index:
                number -= 1
            lost = self._lost_with(number)
            if words[self.GAP_COUNT] == count:
                return number, lost

    def _gap(self, number: int) -> Gap:
        words, at = self.words, _gap_at(number)
        # A gap that is being written over may hold anything; the caller throws it away.
        cause, exact = _CAUSES[(words[at] & 0xFF) % len(_CAUSES)], bool(words[at] >> 8)
        duration = self._doubles[at + 3]
        return Gap(cause, words[self.EPOCH], words[at + 1], words[at + 2], duration, exact)

    def _lost_with(self, number: int) -> int:
        """Return how many samples were lost with the first gaps, `number` of them."""
        return self.words[_gap_at(number - 1) + 4] if number else 0

    def stamp(self, stop: int, received: int, published: int) -> None:
        """Note, before it is published, when the chunk that ends at an index came in.

        Parameters
        ----------
        stop : int
            Index just past its last sample.
        received, published : int
            In ns of the local clock.
        """
        words = self.words
        count = words[21]
        at = STAMPS_AT + count % N_STAMPS * STAMP_WORDS
        words[at], words[at + 1], words[at + 2] = stop, received, published
        words[21] = count + 1

    def stamps_of(self, index: int) -> tuple[int, int]:
        """Return when the chunk with a sample came in and was published; 0 if nobody said.

        Of a chunk before the last 64 it is told what is true of the oldest of those.
        """
        words = self.words
        count = words[21]
        if not count:
            return 0, 0
        oldest = max(0, count - N_STAMPS + 1)
        at = STAMPS_AT + (count - 1) % N_STAMPS * STAMP_WORDS
        while count - 1 > oldest:
            before = STAMPS_AT + (count - 2) % N_STAMPS * STAMP_WORDS
            if words[before] <= index:
                break
            at, count = before, count - 1
        return words[at + 1], words[at + 2]

    def slot(self, number: int) -> ReaderSlot:
        """Return one of the reader slots."""
        return ReaderSlot(self.words, self._bytes, _SLOTS_AT + number * SLOT_WORDS)

    def release(self) -> None:
        """Let go of the buffer, so that it can be unmapped."""
        self.words.release()
        self._doubles.release()
        self._bytes.release()


def write_info(buffer: memoryview, info: StreamInfo) -> None:
    """Store the description behind the header."""
    raw = info.to_json().encode()
    buffer[HEADER_BYTES : HEADER_BYTES + len(raw)] = raw


def read_info(buffer: memoryview, geometry: Geometry) -> StreamInfo:
    """Read the description."""
    raw = bytes(buffer[HEADER_BYTES : HEADER_BYTES + geometry.info_bytes])
    return StreamInfo.from_dict(json.loads(raw))

"""A probe of another host's clock: four times, and the two datagrams that carry them."""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

from rigmesh.errors import ParameterError

__all__ = ["KEY_SIZE", "NONCE_SIZE", "SIZE", "Cipher", "Probe", "key_from_hex"]

KEY_SIZE = 32
NONCE_SIZE = 16

_MAGIC = b"RMCK"
_VERSION = 1
_QUESTION, _ANSWER = 0, 1
_BODY = struct.Struct("!4sBBxx16sqqq")
_MAC_SIZE = 16
SIZE = _BODY.size + _MAC_SIZE
"""Bytes of a question, and of an answer: nobody can use a host to send more than he sends."""


class Probe(NamedTuple):
    """When a question left and came, and its answer left and came, in ns of CLOCK_MONOTONIC."""

    t0: int
    """The question left, on the local clock."""
    t1: int
    """The question came, on the remote clock."""
    t2: int
    """The answer left, on the remote clock."""
    t3: int
    """The answer came, on the local clock."""

    @property
    def round_trip(self) -> int:
        """How long question and answer were on their way, in ns."""
        return (self.t3 - self.t0) - (self.t2 - self.t1)

    @property
    def offset(self) -> int:
        """What to add to the remote clock, in ns; wrong by no more than half the round trip."""
        return (self.t0 + self.t3 - self.t1 - self.t2) // 2

    @property
    def is_possible(self) -> bool:
        """Whether time went forward on either clock, and no answer came before its question."""
        return self.t0 <= self.t3 and self.t1 <= self.t2 and self.round_trip >= 0


def key_from_hex(text: str) -> bytes:
    """Read a session key.

    Raises
    ------
    ParameterError
        If it is not 32 bytes in hexadecimal. The text is not repeated.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_SIZE:
        raise ParameterError(
            f"a session key is {2 * KEY_SIZE} hexadecimal digits; "
            f"{len(text.strip())} characters were given"
        )
    return key


class Cipher:
    """Writes and reads the datagrams of one session.

    Each ends with an HMAC-SHA256, cut to 16 bytes, of all that is before it. Question and answer
    differ in what is signed, so that a question sent back is not an answer.

    Parameters
    ----------
    key : bytes
        32 bytes that both sides have and nobody else.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ParameterError(f"a session key has {KEY_SIZE} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def question(self, nonce: bytes, t0: int) -> bytes:
        """Make the datagram that asks."""
        return self._signed(_BODY.pack(_MAGIC, _VERSION, _QUESTION, nonce, t0, 0, 0))

    def answer(self, nonce: bytes, t0: int, t1: int, t2: int) -> bytes:
        """Make the datagram that answers."""
        return self._signed(_BODY.pack(_MAGIC, _VERSION, _ANSWER, nonce, t0, t1, t2))

    def read_question(self, datagram: bytes | memoryview) -> tuple[bytes, int] | None:
        """Return nonce and t0 of a question; None if it is anything else."""
        found = self._read(datagram, _QUESTION)
        return None if found is None else (found[0], found[1])

    def read_answer(self, datagram: bytes | memoryview) -> tuple[bytes, int, int, int] | None:
        """Return nonce, t0, t1 and t2 of an answer; None if it is anything else."""
        return self._read(datagram, _ANSWER)

    def _signed(self, body: bytes) -> bytes:
        return body + hmac.digest(self._key, body, "sha256")[:_MAC_SIZE]

    def _read(self, datagram: bytes | memoryview, kind: int) -> tuple[bytes, int, int, int] | None:
        if len(datagram) != SIZE:
            return None
        body, mac = datagram[: _BODY.size], datagram[_BODY.size :]
        magic, version, found, nonce, t0, t1, t2 = _BODY.unpack(body)
        if magic != _MAGIC or version != _VERSION or found != kind:
            return None
        expected = hmac.digest(self._key, body, "sha256")[:_MAC_SIZE]
        return (nonce, t0, t1, t2) if hmac.compare_digest(mac, expected) else None

r"""Bytes of serial devices, written as texts: ``A``, ``\x01``, ``P5\r\n``."""

from __future__ import annotations

import re
from typing import Literal

from rigmesh.errors import ParameterError

__all__ = ["Splitter", "from_text", "to_text"]

_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\\\": "\\"}
_ESCAPED = re.compile(r"\\x[0-9A-Fa-f]{2}|\\.?", re.DOTALL)
_LONGEST_LINE = 4096


def from_text(text: str) -> bytes:
    r"""Return the bytes that a text stands for.

    Parameters
    ----------
    text : str
        Characters up to U+00FF, each one byte, and the escapes ``\xhh``, ``\n``, ``\r``, ``\t`` and
        ``\\``.

    Raises
    ------
    ParameterError
        If it has other escapes or characters.

    Examples
    --------
    >>> from_text(r"\x01"), from_text("\x01"), from_text(r"P5\r\n")
    (b'\x01', b'\x01', b'P5\r\n')
    """

    def character(match: re.Match[str]) -> str:
        escape = match[0]
        if escape in _ESCAPES:
            return _ESCAPES[escape]
        if len(escape) == len(r"\x00"):
            return chr(int(escape[2:], 16))
        raise ParameterError(
            rf"{text!r}: {escape!r} stands for no byte; there are \xhh (two digits), \n, \r, \t "
            r"and \\"
        )

    try:
        return _ESCAPED.sub(character, text).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ParameterError(
            rf"{text!r}: {text[error.start]!r} is more than one byte; write its bytes as \xhh"
        ) from error


def to_text(message: bytes) -> str:
    r"""Return the text that :func:`from_text` makes into these bytes, printable.

    Examples
    --------
    >>> print(to_text(b"A\x01"))
    A\x01
    """
    return "".join(
        r"\\" if byte == 0x5C else chr(byte) if 0x20 <= byte < 0x7F else rf"\x{byte:02x}"
        for byte in message
    )


class Splitter:
    """Cuts what a device sends into messages.

    Parameters
    ----------
    by : str
        ``byte``: each byte is a message; ``line``: what stands before a line feed, without a
        carriage return.

    Attributes
    ----------
    n_too_long : int
        Lines of more than 4096 bytes, of which nothing came out.
    """

    def __init__(self, by: Literal["byte", "line"]) -> None:
        self._by_line = by == "line"
        self._begun = b""
        self._skips = False
        self.n_too_long = 0

    def split(self, received: bytes) -> list[bytes]:
        """Return the messages that are complete with the next bytes."""
        if not self._by_line:
            return [bytes((byte,)) for byte in received]
        *lines, self._begun = (self._begun + received).split(b"\n")
        found = []
        for line in lines:
            if len(line) > _LONGEST_LINE and not self._skips:
                self.n_too_long += 1
            elif not self._skips:
                found.append(line.removesuffix(b"\r"))
            self._skips = False
        if len(self._begun) > _LONGEST_LINE:
            self.n_too_long += not self._skips
            self._begun, self._skips = b"", True
        return found

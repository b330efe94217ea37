"""Messages to a browser, and the columns of signals in them."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rigmesh.display import SignalBuffer

__all__ = ["MOST_COLUMNS", "Columns", "columns_in", "factor_of", "pack", "put", "unpack"]

MOST_COLUMNS = 4000
_KNOTS = 65
_ALL_STAMPS = 2**18

Array = npt.NDArray[Any]


class Columns(NamedTuple):
    """Extremes of a signal, made for drawing.

    Attributes
    ----------
    times : ndarray, shape (n_columns,)
        The middle of each column, local clock, in seconds.
    least, greatest : ndarray, shape (n_channels, n_columns)
        As float32; NaN where all is missing.
    """

    times: Array
    least: Array
    greatest: Array

    def part(self, wanted: slice | Array) -> Columns:
        """Return some of the columns."""
        return Columns(self.times[wanted], self.least[:, wanted], self.greatest[:, wanted])


def pack(header: dict[str, Any], payload: list[bytes]) -> bytes:
    """Return a message: length of the header, the header as JSON, then the payload.

    The payload begins at a multiple of 8, and so does each part of it.
    """
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-(4 + len(text)) % 8)
    return b"".join((struct.pack("<I", len(text)), text, *map(_padded, payload)))


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a message apart: header and payload."""
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 8)


def factor_of(rate: float, seconds: float, width: int) -> int:
    """Return how many samples share a column, so that no more than twice `width` columns are seen.

    From 16 on it is a multiple of 16, which is quick.

    Examples
    --------
    >>> factor_of(1000, 10, 1200), factor_of(30_000, 10, 1200), factor_of(0, 10, 1200)
    (8, 240, 1)
    """
    wanted = int(rate * seconds / max(width, 1))
    return max(1, wanted if wanted < 16 else wanted // 16 * 16)


def put(columns: Columns, payload: list[bytes]) -> dict[str, Any]:
    """Put columns into a payload, one channel after the other; return where they are."""
    offset = sum(len(_padded(part)) for part in payload)
    payload += [np.ascontiguousarray(each).tobytes() for each in columns]
    return {"offset": offset, "n": len(columns.times), "n_channels": len(columns.least)}


def columns_in(buffer: SignalBuffer, factor: int, first: int, n: int) -> Columns:
    """Return columns of a buffer; column ``k`` is that of the rows from ``k * factor`` on."""
    with buffer.lock:
        found, times = buffer.columns(factor, first, n), _times(buffer, factor, first, n)
    least = np.asarray(found.minimum.T, np.float32)
    greatest = np.asarray(found.maximum.T, np.float32)
    return Columns(times, least, greatest)


def _times(buffer: SignalBuffer, factor: int, first: int, n: int) -> Array:
    """Return the middle of each column, local clock, in seconds."""
    if n <= 0:
        return np.empty(0)
    begin, stop = first * factor, (first + n) * factor
    middles = begin + (np.arange(n) + 0.5) * factor - 0.5
    if stop - begin <= _ALL_STAMPS:
        stamps = buffer.times(begin, stop)
        rows = np.arange(stop - len(stamps), stop) if len(stamps) else np.empty(0)
        last = buffer.rows[1]
        if len(stamps) and stop > last:  # the last column may not be whole
            rows = np.arange(last - len(stamps), last)
    else:
        rows = np.unique(np.linspace(max(begin, buffer.rows[0]), stop - 1, _KNOTS).astype(np.int64))
        found = [buffer.times(row, row + 1) for row in rows.tolist()]
        rows = rows[[len(stamp) == 1 for stamp in found]]
        stamps = np.concatenate(found) if found else np.empty(0)
    if not len(stamps):
        return np.zeros(n)
    times: Array = np.interp(middles, rows, stamps)
    return times

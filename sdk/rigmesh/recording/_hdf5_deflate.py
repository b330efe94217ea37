"""What the HDF5 filters shuffle and deflate make of values, made faster.

Shuffling puts the first bytes of all values before all the second ones, and so on: planes.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

fast: Any = zlib
with contextlib.suppress(ImportError):  # without, a tenth of the speed, but the same kind of file
    from isal import isal_zlib

    fast = isal_zlib

__all__ = ["Shrinking", "decode", "encode", "shrinking"]

Array = npt.NDArray[Any]

Shrinking = tuple[bool, ...]
"""For each plane, from the low bytes to the high ones, whether it is compressed."""

_PLANE_GAIN = 0.05
_TRIED, _TRIED_BYTES = 4, 2**12
_HEAD, _TAIL = b"\x78\x01", b"\x01\x00\x00\xff\xff"
_STORED = struct.Struct("<BHH")
_MOST_STORED = 2**16 - 1


def shrinking(values: Array) -> Shrinking:
    """Return which planes of values get smaller, as a few samples of them tell."""
    n = max(1, _TRIED_BYTES // (values[0].size or 1))
    spots = np.linspace(0, max(0, len(values) - n), _TRIED, dtype=int).tolist()
    planes = _planes(np.concatenate([values[at : at + n] for at in spots]))
    most = (1 - _PLANE_GAIN) * planes.shape[1]
    return tuple(len(fast.compress(plane.data, 1)) < most for plane in planes)


def encode(values: Array, shrinks: Shrinking) -> bytes:
    """Return values as the HDF5 filters shuffle and deflate would.

    The low bytes of what was measured are noise, which does not get smaller, but slow: such bytes
    are stored as they are, which deflate allows for.
    """
    planes = _planes(values)
    pieces: list[Any] = [_HEAD]
    for plane, is_compressed in zip(planes, shrinks, strict=True):
        if is_compressed:
            encoder = fast.compressobj(1, fast.DEFLATED, -fast.MAX_WBITS)
            pieces += [encoder.compress(plane.data), encoder.flush(fast.Z_FULL_FLUSH)]
        else:
            pieces += _stored(plane.data)
    pieces += [_TAIL, fast.adler32(planes.data).to_bytes(4, "big")]
    return b"".join(pieces)


def decode(raw: bytes, dtype: np.dtype[Any], *, is_shuffled: bool) -> Array:
    """Return the values that were encoded, in one dimension.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    try:
        planes = np.frombuffer(fast.decompress(raw), np.uint8)
    except (zlib.error, fast.error) as error:
        raise ValueError(str(error)) from error
    if is_shuffled:
        planes = planes.reshape(dtype.itemsize, -1)
        values = planes[-1].astype(f"<u{dtype.itemsize}")
        for plane in planes[-2::-1]:
            values <<= 8
            values |= plane
    else:
        values = planes
    found: Array = values.view(dtype)
    return found


def _planes(values: Array) -> Array:
    """Return the first bytes of all values, the second ones, and so on."""
    whole = values.reshape(-1).view(f"<u{values.itemsize}")
    planes = np.empty((values.itemsize, len(whole)), np.uint8)
    for number, plane in enumerate(planes):
        # Three times as fast as copying every second byte.
        np.right_shift(whole, 8 * number, out=plane, casting="unsafe")
    return planes


def _stored(plane: memoryview) -> Iterator[Any]:
    for at in range(0, len(plane), _MOST_STORED):
        piece = plane[at : at + _MOST_STORED]
        yield _STORED.pack(0, len(piece), len(piece) ^ _MOST_STORED)
        yield piece

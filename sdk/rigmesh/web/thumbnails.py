"""Frames of cameras as small pictures that a browser shows."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["encode", "shrunk"]

_WIDEST = 360
_HAS_PILLOW = importlib.util.find_spec("PIL") is not None

Pixels = npt.NDArray[np.uint8]


def encode(frame: npt.NDArray[Any]) -> tuple[bytes, str]:
    """Return a small picture of a frame, and its media type: JPEG by Pillow if that is there.

    Parameters
    ----------
    frame : ndarray, shape (height, width) or (height, width, 1 | 3 | 4)
        What is not uint8 is scaled between its least and greatest value.
    """
    pixels = shrunk(frame)
    if _HAS_PILLOW:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=80)
        return file.getvalue(), "image/jpeg"
    return _png(pixels), "image/png"


def shrunk(frame: npt.NDArray[Any], widest: int = _WIDEST) -> Pixels:
    """Return a frame in at most so many columns, as grey or RGB bytes."""
    step = max(1, -(-max(frame.shape[:2]) // widest))
    small = frame[::step, ::step]
    if small.ndim == 3:
        small = small[:, :, 0] if small.shape[2] in (1, 2) else small[:, :, :3]
    if small.dtype != np.uint8:
        values = np.nan_to_num(small.astype(np.float64))
        low, high = float(values.min()), float(values.max())
        small = ((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    return np.ascontiguousarray(small)


def _png(pixels: Pixels) -> bytes:
    """Return a PNG (ISO/IEC 15948): each row unfiltered, level 1."""
    height, width = pixels.shape[:2]
    is_colour = pixels.ndim == 3
    rows = pixels.reshape(height, -1)
    raw = np.concatenate((np.zeros((height, 1), np.uint8), rows), axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if is_colour else 0, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(raw, 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )

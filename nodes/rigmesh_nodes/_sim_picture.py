"""The frames of a simulated camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import StreamFormatError

__all__ = ["frame_number", "picture"]


def picture(
    number: int, *, angle: float, width: int, height: int, rgb: bool
) -> npt.NDArray[np.uint8]:
    """Draw a bright spot and, in the top left corner, the frame's number.

    Parameters
    ----------
    number : int
        The frame's number; written modulo 2**32.
    angle : float
        Where the spot is on its way round, in radians.
    width, height : int
        Size in pixels.
    rgb : bool
        Whether a pixel is three values, not one.

    Returns
    -------
    ndarray, shape (height, width) or (height, width, 3)
    """
    columns = np.arange(width, dtype=np.float32) - width * (0.5 + 0.3 * np.cos(angle))
    rows = np.arange(height, dtype=np.float32) - height * (0.5 + 0.3 * np.sin(angle))
    radius = min(width, height) / 20
    spot = np.outer(np.exp(-((rows / radius) ** 2)), np.exp(-((columns / radius) ** 2)))
    drawn = (16 + 239 * spot).astype(np.uint8)
    bits = np.unpackbits(np.array([number % 2**32], dtype=">u4").view(np.uint8))
    drawn[:32, :64] = np.kron(255 * bits.reshape(4, 8), np.ones((8, 8), dtype=np.uint8))
    return np.repeat(drawn[:, :, None], 3, axis=2) if rgb else drawn


def frame_number(frame: npt.NDArray[Any]) -> int:
    """Read the number that :class:`Camera` wrote into a frame.

    Parameters
    ----------
    frame : ndarray, shape (height, width) or (height, width, n_colours)
        One frame, values from 0 to 255.

    Returns
    -------
    int
        The number, modulo 2**32.

    Raises
    ------
    StreamFormatError
        If the frame is too small to have one.
    """
    if frame.ndim not in (2, 3) or frame.shape[0] < 32 or frame.shape[1] < 64:
        raise StreamFormatError(
            f"a frame number takes 32 rows of 64 pixels; this frame has the shape {frame.shape}"
        )
    blocks = frame[:32, :64].reshape(4, 8, 8, 8, -1)
    bits = blocks.mean(axis=(1, 3, 4)) > 127
    return int.from_bytes(np.packbits(bits).tobytes(), "big")

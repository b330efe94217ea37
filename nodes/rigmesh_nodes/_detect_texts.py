"""Texts of markers with fields in braces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

__all__ = ["CrossingTexts", "fill"]

_FIELD = re.compile(r"\{([a-z]+)\}")


def fill(text: str, **values: str) -> str:
    """Put values in the place of fields; what is no field of these stays as it is.

    Not `str.format`: a text may be JSON, and a client's word never reaches attributes.

    Examples
    --------
    >>> fill('{"at": {index}}', index="7")
    '{"at": 7}'
    """
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), text)


class CrossingTexts:
    """Texts of crossings; those that differ by channel and direction only are made once.

    Parameters
    ----------
    text : str
        With the fields channel, group, direction, value, time and index.
    names : sequence of (str, str)
        Label and group of each channel.
    """

    def __init__(self, text: str, names: Sequence[tuple[str, str]]) -> None:
        self._each = [
            {
                side: fill(text, channel=channel, group=group, direction=direction)
                for side, direction in ((-1, "falling"), (1, "rising"))
            }
            for channel, group in names
        ]
        self._is_ready = not any(f"{{{name}}}" in text for name in ("value", "time", "index"))

    def __call__(
        self,
        found: Sequence[Sequence[int]],
        data: npt.NDArray[Any],
        stamps: npt.NDArray[Any],
        first: int,
    ) -> list[str]:
        """Return the texts of what was found.

        Parameters
        ----------
        found : sequence of (int, int, int)
            Row, channel, and 1 for rising or -1 for falling.
        data : ndarray, shape (n_samples, n_channels)
            The samples.
        stamps : ndarray, shape (n_samples,)
            Their times, in seconds.
        first : int
            Index of the first sample in its epoch.
        """
        each = self._each
        if self._is_ready:
            return [each[channel][side] for _, channel, side in found]
        return [
            fill(
                each[channel][side],
                value=f"{data[row, channel].item():.9g}",
                time=f"{stamps[row]:.6f}",
                index=str(first + row),
            )
            for row, channel, side in found
        ]

"""Texts as LSL brings them: bytes, of any number and any length."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rigmesh.errors import StreamFormatError

__all__ = ["LONGEST", "fields_of", "runs", "text_of"]

LONGEST = 2**20
"""Bytes of the longest text that is taken."""
_AT_ONCE = 2**16
"""Characters given on at once: whoever reads a ring of texts is to come in between."""


def text_of(row: npt.NDArray[np.object_]) -> str:
    """Return the text of a sample; of several channels a JSON list.

    Bytes that are no UTF-8 become surrogates, which all of rigmesh writes back as bytes.
    """
    texts = [raw.decode("utf-8", "surrogateescape") for raw in row]
    return texts[0] if len(texts) == 1 else json.dumps(texts, ensure_ascii=False)


def fields_of(text: str, n_channels: int, stream: str) -> list[str]:
    """Return the texts of a sample of several channels.

    Raises
    ------
    StreamFormatError
        If it is not a JSON list of as many.
    """
    try:
        row = json.loads(text)
    except ValueError:
        row = None
    if not isinstance(row, list) or len(row) != n_channels:
        raise StreamFormatError(
            f"{stream} has {n_channels} channels, so each marker is a JSON list of as many texts, "
            f"not {text[:80]!r}"
        )
    return [str(one) for one in row]


def runs(texts: Sequence[str]) -> Iterator[slice]:
    """Yield what can be given on at once; texts in between are too long.

    Examples
    --------
    >>> list(runs(["a", "b", "c" * LONGEST, "d" * LONGEST + "d", "e"]))
    [slice(0, 3, None), slice(4, 5, None)]
    """
    begin = size = 0
    for at, text in enumerate(texts):
        # UTF-8 takes four bytes for a character at most.
        if 4 * len(text) > LONGEST and len(text.encode("utf-8", "surrogateescape")) > LONGEST:
            if begin < at:
                yield slice(begin, at)
            begin, size = at + 1, 0
            continue
        size += len(text)
        if size > _AT_ONCE:
            yield slice(begin, at + 1)
            begin, size = at + 1, 0
    if begin < len(texts):
        yield slice(begin, len(texts))

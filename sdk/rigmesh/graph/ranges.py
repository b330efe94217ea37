"""Ranges in names: ``sink(1,3-5)`` stands for ``sink1``, ``sink3``, ``sink4`` and ``sink5``."""

from __future__ import annotations

import re

from rigmesh.errors import GraphError

__all__ = ["has_range", "names_of", "numbers_of", "streams_of"]

_MOST = 1024
_ITEM = re.compile(r"\s*(0|[1-9]\d{0,5})\s*(?:-\s*(0|[1-9]\d{0,5})\s*)?")
_RANGE = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)\(([^()]*)\)\s*")


def has_range(text: str) -> bool:
    """Whether a name, or a reference such as ``up(1-3).out``, is meant to have a range."""
    return "(" in text or ")" in text


def numbers_of(text: str) -> tuple[int, ...]:
    """Return the numbers that a text such as ``0,2-3`` lists, in its order.

    Raises
    ------
    GraphError
        If it has another form, goes backwards or names a number twice.

    Examples
    --------
    >>> numbers_of("0,2-3")
    (0, 2, 3)
    """
    numbers: list[int] = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise GraphError(f"numbers are written such as 1-4 or 1,3-5; found {text!r}")
        first = int(match[1])
        last = int(match[2] or first)
        if last < first:
            raise GraphError(f"a range goes from small to large; found {item.strip()!r}")
        if len(numbers) + last - first >= _MOST:
            raise GraphError(f"{text!r} holds more than {_MOST} numbers")
        numbers += range(first, last + 1)
    if len(set(numbers)) < len(numbers):
        raise GraphError(f"{text!r} holds a number twice")
    return tuple(numbers)


def names_of(text: str) -> tuple[str, ...]:
    """Return the names that a name, perhaps with a range, stands for.

    Raises
    ------
    GraphError
        If there are parentheses but no range.

    Examples
    --------
    >>> names_of("sink(1,3-4)"), names_of("eeg")
    (('sink1', 'sink3', 'sink4'), ('eeg',))
    """
    if not has_range(text):
        return (text,)
    match = _RANGE.fullmatch(text)
    if match is None:
        # YAML cuts [up(1,3).out] and {sink(1,3): …} at the comma.
        hint = "; between [] or {} it needs quotes" if text.count("(") != text.count(")") else ""
        raise GraphError(
            f"a range of names is written such as sink(1-3) or sink(1,3-5){hint}; found {text!r}"
        )
    return tuple(f"{match[1]}{number}" for number in numbers_of(match[2]))


def streams_of(reference: str) -> tuple[str, ...]:
    """Return the streams that ``node.port``, perhaps with a range of nodes, stands for.

    Raises
    ------
    GraphError
        If there are parentheses but no range.

    Examples
    --------
    >>> streams_of("up(1-2).out")
    ('up1.out', 'up2.out')
    """
    name, dot, port = reference.partition(".")
    return tuple(f"{each}{dot}{port}" for each in names_of(name))

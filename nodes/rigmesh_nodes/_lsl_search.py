"""Finding LSL streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rigmesh.errors import Unsupported
from rigmesh.streams import local_clock

__all__ = ["POLL", "Search", "Silence", "describe", "library", "quoted", "same_source"]

POLL = 0.05
"""A search is looked at this often, in seconds."""


def library() -> Any:
    """Import pylsl.

    Raises
    ------
    Unsupported
        If it, or the liblsl it loads, is missing.
    """
    try:
        import pylsl
    except (ImportError, RuntimeError) as error:  # pylsl raises RuntimeError if it has no liblsl
        raise Unsupported(
            f"LSL nodes need pylsl with liblsl: pip install 'rigmesh[lsl]' ({error})"
        ) from error
    return pylsl


def quoted(text: str) -> str:
    """Write a text as an XPath 1.0 expression, which has no escapes."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    parts = ', "\'", '.join(f"'{part}'" for part in text.split("'"))
    return f"concat({parts})"


def same_source(predicate: str, source_id: str) -> str:
    """Narrow a predicate to one source, if it has an identifier."""
    return f"({predicate}) and source_id={quoted(source_id)}" if source_id else predicate


def describe(found: Iterable[Any]) -> str:
    """List streams for a message to a person."""
    lines = sorted(
        f"{one.name()!r} (type {one.type()!r}, source_id {one.source_id()!r}, "
        f"host {one.hostname()!r})"
        for one in found
    )
    return ", ".join(lines) if lines else "none"


class Search:
    """Looks for streams in the background.

    Parameters
    ----------
    predicate : str
        An XPath 1.0 predicate over LSL's description; empty for every stream.
    """

    def __init__(self, predicate: str) -> None:
        pylsl = library()
        self._resolver: Any = (
            pylsl.ContinuousResolver(pred=predicate) if predicate else pylsl.ContinuousResolver()
        )

    def found(self) -> list[Any]:
        """Return the streams that are visible; of one source only the newest outlet."""
        newest: dict[str, Any] = {}
        for one in self._resolver.results():
            source = one.source_id() or one.uid()
            # An outlet that was killed stays visible for some seconds beside the one after it.
            if source not in newest or one.created_at() > newest[source].created_at():
                newest[source] = one
        return list(newest.values())

    def close(self) -> None:
        """Stop looking."""
        self._resolver = None

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Silence:
    """Looks for the successor of a stream that says nothing.

    A peer that loses power closes no connection. Ours is kept nevertheless until its source
    is seen under another identifier: after a cable was out for a while, LSL loses nothing.

    Parameters
    ----------
    predicate : str
        Matches the successor; may match the present outlet, too.
    uid : str
        LSL's identifier of the present outlet.
    """

    FIRST, AGAIN, SEARCH = 5.0, 15.0, 2.0

    def __init__(self, predicate: str, uid: str) -> None:
        self._predicate = f"({predicate}) and uid!={quoted(uid)}"
        self._search: Search | None = None
        self._next = local_clock() + self.FIRST

    def broken(self) -> None:
        """Take note of a sample."""
        self.close()
        self._next = local_clock() + self.FIRST

    def successor(self) -> bool:
        """Whether the source has another outlet now."""
        now = local_clock()
        if self._search is None:
            if now >= self._next:
                self._search = Search(self._predicate)
                self._next = now + self.SEARCH
            return False
        if self._search.found():
            return True
        if now >= self._next:
            self.close()
            self._next = now + self.AGAIN
        return False

    def close(self) -> None:
        """Stop looking."""
        if self._search is not None:
            self._search.close()
            self._search = None

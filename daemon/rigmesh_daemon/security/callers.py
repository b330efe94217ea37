"""Who makes a call, as far as its metadata tell."""

from __future__ import annotations

from typing import Any

from rigmesh.rpc import OPERATOR_KEY

__all__ = ["operator_of", "token_of"]

_LONGEST = 100


def token_of(context: Any) -> str:
    """Return the identifier of the caller's token; of a local caller, nothing."""
    return _found(context, "authorization").rpartition(" ")[2].partition(".")[0]


def operator_of(context: Any) -> str:
    """Return a name for the person who calls: what the client says, or whose token it has.

    The same person may come with several tokens, or with none, at the machine itself.
    """
    said = "".join(c for c in _found(context, OPERATOR_KEY)[:_LONGEST] if c.isprintable())
    token = token_of(context)
    return said or (f"who has the token {token}" if token else "somebody at the machine")


def _found(context: Any, wanted: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == wanted:
            return str(value)
    return ""

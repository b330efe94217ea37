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
    """Return a name for the person who calls.

    People on one machine trust each other with theirs; those of other machines also have a token.
    """
    said = "".join(c for c in _found(context, OPERATOR_KEY)[:_LONGEST] if c.isprintable())
    token = token_of(context)
    return f"{said or 'somebody'} (token {token})" if token else said or "somebody at the machine"


def _found(context: Any, wanted: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == wanted:
            return str(value)
    return ""

"""``rigmesh login`` and ``rigmesh logout``: hosts that this user may get into."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rigmesh.cli.console import OUT
from rigmesh.client.connection import Connection
from rigmesh.credentials import (
    Credentials,
    authority_of,
    forget_credentials,
    full_address,
    store_credentials,
)
from rigmesh.errors import NotPermitted
from rigmesh.names import DEFAULT_PORT

__all__ = ["login", "logout"]

_LONGEST = 1000


def login(
    host: Annotated[str, typer.Argument(help=f"Name or address; port {DEFAULT_PORT} by default.")],
    ca: Annotated[
        str, typer.Option("--ca", help="Fingerprint that `rigmeshd init` printed on the host.")
    ],
    name: Annotated[
        str, typer.Option(help="Name in the host's certificate, if it is reached by another one.")
    ] = "",
) -> None:
    """Get into the daemon of another machine, and stay so.

    The token is asked for, or read from standard input: rigmesh login rig-1 --ca … < token.txt
    """
    address = full_address(host)
    authority = authority_of(address, ca)
    token = _ask_token(address)
    credentials = Credentials(address, authority, token, name)
    connection = Connection(credentials)
    try:
        status = connection.status()
    finally:
        connection.close()
    path = store_credentials(credentials)
    OUT.print(f"logged in to {status.host} at {address}", highlight=False, markup=False)
    OUT.print(f"kept in {path}", highlight=False, markup=False, soft_wrap=True)


def logout(
    host: Annotated[str, typer.Argument(help="As for login.")],
) -> None:
    """Forget the token of another machine; it stays good until it is revoked there."""
    forget_credentials(host)
    OUT.print(f"logged out of {full_address(host)}", highlight=False, markup=False)


def _ask_token(address: str) -> str:
    if sys.stdin.isatty():
        text = str(typer.prompt(f"Token for {address}", hide_input=True))
    else:
        text = sys.stdin.readline(_LONGEST)
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise NotPermitted(
            "that is no token; it is what `rigmeshd token add` prints, such as 1a2b3c4d.…"
        )
    return token

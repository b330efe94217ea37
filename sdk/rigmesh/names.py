"""Names that several layers agree on."""

from __future__ import annotations

import getpass
import os
import socket

__all__ = ["DEFAULT_PORT", "RELAY", "RELAY_OUTPUT", "operator", "relay_name", "relay_parameters"]

DEFAULT_PORT = 5678
"""Where daemons listen for other machines; their relays listen on the next one."""

RELAY = "relay.Inlet"
"""Type of the nodes that bring a stream from another machine."""

RELAY_OUTPUT = "relayed"
"""The output that gives it."""


def relay_name(stream: str) -> str:
    """Return the name of the node that brings a stream, ``node`` or ``node.port``.

    Examples
    --------
    >>> relay_name("eeg.signal")
    'eeg-signal'
    """
    return stream.replace(".", "-")


def relay_parameters(address: str, stream: str) -> dict[str, str | float]:
    """Return the parameters of the node that brings a stream from the host at an address.

    It waits for long: its graph may begin with who receives, and with slow machines.
    """
    return {"address": address, "stream": stream, "timeout": 60.0}


def operator() -> str:
    """Return who this is, as daemons tell others: ``$RIGMESH_OPERATOR``, or ``user@machine``."""
    said = os.environ.get("RIGMESH_OPERATOR", "")
    if not said:
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user that has no name
            user = f"user {os.getuid()}"
        said = f"{user}@{socket.gethostname()}"
    return said.encode("ascii", "backslashreplace").decode()

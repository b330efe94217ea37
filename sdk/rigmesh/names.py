"""Names that several layers agree on."""

from __future__ import annotations

__all__ = ["DEFAULT_PORT", "RELAY", "RELAY_OUTPUT", "relay_name", "relay_parameters"]

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

"""Where a relay is, and how to get a channel to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc

from rigmesh.credentials import load_credentials
from rigmesh.rpc import CHANNEL_OPTIONS

__all__ = ["RELAY_PORT_OFFSET", "RelayHost", "SocketHost", "relay_host"]

RELAY_PORT_OFFSET = 1
"""Of the relay's TCP port and of the clock responder's UDP port, from the daemon's."""
_UNIX = "unix:"


class RelayHost(Protocol):
    """A host that streams can be had from; `rigmesh.credentials.Credentials` is one."""

    @property
    def address(self) -> str:
        """Host and port of its daemon."""

    def channel(self, port_offset: int = 0) -> grpc.Channel:
        """Return a channel to the daemon's port, plus an offset."""


@dataclass(frozen=True, slots=True)
class SocketHost:
    """A relay on a Unix socket of this machine, protected by the permissions of the file.

    Parameters
    ----------
    socket : Path
        Its socket.
    """

    socket: Path

    @property
    def address(self) -> str:
        """As :func:`relay_host` takes it."""
        return f"{_UNIX}{self.socket}"

    def channel(self, port_offset: int = 0) -> grpc.Channel:
        """Return a channel."""
        # Otherwise all channels of a process share one connection, and its waiting times.
        options = [*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        return grpc.insecure_channel(self.address, options=options)


def relay_host(address: str) -> RelayHost:
    """Return the host of an address: ``host:port`` of its daemon, or ``unix:`` and a path.

    Raises
    ------
    NotPermitted
        If no credentials for it are stored here.
    """
    if address.startswith(_UNIX):
        return SocketHost(Path(address.removeprefix(_UNIX)))
    return load_credentials(address)

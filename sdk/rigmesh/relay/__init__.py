"""Streams of another host: what crosses the network, and the reading end."""

from rigmesh.relay.reader import Ended, RelayReader
from rigmesh.relay.stream import RemoteStreamReader
from rigmesh.relay.target import RelayHost, SocketHost, relay_host

__all__ = ["Ended", "RelayHost", "RelayReader", "RemoteStreamReader", "SocketHost", "relay_host"]

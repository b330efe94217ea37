"""Handles of hosts and of the groups on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rigmesh.client.manager import Manager
    from rigmesh.client.node import NodeHandle

__all__ = ["Host", "NodeGroup"]


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with a daemon.

    Parameters
    ----------
    manager : Manager
        The manager it belongs to.
    name : str
        As the daemon calls it.
    """

    manager: Manager
    name: str

    def create_nodegroup(self, name: str = "", **options: Any) -> NodeGroup:
        """Make a group on this host; see :meth:`Manager.create_nodegroup`."""
        return self.manager.create_nodegroup(name, host=self, **options)

    def create_node(self, type: Any, **options: Any) -> NodeHandle:  # noqa: A002
        """Make a node on this host; see :meth:`Manager.create_node`."""
        return self.manager.create_node(type, host=self, **options)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A process on a host that runs nodes.

    Parameters
    ----------
    host : Host
        Where it is.
    name : str
        Its name.
    """

    host: Host
    name: str

    def create_node(self, type: Any, **options: Any) -> NodeHandle:  # noqa: A002
        """Make a node in this group; see :meth:`Manager.create_node`."""
        return self.host.manager.create_node(type, host=self, **options)

    def close(self) -> None:
        """Remove the group and its nodes."""
        self.host.manager.remove_nodegroup(self)

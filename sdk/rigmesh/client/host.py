"""Handles of hosts and of the groups on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from rigmesh_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from rigmesh.client.manager import Manager
    from rigmesh.client.node import NodeHandle

__all__ = ["GroupOptions", "Host", "NodeGroup", "group_message"]


class GroupOptions(TypedDict, total=False):
    """How a group runs.

    Attributes
    ----------
    restart : str
        Whether it is restarted after a failure: ``never`` or ``on-failure``.
    buffer_seconds : float
        How much its rings hold.
    cpus : sequence of int
        CPUs it may use; all if not given.
    priority : int
        1 to 100: real-time, in % of the SCHED_FIFO range. 0: as any process.
    wait : str
        How it waits for chunks of other processes: ``block``, ``spin(50)`` (for 50 µs, then block)
        or ``spin``, which keeps a CPU busy.
    lock_memory : bool
        Whether its memory is kept from being swapped out.
    deadline : float
        Chunks that take longer through its nodes are counted, in seconds; 0: no matter.
    """

    restart: Literal["never", "on-failure"]
    buffer_seconds: float
    cpus: Sequence[int]
    priority: int
    wait: str
    lock_memory: bool
    deadline: float


def group_message(name: str, options: GroupOptions) -> pb.GroupSpec:
    """Return the message of a group."""
    values: dict[str, Any] = {"buffer_seconds": 10.0, "wait": "block", **options}
    is_restarted = values.pop("restart", "never") == "on-failure"
    policy = pb.RESTART_POLICY_ON_FAILURE if is_restarted else pb.RESTART_POLICY_NEVER
    return pb.GroupSpec(name=name, restart=policy, **values)


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

    def create_nodegroup(self, name: str = "", **options: Unpack[GroupOptions]) -> NodeGroup:
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

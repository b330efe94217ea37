"""Nodes that compute what a window shows, in a group of their own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rigmesh.errors import RigmeshError

if TYPE_CHECKING:
    from rigmesh.client.host import NodeGroup
    from rigmesh.client.manager import Manager
    from rigmesh.client.node import NodeHandle

__all__ = ["Worker", "make_worker"]

_STANDING = ("created", "stopped")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """A node that works for a window.

    Parameters
    ----------
    node : NodeHandle
        The node.
    group : NodeGroup
        Where it runs, alone.
    port : str
        Input of the window that takes what it gives.
    """

    node: NodeHandle
    group: NodeGroup
    port: str

    @property
    def stream(self) -> str:
        """What it gives."""
        return self.node.output.stream

    def follow(self, parameters: Mapping[str, Any]) -> None:
        """Take over what the window wants now."""
        there = self.node.parameters
        new = {key: value for key, value in parameters.items() if there.get(key) != value}
        if new:
            try:
                self.node.update(**new)
            except RigmeshError as error:
                _log.warning("%s: %s", self.node.name, error)

    def remove(self) -> None:
        """Take it away; a daemon that is gone has it no more."""
        with contextlib.suppress(RigmeshError):
            self.node.remove()
        with contextlib.suppress(RigmeshError):
            self.group.close()


def make_worker(
    manager: Manager,
    window: str,
    stream: str,
    wanted: tuple[str, str],
    parameters: Mapping[str, Any],
) -> Worker | None:
    """Have a node work on a stream for a window.

    Parameters
    ----------
    manager : Manager
        Whose graph it joins.
    window : str
        The window's name.
    stream : str
        What it works on.
    wanted : (str, str)
        Its type, and the window's input for what it gives.
    parameters : mapping
        The node's, as the window wants them.

    Returns
    -------
    Worker or None
        None where no node can be added: the graph runs already, or is somebody else's.
    """
    type_, port = wanted
    node, _, output = stream.partition(".")
    if manager[node].state not in _STANDING:
        return None  # a node that joins now would be started with the next run only
    with contextlib.ExitStack() as undo:
        try:
            group = manager.create_nodegroup(f"{window}-worker", host=manager.host_of(node))
            undo.callback(_quietly, group.close)
            made = manager.create_node(type_, name=f"{window}_worker", host=group, **parameters)
            made.input.connect(manager[node].outputs[output])
        except RigmeshError as error:
            _log.info("%s computes by itself: %s", window, error)
            return None
        undo.pop_all()
    return Worker(made, group, port)


def _quietly(close: Any) -> None:
    with contextlib.suppress(RigmeshError):
        close()

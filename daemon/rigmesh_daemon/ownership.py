"""Whose graph it is: two operators cannot change one graph without knowing of each other."""

from __future__ import annotations

import time
from collections.abc import Callable

from rigmesh.errors import NotOwner
from rigmesh.graph import MAIN
from rigmesh_daemon.state import GraphState, Owner
from rigmesh_proto.v1.control_pb2 import LogRecord

__all__ = ["Ownership"]


class Ownership:
    """Lets one operator change the graph: who began it, until another takes it over.

    It keeps people from treading on each other's feet; what keeps strangers out is the roles.

    Parameters
    ----------
    state : GraphState
        The graph. While it is empty it is nobody's.
    tell : callable
        Told of each change of hands.
    """

    def __init__(self, state: GraphState, tell: Callable[[LogRecord], None]) -> None:
        self._state = state
        self._tell = tell

    def admit(self, operator: str) -> None:
        """Let an operator change something.

        Raises
        ------
        NotOwner
            If the graph is another's.
        """
        state = self._state
        if not state.nodes and not state.groups.keys() - {MAIN}:
            state.owner = Owner(operator, time.time())
        elif not state.owner.name:
            state.owner = Owner(operator, time.time())  # a daemon of an earlier version had none
        elif state.owner.name != operator:
            raise NotOwner(
                f"the graph belongs to {state.owner}; you are {operator}. Talk to each other, then "
                "`rigmesh take-over` or manager.take_over(); anybody may look and annotate"
            )

    def take_over(self, operator: str) -> str:
        """Make the graph an operator's; return whose it was, if it was another's."""
        before = self._state.owner
        if before.name == operator:
            return ""
        self._state.owner = Owner(operator, time.time())
        if before.name:
            text = f"the graph is taken over by {operator}; it belonged to {before}"
            self._tell(LogRecord(time=time.time(), level="WARNING", message=text))
        return before.name

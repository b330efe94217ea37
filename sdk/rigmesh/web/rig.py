"""The daemons as the page sees them, and as its users change them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rigmesh.client.driver import Driver
from rigmesh.client.fleet import Fleet, Member
from rigmesh.client.live import Latency, call_command, get_latencies
from rigmesh.client.retry import PatientConnection
from rigmesh.credentials import load_credentials
from rigmesh.errors import DaemonUnavailable, StreamNotFound
from rigmesh.names import operator
from rigmesh.rpc import OPERATOR_KEY
from rigmesh.web.sessions import Session
from rigmesh.web.settings import Settings
from rigmesh.web.watch import HostView, HostWatch, Target, local_target, remote_target
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Hands", "Rig"]

Result = TypeVar("Result")


class _ConnectionAs(PatientConnection):
    """A connection for somebody else than the user of this process."""

    def __init__(self, target: Target, who: str) -> None:
        super().__init__(target)
        self._who = ((OPERATOR_KEY, who),)


class Hands(Driver):
    """Drives what runs already, in the name of somebody who has logged in.

    Parameters
    ----------
    targets : sequence of (Target, str)
        The daemons, and the addresses by which others reach them.
    who : str
        Whose the changes are.
    """

    def __init__(self, targets: list[tuple[Target, str]], who: str) -> None:
        connections: list[PatientConnection] = []
        try:
            for target, _ in targets:
                connections.append(_ConnectionAs(target, who))
            members = [
                Member(c, address) for c, (_, address) in zip(connections, targets, strict=True)
            ]
            self._fleet = Fleet(members[0])
            for member in members[1:]:
                self._fleet.add(member)
        except BaseException:
            for connection in connections:
                connection.close()
            raise

    def order(self, node: str, command: str, arguments: Mapping[str, Any]) -> Any:
        """Let a node obey a command; an argument may have any name."""
        return call_command(self._fleet.of(node), node, command, arguments)

    def close(self) -> None:
        """Hang up; what runs goes on."""
        for member in self._fleet:
            member.connection.close()


class Rig:
    """All hosts of the page.

    Parameters
    ----------
    settings : Settings
        Which hosts.
    """

    def __init__(self, settings: Settings) -> None:
        self._watches = [HostWatch("", local_target(settings.socket))]
        self._watches += [HostWatch(a, remote_target(a)) for a in settings.hosts]
        self._user = operator()
        self._lock = threading.Lock()
        self._hands: dict[tuple[str, ...], Hands] = {}

    def hosts(self) -> list[HostView]:
        """Return what is known of each host, this one first; other than remote ones, if none."""
        if len(self._watches) == 1:
            return [self._watches[0].view()]
        with ThreadPoolExecutor(len(self._watches)) as pool:
            views = list(pool.map(lambda watch: watch.view(), self._watches))
        # Who looks at other machines need not have a daemon here.
        return views if views[0].where else views[1:]

    def host_of(self, stream: str) -> HostView:
        """Return who has a stream.

        Raises
        ------
        StreamNotFound
            If nobody has.
        """
        node = stream.partition(".")[0]
        for view in self.hosts():
            if any(each.name == stream for each in view.status.streams):
                return view
            if any(each.spec.name == node for each in view.status.nodes):
                return view
        raise StreamNotFound(f"no host has a stream {stream!r}")

    def states(self, node: str) -> dict[str, object]:
        """Return states and live parameters of a node.

        Raises
        ------
        RigmeshError
            If its host does not answer.
        """
        for watch in self._watches:
            if any(each.spec.name == node for each in watch.view().status.nodes):
                member = watch.member()
                request = pb.GetStatesRequest(name=node)
                found = json.loads(member.call(member.stub.GetStates, request).states_json)
                return {name.removeprefix(f"{node}."): value for name, value in found.items()}
        raise StreamNotFound(f"no host has a node {node!r}")

    def latencies(self) -> list[Latency]:
        """Return how long chunks took to each node and over each ring, as far as hosts answer."""
        found: list[Latency] = []
        for watch in self._watches:
            if watch.view().where:
                found += get_latencies(watch.member())
        return found

    def change(self, session: Session, do: Callable[[Hands], Result]) -> Result:
        """Do something in the name of who has logged in; returns what `do` returns.

        Raises
        ------
        RigmeshError
            What a daemon raised.
        """
        views = [view for view in self.hosts() if view.where]
        if not views:
            raise DaemonUnavailable("no daemon answers; there is nothing to change")
        who = self.name_of(session)
        key = (who, *(view.where for view in views))
        with self._lock:
            hands = self._hands.get(key)
            if hands is None:
                self._forget(who)
                hands = self._hands[key] = Hands([_target_of(view) for view in views], who)
        try:
            return do(hands)
        except DaemonUnavailable:
            with self._lock:
                self._forget(who)
            raise
        finally:
            for watch in self._watches:
                watch.refresh()

    def name_of(self, session: Session) -> str:
        """Return by what name somebody owns a graph: a user of this machine by his own."""
        if session.token is None:
            return self._user
        name = f"{session.token.id} {session.token.note}".rstrip()
        return name.encode("ascii", "backslashreplace").decode()

    def close(self) -> None:
        """Hang up."""
        for watch in self._watches:
            watch.close()
        for hands in self._hands.values():
            hands.close()

    def _forget(self, who: str) -> None:
        for key in [key for key in self._hands if key[0] == who]:
            self._hands.pop(key).close()


def _target_of(view: HostView) -> tuple[Target, str]:
    if view.address:
        return load_credentials(view.address), view.where
    return Path(view.where), ""

"""The daemons as the page sees them, and as its users change them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rigmesh.client.driver import Driver
from rigmesh.client.fleet import Fleet, Member
from rigmesh.client.live import Latency, StateView, call_command, get_latencies
from rigmesh.client.retry import PatientConnection
from rigmesh.credentials import load_credentials
from rigmesh.errors import DaemonUnavailable, NameTaken, StreamNotFound, UnknownName
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

    def stop_all(self, *, timeout: float = 15.0, wait_sealed: bool | None = None) -> None:
        """End the sources, let everything drain; see `Driver.stop_all`."""
        if wait_sealed is not None:
            for member in self._fleet:  # of which several may have a recorder of one name
                with contextlib.suppress(DaemonUnavailable):  # told when it is to stop
                    states = StateView(Fleet(member))
                    there = {n: v for n, v in states.read().items() if n.endswith(".wait_sealed")}
                    changed = {n: wait_sealed for n, known in there.items() if known != wait_sealed}
                    states.write(changed)
        super().stop_all(timeout=timeout)

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
        # Who looks at other machines need not have a daemon here; one that was here is missed.
        return views if views[0].where or views[0].status.host else views[1:]

    @property
    def is_many(self) -> bool:
        """Whether there may be more than one host, so that a name alone does not tell enough."""
        return len(self._watches) > 1

    def named(self, host: str) -> HostView:
        """Return what is known of a host, by its name or address.

        Raises
        ------
        UnknownName
            If there is none.
        NameTaken
            If there are several.
        """
        return _named(host, self.hosts())

    def find_node(self, node: str, host: str = "") -> tuple[HostView, str]:
        """Return who has a node, and its name there.

        Parameters
        ----------
        node : str
            Its name, or ``name@host``.
        host : str
            Where; empty: wherever it is, if that is one host only.

        Raises
        ------
        UnknownName
            If there is no such node, or host.
        NameTaken
            If several hosts have one.
        DaemonUnavailable
            If the host does not answer.
        """
        found = _places("node", node, host, _has_node, self.hosts())
        if found is None:
            raise UnknownName(f"there is no node {node!r}{f' on {host}' if host else ''}")
        return found

    def find_stream(
        self, stream: str, host: str = "", *, views: list[HostView] | None = None
    ) -> tuple[HostView, str]:
        """Return who has a stream, and its name there; as `find_node`.

        Parameters
        ----------
        stream, host : str
            As for a node.
        views : list of HostView, optional
            The hosts, if they have been looked at already.

        Raises
        ------
        StreamNotFound
            If nobody has.
        """
        found = _places(
            "stream", stream, host, _has_stream, self.hosts() if views is None else views
        )
        if found is None:
            raise StreamNotFound(
                f"{host or 'no host'} has {'no' if host else 'a'} stream {stream!r}"
            )
        return found

    def states(self, view: HostView, node: str) -> dict[str, object]:
        """Return states and live parameters of a node of a host.

        Raises
        ------
        RigmeshError
            If the host does not answer.
        """
        member = next(w for w in self._watches if w.address == view.address).member()
        request = pb.GetStatesRequest(name=node)
        found = json.loads(member.call(member.stub.GetStates, request).states_json)
        return {name.removeprefix(f"{node}."): value for name, value in found.items()}

    def latencies(self) -> list[Latency]:
        """Return how long chunks took to each node and over each ring, as far as hosts answer."""
        found: list[Latency] = []
        for watch in self._watches:
            if watch.view().where:
                found += get_latencies(watch.member())
        return found

    def change(
        self,
        session: Session,
        do: Callable[[Hands], Result],
        where: Sequence[HostView] | None = None,
    ) -> Result:
        """Do something in the name of who has logged in; returns what `do` returns.

        Parameters
        ----------
        session : Session
            Of who asks.
        do : callable
            What.
        where : sequence of HostView, optional
            The hosts that it is done on; else all that answer.

        Raises
        ------
        RigmeshError
            What a daemon raised.
        """
        views = [view for view in self.hosts() if view.where] if where is None else list(where)
        if not views:
            raise DaemonUnavailable("no daemon answers; there is nothing to change")
        for view in views:
            if not view.where:
                raise DaemonUnavailable(f"{view.name} does not answer: {view.error}")
        who = self.name_of(session)
        key = (who, *(view.where for view in views))
        with self._lock:
            hands = self._hands.get(key)
            if hands is None:
                self._forget_gone(who)
                hands = self._hands[key] = Hands([_target_of(view) for view in views], who)
        try:
            return do(hands)
        except DaemonUnavailable:
            with self._lock:  # not those of other hosts, which may be at work
                if self._hands.get(key) is hands:
                    self._hands.pop(key).close()
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

    def _forget_gone(self, who: str) -> None:
        """Hang up on daemons that are not there any more."""
        there = {view.where for view in self.hosts()}
        for key in [key for key in self._hands if key[0] == who and not there.issuperset(key[1:])]:
            self._hands.pop(key).close()


def _target_of(view: HostView) -> tuple[Target, str]:
    if view.address:
        return load_credentials(view.address), view.where
    return Path(view.where), ""


def _named(host: str, views: Sequence[HostView]) -> HostView:
    found = [view for view in views if host and host in (view.name, view.address)]
    if not found:
        raise UnknownName.among("host", host, (view.name for view in views))
    if len(found) > 1:
        raise NameTaken(
            f"{len(found)} daemons are called {host!r}, at "
            + " and ".join(view.address or "this machine" for view in found)
            + '; set host = "…" in the rigmeshd.toml of one of them'
        )
    return found[0]


def _places(
    what: str,
    key: str,
    host: str,
    has: Callable[[HostView, str], bool],
    views: Sequence[HostView],
) -> tuple[HostView, str] | None:
    name, _, place = key.rpartition("@")
    if host:
        chosen = _named(host, views)
        asked = [(chosen, key), *([(chosen, name)] if name and chosen.name == place else [])]
    else:
        asked = [(view, key) for view in views]
        asked += [(view, name) for view in views if name and view.name == place]
    found = [(view, named) for view, named in asked if has(view, named)]
    if len(found) > 1:
        hosts = " and ".join(view.name for view, _ in found)
        first = found[0][0].name
        raise NameTaken(
            f"the {what} {key!r} is on {hosts}; say which one: host={first}, or {key}@{first}"
        )
    if not found:
        for view, named in asked:
            # Not to be told that it is not there, when nobody can know.
            if (host or named != key) and not view.where:
                raise DaemonUnavailable(f"{view.name} does not answer: {view.error}")
    return found[0] if found else None


def _has_node(view: HostView, node: str) -> bool:
    return any(each.spec.name == node for each in view.status.nodes)


def _has_stream(view: HostView, stream: str) -> bool:
    if any(each.name == stream for each in view.status.streams):
        return True
    if any(stream in node.outputs for node in view.status.nodes):
        return True
    # Of a name with a host it is not known yet where the port ends.
    node, dot, port = stream.partition(".")
    return bool(dot) and "@" not in port and _has_node(view, node)

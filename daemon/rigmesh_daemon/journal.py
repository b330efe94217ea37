"""What a daemon writes down, for the daemon that comes after it if it is killed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from rigmesh.errors import DaemonError
from rigmesh.graph import AliasSpec, GroupSpec, NodeSpec
from rigmesh.node.registry import NodeType
from rigmesh_daemon.state import GraphState, Owner
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2

__all__ = ["Journal", "JournalLock", "KnownNode", "KnownProcess", "KnownRing", "Snapshot"]

_log = logging.getLogger(__name__)

_SOON = 0.1
"""How long changes that nobody waits for are collected, in seconds."""

Phase = Literal["idle", "starting", "running", "stopping"]


@dataclass(frozen=True, slots=True)
class KnownProcess:
    """A process that the daemon had.

    Parameters
    ----------
    name, group : str
        What it is called, and its group.
    token : str
        Pid and start time.
    socket : str
        Where it listens.
    is_foreign : bool
        Whether a client had started it.
    is_alive : bool
        Whether it had said hello, and not died.
    is_mending : bool
        Whether it was about to be restarted.
    restarts : int
        How often it was.
    """

    name: str
    group: str
    token: str
    socket: str
    is_foreign: bool
    is_alive: bool
    is_mending: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node, the process it is in, and its last known state."""

    spec: NodeSpec
    process: str
    state: str


@dataclass(frozen=True, slots=True)
class KnownRing:
    """Where an epoch lies."""

    epoch: int
    segment: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the groups cannot be asked for, or not all of them, because some may be dead.

    Parameters
    ----------
    session : str
        Token in the names of the shared memory.
    name, metadata, groups, aliases, nodes
        The graph.
    types : dict of str to str
        The node types in use, as JSON, by name.
    phase, run_id, run_start, started
        The run.
    owner : Owner
        Whose graph it is.
    published, over : list of str
        Streams that are in rings; streams that nothing follows in.
    epochs : dict of str to int
        The last epoch of each stream.
    rings : dict of str to list of KnownRing
        Oldest first.
    """

    rigmesh: Literal[1]
    session: str
    name: str
    metadata: dict[str, Any]
    groups: dict[str, GroupSpec]
    aliases: dict[str, AliasSpec]
    nodes: dict[str, KnownNode]
    types: dict[str, str]
    processes: dict[str, KnownProcess]
    phase: Phase
    run_id: str
    run_start: float
    started: float
    owner: Owner = field(default_factory=Owner)
    published: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)
    epochs: dict[str, int] = field(default_factory=dict)
    rings: dict[str, list[KnownRing]] = field(default_factory=dict)


_ADAPTER = TypeAdapter(Snapshot)


class Journal:
    """The file ``graph.json`` in a daemon's run directory.

    It is replaced, never written into, so that it is whole whenever the daemon is killed. It is not
    brought to the disk: what it speaks of does not survive the machine either.

    Parameters
    ----------
    path : Path
        The file.
    state : GraphState
        What to write down.
    session : callable
        Returns the token in the names of the shared memory.
    """

    def __init__(self, path: Path, state: GraphState, session: Callable[[], str]) -> None:
        self._path = path
        self._state = state
        self._session = session
        self._types: dict[str, tuple[NodeType, str]] = {}
        self._written = ""
        self._is_on = False
        self._soon: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Write from now on."""
        self._is_on = True
        self._state.on_change = self._on_change
        self.flush()

    def mark(self) -> None:
        """Write soon."""
        if self._is_on and self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SOON, self.flush)

    def flush(self) -> None:
        """Write now, if anything has changed."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self._is_on:
            return
        text = self._text()
        if text == self._written:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.touch(0o600)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            _log.warning("a daemon after this one will not find its groups: %s", error)
            return
        self._written = text

    def end(self) -> None:
        """Write no more: nothing is left to be found."""
        if self._is_on:
            self._is_on = False
            self.flush()
            self._path.unlink(missing_ok=True)

    def read(self) -> Snapshot | None:
        """Return what the daemon before this one wrote last; None if it ended in good order.

        Raises
        ------
        DaemonError
            If the file is damaged, or another version's.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DaemonError(f"cannot read {self._path}: {error}") from error
        try:
            snapshot = _ADAPTER.validate_python(json.loads(text))
            _check(snapshot)
        except (ValidationError, ValueError, TypeError, KeyError) as error:
            what = str(error).splitlines()[0]
            raise DaemonError(f"{self._path} is not what a daemon writes: {what}") from error
        return snapshot

    # --- inside ------------------------------------------------------------------------------

    def _on_change(self, event: control_pb2.Event) -> None:
        kind = event.WhichOneof("what")
        if kind == "state":  # whoever comes next must know what was under way
            self.flush()
        elif kind != "log":
            self.mark()

    def _text(self) -> str:
        written = _ADAPTER.dump_python(self._snapshot())
        return json.dumps(written, default=str, separators=(",", ":"))

    def _snapshot(self) -> Snapshot:
        state = self._state
        return Snapshot(
            rigmesh=1,
            session=self._session(),
            name=state.name,
            metadata=dict(state.metadata),
            groups=dict(state.groups),
            aliases=dict(state.aliases),
            nodes={
                name: KnownNode(
                    record.spec, record.process, control_pb2.NodeState.Name(record.state)
                )
                for name, record in state.nodes.items()
            },
            types={
                type_: self._type_text(state.types[type_])
                for type_ in sorted({record.spec.type for record in state.nodes.values()})
            },
            processes={name: _known(process) for name, process in state.processes.items()},
            phase=state.phase,  # type: ignore[arg-type]
            run_id=state.run_id,
            run_start=state.run_start,
            started=state.started,
            owner=state.owner,
            published=sorted(state.published),
            over=sorted(state.over),
            epochs=dict(state.epochs),
            rings={
                stream: [KnownRing(ring.epoch, ring.segment) for ring in rings]
                for stream, rings in state.rings.items()
            },
        )

    def _type_text(self, type_: NodeType) -> str:
        known = self._types.get(type_.name)
        if known is None or known[0] is not type_:
            known = self._types[type_.name] = type_, json.dumps(type_.to_dict(), default=str)
        return known[1]


def _known(process: GroupProcess) -> KnownProcess:
    return KnownProcess(
        name=process.name,
        group=process.group.name,
        token=process.token,
        socket=str(process.socket),
        is_foreign=process.is_foreign,
        is_alive=process.is_alive,
        is_mending=process.is_mending,
        restarts=process.restarts,
    )


def _check(snapshot: Snapshot) -> None:
    """Raise KeyError if a name is used that is not there, ValueError if a state is none."""
    for process in snapshot.processes.values():
        snapshot.groups[process.group]
    for node in snapshot.nodes.values():
        snapshot.processes[node.process]
        snapshot.types[node.spec.type]
        control_pb2.NodeState.Value(node.state)
    for text in snapshot.types.values():
        NodeType.from_dict(json.loads(text))


class JournalLock(asyncio.Lock):
    """A lock under which a client's wish is done; it is written down before the client knows.

    Parameters
    ----------
    journal : Journal
        Written when the lock is given back.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    async def __aexit__(self, *exc: object) -> None:
        self._journal.flush()
        self.release()

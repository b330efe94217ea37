"""Windows of a script: they look like nodes, but no graph depends on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmesh.client.node import InputHandle, NodeHandle
from rigmesh.client.window_process import WindowProcess
from rigmesh.client.window_workers import Worker, make_worker
from rigmesh.errors import (
    GraphError,
    NameTaken,
    PortMismatch,
    RigmeshError,
    UnknownName,
    Unsupported,
)

if TYPE_CHECKING:
    from rigmesh.client.fleet import Fleet
    from rigmesh.client.live import StateView
    from rigmesh.client.manager import Manager
    from rigmesh.graph import NodeSpec
    from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["WindowHandle", "Windows", "window_type"]

_PANEL = "viewers.Panel"


def window_type(wanted: str, types: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the full name of a window's type; empty if it is none, or not the only one so named.

    Parameters
    ----------
    wanted : str
        As a person wrote it: full or short, in any case.
    types : mapping
        All node types by name, as daemons list them.
    """
    folded = wanted.lower()
    found = [
        (name, bool(type_.get("is_window")))
        for name, type_ in types.items()
        if folded == name.lower()
        or folded == name.rpartition(".")[2].lower()
        or folded in (alias.lower() for alias in type_.get("aliases", ()))
    ]
    return found[0][0] if len(found) == 1 and found[0][1] else ""


class WindowHandle(NodeHandle):
    """A window; it looks like a node of the graph, but no graph depends on it.

    Attributes
    ----------
    name, type : str
        What it is called, and what it is.
    inputs : dict
        Its inputs by name.
    worker : dict
        Parameters of the node that computes for it, if one does.
    """

    def __init__(self, windows: Windows, name: str, type_: str, ports: Iterable[str]) -> None:
        self._windows = windows
        self.name = name
        self.type = type_
        self.group = ""
        self.outputs = {}
        self.inputs = {port: InputHandle(windows.manager, f"{name}.{port}") for port in ports}
        self.worker: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._is_closed = False

    @property
    def input(self) -> InputHandle:
        """Its first input: windows have one for what they are made for."""
        if not self.inputs:
            raise UnknownName(f"{self.name} ({self.type}) has no input")
        return next(iter(self.inputs.values()))

    @property
    def status(self) -> pb.NodeStatus:
        """No daemon says anything of it; see :attr:`state`."""
        raise Unsupported(f"{self.name} is a window; it has no status in a graph")

    @property
    def states(self) -> StateView:
        """None."""
        raise Unsupported(f"{self.name} is a window; it has no states, but parameters")

    @property
    def error(self) -> RigmeshError | None:
        """None: what is wrong stands in the window itself."""
        return None

    @property
    def report(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @property
    def state(self) -> str:
        """``open``, ``closed``, or ``failed`` if its process died."""
        if self._is_closed:
            return "closed"
        return "open" if self._windows.process.is_alive else "failed"

    @property
    def parameters(self) -> dict[str, Any]:
        """Its parameters, as set by the script or by hand."""
        return dict(self._values)

    def update(self, **parameters: Any) -> dict[str, tuple[int, int]]:
        """Change parameters, all or none.

        Returns
        -------
        dict
            Empty: it has no outputs.

        Raises
        ------
        ParameterError
            If one is unknown or not acceptable.
        """
        answer = self._windows.process.ask("set", window=self.name, params=parameters)
        self.note(parameters, answer["worker"])
        if (worker := self._windows.workers.get(self.name)) is not None:
            worker.follow(self.worker)
        return {}

    def note(self, parameters: Mapping[str, Any], worker: dict[str, Any]) -> None:
        """Learn what has been set, and what its worker is to do."""
        self._values.update(parameters)
        self.worker = worker

    def note_closed(self) -> None:
        """Learn that it is gone."""
        self._is_closed = True

    def call(self, command: str, **arguments: Any) -> Any:
        """Refuse: windows have no commands."""
        raise Unsupported(f"{self.name} is a window; asked for its command {command!r}")

    def grab(self, path: Path | str) -> None:
        """Save a picture of it.

        Raises
        ------
        ParameterError
            If it cannot be written.
        """
        self._windows.process.ask("grab", window=self.name, path=str(Path(path).absolute()))

    def remove(self) -> None:
        """Close it."""
        self._windows.remove(self.name)

    def __repr__(self) -> str:
        return f"<window {self.name} ({self.type})>"


class Windows:
    """The windows of one manager, and the process that shows them.

    Parameters
    ----------
    manager : Manager
        Whose.
    fleet : Fleet
        The daemons that it drives.

    Attributes
    ----------
    handles : dict of str to WindowHandle
        Those that are open, by name.
    links : list of (str, str, str)
        What they show: window, port and stream.
    workers : dict of str to Worker
        What computes for them, by window.
    """

    def __init__(self, manager: Manager, fleet: Fleet) -> None:
        self.manager = manager
        self._fleet = fleet
        self.handles: dict[str, WindowHandle] = {}
        self.links: list[tuple[str, str, str]] = []
        self.workers: dict[str, Worker] = {}
        self._types: Mapping[str, Mapping[str, Any]] = {}
        self.process = WindowProcess(self._hear, fleet.local.connection.socket)

    def open(self, type_: str, name: str, parameters: Mapping[str, Any]) -> WindowHandle:
        """Open a window.

        Raises
        ------
        NameTaken, ParameterError
            If it cannot be made.
        Unsupported
            If there is no screen, or windows are not installed.
        """
        self._types = self.manager.node_types()
        nodes = {**self.manager.nodes, **self.handles}
        if name in nodes:
            raise NameTaken(f"there is a node or window {name!r} already")
        stem = type_.rpartition(".")[2].lower()
        free = (stem, *(f"{stem}{number}" for number in range(2, 10_000)))
        name = name or next(each for each in free if each not in nodes)
        shown = dict(parameters)
        if type_ == _PANEL:
            # Not noted: whoever loads the graph has hosts of his own.
            others = [member.address for member in self._fleet if member is not self._fleet.local]
            shown.setdefault("hosts", others)
        self.process.start()
        answer = self.process.ask("open", window=name, type=type_, params=shown)
        ports = [port["name"] for port in self._types[type_]["inputs"]]
        handle = WindowHandle(self, name, type_, ports)
        handle.note({key: answer["params"][key] for key in parameters}, answer["worker"])
        self.handles[name] = handle
        return handle

    def link(self, stream: str, reference: str) -> bool:
        """Show a stream in a window; return whether the reference is a window's.

        Raises
        ------
        PortMismatch
            If the input does not take what the stream gives.
        GraphError
            If the input takes one stream only, and has it.
        """
        name, _, port = reference.partition(".")
        handle = self.handles.get(name)
        if handle is None:
            return False
        types = {each["name"]: each for each in self._types[handle.type]["inputs"]}
        kinds = self._kinds(stream)
        if not set(kinds) & set(types[port]["kinds"]):
            raise PortMismatch(
                f"{reference} takes {' or '.join(types[port]['kinds'])}; "
                f"{stream} gives {' or '.join(kinds)}"
            )
        taken = [linked for window, into, linked in self.links if (window, into) == (name, port)]
        if stream in taken:
            return True
        if taken and not types[port]["many"]:
            raise GraphError(f"{reference} shows {taken[0]} already, and takes one stream only")
        shown = self._have_computed(handle, port, stream) or (port, stream)
        where = self.manager.where(shown[1])
        self.process.ask("link", window=name, port=shown[0], stream=shown[1], where=where)
        self.links.append((name, port, stream))
        return True

    def _have_computed(
        self, handle: WindowHandle, port: str, stream: str
    ) -> tuple[str, str] | None:
        """Return the input and the stream that a worker gives, if the window wants one."""
        wanted = self._types[handle.type].get("workers", {}).get(port)
        if wanted is None:
            return None
        worker = make_worker(self.manager, handle.name, stream, tuple(wanted), handle.worker)
        if worker is None:
            return None
        self.workers[handle.name] = worker
        return worker.port, worker.stream

    def _kinds(self, stream: str) -> list[str]:
        node, _, port = stream.partition(".")
        outputs = self.manager.node_types()[self.manager[node].type]["outputs"]
        return next((list(each["kinds"]) for each in outputs if each["name"] == port), [])

    def unlink(self, stream: str, reference: str) -> bool:
        """Show a stream no more; return whether the reference is a window's."""
        name, _, port = reference.partition(".")
        if name not in self.handles:
            return False
        worker = self.workers.pop(name, None)
        shown = (worker.port, worker.stream) if worker is not None else (port, stream)
        self.process.ask("unlink", window=name, port=shown[0], stream=shown[1])
        self.links.remove((name, port, stream))
        if worker is not None:
            worker.remove()
        return True

    def remove(self, name: str) -> bool:
        """Close a window; return whether there is one of that name."""
        handle = self.handles.get(name)
        if handle is None:
            return False
        if handle.state == "open":
            self.process.ask("close", window=name)
        self._forget(name)
        if (worker := self.workers.pop(name, None)) is not None:
            worker.remove()
        return True

    def specs(self) -> dict[str, NodeSpec]:
        """Return what a graph file says of them."""
        from rigmesh.graph import NodeSpec

        found = {}
        for name, handle in self.handles.items():
            inputs: dict[str, tuple[str, ...]] = {}
            for window, port, stream in self.links:
                if window == name:
                    inputs[port] = (*inputs.get(port, ()), stream)
            found[name] = NodeSpec(name, handle.type, params=handle.parameters, inputs=inputs)
        return found

    def close(self) -> None:
        """Close all, and end their process."""
        self.process.close()
        for name in list(self.handles):
            self._forget(name)

    def _hear(self, said: Mapping[str, Any]) -> None:
        handle = self.handles.get(said["window"])
        if said["event"] == "closed":
            self._forget(said["window"])
        elif handle is not None:
            handle.note(said["params"], said["worker"])
            if (worker := self.workers.get(handle.name)) is not None:
                worker.follow(said["worker"])

    def _forget(self, name: str) -> None:
        handle = self.handles.pop(name, None)
        if handle is not None:
            handle.note_closed()
        self.links = [link for link in self.links if link[0] != name]

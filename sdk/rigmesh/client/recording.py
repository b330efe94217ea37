"""Recording in one ``with`` block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from rigmesh.client.node import NodeHandle, OutputHandle
from rigmesh.errors import GraphError, RigmeshError, StateError

if TYPE_CHECKING:
    from rigmesh.client.host import Host, NodeGroup
    from rigmesh.client.manager import Manager

__all__ = ["RecordingSession", "Records"]

_RECORDERS = {
    ".h5": "record.HDF5Recorder",
    ".hdf5": "record.HDF5Recorder",
    ".nwb": "record.NWBRecorder",
    ".xdf": "record.XDFRecorder",
    ".mkv": "record.VideoRecorder",
    ".mp4": "record.VideoRecorder",
}


class Records:
    """The part of a manager that records."""

    def record(
        self,
        path: Path | str,
        streams: Sequence[str | OutputHandle | NodeHandle] | None = None,
        *,
        host: Host | NodeGroup | None = None,
        **parameters: Any,
    ) -> RecordingSession:
        """Record while a ``with`` block lasts: run the graph, and stop and seal at its end.

        Parameters
        ----------
        path : Path or str
            The file; its ending says the format: ``.h5``, ``.nwb`` or ``.xdf``, and of a camera
            ``.mkv`` or ``.mp4``. May contain ``{date}``, ``{time}``, and the names of the metadata.
        streams : sequence
            Streams by name, outputs, or nodes with one output; all there are if not given.
        host : Host or NodeGroup
            Where the recorder runs.
        **parameters
            Of the recorder: ``require="all"``, ``metadata={"subject": "s01"}``.

        Raises
        ------
        GraphError
            If no recorder makes files of that ending.
        StateError
            On entering, if the graph runs already: a node joins it only while it is stopped.

        Examples
        --------
        ::

            with manager.record("{subject}_{date}.nwb", [eeg], metadata={"subject": "s01"}) as it:
                it.annotate("eyes closed")
                time.sleep(60)
            print(it.path, it.verdict)
        """
        return RecordingSession(cast("Manager", self), path, streams, host, parameters)


class RecordingSession:
    """A recording, while its block lasts and afterwards. Made by :meth:`Manager.record`.

    Attributes
    ----------
    verdict : str
        ``OK``, ``OK with gaps (n, total ms)`` or ``FAILED (why)``; empty before the end.
    """

    def __init__(
        self,
        manager: Manager,
        path: Path | str,
        streams: Sequence[str | OutputHandle | NodeHandle] | None,
        host: Host | NodeGroup | None,
        parameters: dict[str, Any],
    ) -> None:
        ending = Path(path).suffix
        if ending not in _RECORDERS:
            raise GraphError(
                f"{str(path)!r} ends with {ending!r}; recordings end with {', '.join(_RECORDERS)}"
            )
        self.verdict = ""
        self._type = _RECORDERS[ending]
        # A daemon of our own lives elsewhere, and has no folder to stay inside of.
        self._path = str(Path(path).absolute() if manager.is_private else path)
        self._manager = manager
        self._streams = streams
        self._host = host
        self._parameters = parameters
        self._node: NodeHandle | None = None
        self._report: dict[str, Any] = {}

    @property
    def node(self) -> NodeHandle:
        """The recorder: its states, and its commands ``pause``, ``resume`` and ``split``.

        Raises
        ------
        StateError
            Outside of the block.
        """
        if self._node is None:
            raise StateError("there is a recorder only within the with block")
        return self._node

    @property
    def path(self) -> Path:
        """The file; of several, the first."""
        return Path((self._report or self.node.report)["path"])

    @property
    def paths(self) -> list[Path]:
        """All files, if it was split."""
        return [Path(path) for path in self._report.get("paths", [self.path])]

    def annotate(self, text: str) -> None:
        """Put a note into the recording."""
        self._manager.annotate(text)

    def __enter__(self) -> Self:
        state = self._manager.status().state
        if state != "idle":
            raise StateError(
                f"the graph is {state} already, and a recorder joins it only while it is stopped; "
                "stop it first, or have a recorder in the graph and use its pause and resume"
            )
        chosen = self._outputs()
        node = self._manager.create_node(
            self._type, host=self._host, path=self._path, **self._parameters
        )
        try:
            for output in chosen:
                node.input.connect(output)
            self._manager.start_all()
        except BaseException:
            node.remove()
            raise
        self._node = node
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        node = self.node
        try:
            self._manager.stop_all()
        finally:
            self._report = node.report
            self.verdict = self._report.get("verdict", "")
            failure = node.error
            node.remove()
            self._node = None
        if failure is not None and error is None:
            raise failure

    def _outputs(self) -> list[OutputHandle]:
        if self._streams is None:
            return [out for node in self._manager.nodes.values() for out in node.outputs.values()]
        return [self._output(stream) for stream in self._streams]

    def _output(self, stream: str | OutputHandle | NodeHandle) -> OutputHandle:
        if isinstance(stream, OutputHandle):
            return stream
        if isinstance(stream, NodeHandle):
            return stream.output
        node, _, port = stream.partition(".")
        handle = self._manager[node]
        if not port:
            return handle.output
        try:
            return handle.outputs[port]
        except KeyError:
            raise _no_such(handle, port) from None


def _no_such(handle: NodeHandle, port: str) -> RigmeshError:
    known = ", ".join(handle.outputs) or "none"
    return GraphError(f"{handle.name} has no output {port!r}; it has: {known}")

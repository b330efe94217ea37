"""Windows in front of a terminal: ``rigmesh view``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from PyQt5 import QtCore, QtWidgets

from rigmesh.display import Feed, Reader
from rigmesh.errors import PortMismatch, RigmeshError
from rigmesh.node.registry import NodeType
from rigmesh.streams import StreamInfo
from rigmesh.viewers import make_window
from rigmesh.viewers.mistakes import survive_mistakes
from rigmesh.viewers.window import ViewerWindow

__all__ = ["Shown", "best_type", "interruptible", "show"]

_LOOK_FOR_SIGNALS_MS = 200
_MAP = "map"
"""The input of who shows power over time and frequency that others have computed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A stream to show.

    Parameters
    ----------
    name : str
        Its name.
    kind : str
        What it gives: ``signal``, ``markers`` or ``frames``.
    opener : callable
        Opens a reader of it.
    info : StreamInfo, optional
        Its description, if it is known already.
    """

    name: str
    kind: str
    opener: Callable[[], Reader]
    info: StreamInfo | None = None


def best_type(streams: Sequence[Shown]) -> str:
    """Return the type of window that shows most of some streams."""
    kinds = {stream.kind for stream in streams}
    if "signal" in kinds:
        return "viewers.Oscilloscope"
    return "viewers.Raster" if "markers" in kinds else "viewers.ImageViewer"


def show(type_: NodeType, streams: Sequence[Shown], parameters: Mapping[str, Any]) -> int:
    """Show streams in a window until it is closed; return the exit code.

    Raises
    ------
    PortMismatch
        If the window has no input for one of them.
    ParameterError
        If a parameter is wrong.
    """
    ports = [(stream, _port_for(stream, type_, streams)) for stream in streams]
    application = interruptible(QtWidgets.QApplication(["rigmesh"]))
    name = streams[0].name if len(streams) == 1 else type_.name.rpartition(".")[2]
    window = make_window(type_.name, name, parameters)
    for stream, port in ports:
        window.feeds[port, stream.name] = Feed(
            stream.name, stream.opener, window.sink(port, stream.name)
        )
    return _run(application, window)


def interruptible(application: QtWidgets.QApplication) -> QtWidgets.QApplication:
    """Let Ctrl-C close all windows: Qt gives Python no turn to see it otherwise."""

    def close_all(_number: int, _frame: FrameType | None) -> None:
        application.closeAllWindows()
        application.quit()

    signal.signal(signal.SIGINT, close_all)
    signal.signal(signal.SIGTERM, close_all)
    timer = QtCore.QTimer(application)
    timer.timeout.connect(lambda: None)
    timer.start(_LOOK_FOR_SIGNALS_MS)
    return application


def _run(application: QtWidgets.QApplication, window: ViewerWindow) -> int:
    survive_mistakes()
    window.show()
    try:
        return application.exec()
    finally:
        window.close()


def _port_for(stream: Shown, type_: NodeType, streams: Sequence[Shown]) -> str:
    if any(port.name == _MAP for port in type_.inputs) and _is_map(stream):
        if any(each is not stream and _is_map(each) for each in streams):
            raise PortMismatch(f"{type_.name} shows one map; {stream.name} is not the only one")
        return _MAP
    for port in type_.inputs:
        others = sum(each.kind in port.kinds for each in streams)
        if stream.kind in port.kinds and (port.many or others == 1):
            return port.name
    takes = "; ".join(
        f"{port.name}: {' or '.join(port.kinds)}{', any number' if port.many else ''}"
        for port in type_.inputs
    )
    raise PortMismatch(f"{type_.name} cannot show {stream.name} ({stream.kind}); it takes {takes}")


def _is_map(stream: Shown) -> bool:
    from rigmesh_nodes.spectra import columns_of  # it takes a second

    if stream.info is None or stream.kind != "signal":
        return False
    try:
        columns_of(stream.info)
    except RigmeshError:
        return False
    return True

"""The panel as a window that scripts open and graphs keep."""

from __future__ import annotations

from typing import NoReturn

from PyQt5 import QtGui, QtWidgets

from rigmesh.errors import UnknownName
from rigmesh.node import Node
from rigmesh.viewers.panel import Panel
from rigmesh.viewers.window import ViewerWindow

__all__ = ["PanelWindow"]


class PanelWindow(ViewerWindow):
    """Frames a panel, which shows by itself what comes.

    Parameters
    ----------
    settings : Node
        A `viewers.Panel` with its parameters.

    Attributes
    ----------
    panel : Panel
        What it frames.
    """

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.tools.hide()
        self._pause.setEnabled(False)  # `space` belongs to the panel's own controls
        self.line.hide()
        self.panel = self._framed()
        self.resize(self.panel.size())

    def applied(self, names: set[str]) -> None:
        """Show other hosts."""
        if "hosts" in names:
            self.panel.close()
            self.panel.deleteLater()
            self.panel = self._framed()

    def _framed(self) -> Panel:
        made = Panel(self.settings.hosts)
        self.body.addWidget(made)
        return made

    def sink(self, port: str, stream: str) -> NoReturn:
        """Refuse: it has no inputs."""
        raise UnknownName(f"{self.settings.name} (viewers.Panel) has no input {port!r}")

    def drop(self, port: str, stream: str) -> None:
        """Nothing is linked."""

    def refresh(self) -> None:
        """Show what is known now."""
        self.panel.refresh()

    def showEvent(self, event: QtGui.QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin to be seen; the panel has timers of its own."""
        QtWidgets.QWidget.showEvent(self, event)

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Hang up."""
        self.panel.close()
        super().closeEvent(event)

"""What all windows have: parameters that controls change, tools, a line that tells the state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.display import Feed, Sink
from rigmesh.errors import ParameterError
from rigmesh.node import Node

__all__ = ["ViewerWindow"]

_STATUS_PERIOD_MS = 250
_OLD = 1.0
"""Seconds after which a stream is told to be silent."""


class ViewerWindow(QtWidgets.QWidget):
    """Base of the windows: one subclass a type.

    Parameters
    ----------
    settings : Node
        An instance of the class that declares the window; it holds the parameters.

    Attributes
    ----------
    changed : pyqtSignal(dict)
        Parameters that a person changed in the window.
    closed : pyqtSignal
        The window is gone.
    feeds : dict of (str, str) to Feed
        What is linked, by port and stream: for the line that tells the state.
    body : QVBoxLayout
        Where the subclass puts its contents.
    tools : QToolBar
        Where it puts its controls.
    line : QLabel
        Tells the state.
    is_paused : bool
        Whether what is drawn stands still; the feeds go on.
    """

    changed = QtCore.pyqtSignal(dict)
    closed = QtCore.pyqtSignal()

    def __init__(self, settings: Node) -> None:
        super().__init__()
        self.settings: Any = settings
        self.feeds: dict[tuple[str, str], Feed] = {}
        self.is_paused = False
        self._problem = ""
        self.tools = QtWidgets.QToolBar(self)
        self.tools.setToolButtonStyle(QtCore.Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.body = QtWidgets.QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.line = QtWidgets.QLabel(self)
        self.line.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self.line.setContentsMargins(6, 2, 6, 3)
        self.line.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed
        )
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tools)
        column.addLayout(self.body, 1)
        column.addWidget(self.line)
        self.resize(900, 600)
        self._show_title()

        self._pause = self.add_action("Pause", "Space", "Let the picture stand still")
        self._pause.setCheckable(True)
        self._pause.toggled.connect(self._set_paused)
        picture = self.add_action("Picture…", "Ctrl+S", "Save what is shown as a picture")
        picture.triggered.connect(self._ask_where_to_save)

        self._timer = QtCore.QTimer(self)
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._draw)
        self._status = QtCore.QTimer(self)
        self._status.setInterval(_STATUS_PERIOD_MS)
        self._status.timeout.connect(self.show_status)

    # --- what a subclass does ----------------------------------------------------------------

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the chunks of a stream that is linked from now on."""
        raise NotImplementedError

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream that is linked no more."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Draw."""
        raise NotImplementedError

    def worker_parameters(self) -> dict[str, Any]:
        """Return the parameters of the node that computes for this window, if one does."""
        return {}

    def applied(self, names: set[str]) -> None:
        """Learn which parameters have new values."""

    # --- what it is given --------------------------------------------------------------------

    def add_action(self, text: str, keys: str, tip: str) -> QtWidgets.QAction:
        """Add a button to the tool bar, with a key of its own."""
        action = QtWidgets.QAction(text, self)
        action.setShortcut(QtGui.QKeySequence(keys))
        action.setShortcutContext(QtCore.Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.setToolTip(f"{tip} ({QtGui.QKeySequence(keys).toString()})" if keys else tip)
        self.tools.addAction(action)
        self.addAction(action)
        return action

    def change(self, **parameters: Any) -> None:
        """Set parameters from a control of the window; what cannot be is told in its line."""
        try:
            self.apply(parameters)
        except ParameterError as error:
            self.tell(str(error))
            return
        self.changed.emit({name: self.settings.parameters[name] for name in parameters})

    def apply(self, parameters: Mapping[str, Any]) -> None:
        """Set parameters, all or none.

        Raises
        ------
        ParameterError
            If one is unknown or not acceptable.
        """
        valid = type(self.settings).declared().validate({**self.settings.parameters, **parameters})
        self.settings.set_parameters(valid)
        if "title" in parameters:
            self._show_title()
        if "refresh_rate" in parameters and self._timer.isActive():
            self._timer.start(round(1000 / self.settings.refresh_rate))
        self._problem = ""
        self.applied(set(parameters))

    def tell(self, problem: str) -> None:
        """Tell a person what is wrong, until the next change."""
        self._problem = problem
        self.show_status()

    def show_status(self) -> None:
        """Write the line that tells how old what is shown is, what is lost, and what is wrong."""
        parts = [_state_of(stream, feed) for (_, stream), feed in self.feeds.items()]
        text = self._problem or ("   ·   ".join(parts) if parts else "nothing is linked yet")
        self.line.setText(text)
        self.line.setToolTip(text)

    @property
    def status(self) -> str:
        """The line that tells the state."""
        text: str = self.line.text()
        return text

    def grab_to(self, path: Path | str) -> None:
        """Save a picture of the window.

        Raises
        ------
        ParameterError
            If it cannot be written.
        """
        if self.isVisible() and not self.is_paused:
            self.refresh()
        if not self.grab().save(str(path)):
            raise ParameterError(
                f"no picture could be written to {path}: the folder exists, and the name ends "
                "in .png, .jpg or .bmp?"
            )

    # --- Qt ----------------------------------------------------------------------------------

    def showEvent(self, event: QtGui.QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin to draw."""
        super().showEvent(event)
        self._timer.start(round(1000 / self.settings.refresh_rate))
        self._status.start()

    def hideEvent(self, event: QtGui.QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw no more."""
        self._timer.stop()
        self._status.stop()
        super().hideEvent(event)

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop reading."""
        for feed in self.feeds.values():
            feed.leave()  # all at once: the other windows of the process wait for this one
        for feed in self.feeds.values():
            feed.close()
        self.feeds.clear()
        super().closeEvent(event)
        self.closed.emit()

    def _show_title(self) -> None:
        self.setWindowTitle(self.settings.title or self.settings.name)

    def _draw(self) -> None:
        if not self.is_paused:
            self.refresh()

    def _set_paused(self, is_paused: bool) -> None:
        self.is_paused = is_paused
        self._pause.setText("Go on" if is_paused else "Pause")

    def _ask_where_to_save(self) -> None:
        path, _ = QtWidgets.QFileDialog.getSaveFileName(
            self, "Save a picture", f"{self.settings.name}.png", "Pictures (*.png *.jpg *.bmp)"
        )
        if path:
            try:
                self.grab_to(path)
            except ParameterError as error:
                self.tell(str(error))


def _state_of(stream: str, feed: Feed) -> str:
    info = feed.info
    if feed.state == "over":
        return f"{stream}: stopped"
    if feed.state == "waiting" or info is None:
        return f"{stream}: waiting" + (f" ({feed.error})" if feed.error else "")
    parts = [stream]
    if info.sampling_rate:
        parts.append(f"{info.sampling_rate:g} Hz")
    age, silence = feed.age, feed.silence
    if info.sampling_rate and silence >= _OLD:
        parts.append(f"nothing for {silence:.0f} s")
    elif info.sampling_rate and not math.isnan(age):
        parts.append(f"{max(age, 0) * 1000:.0f} ms ago" if age < 1 else f"{age:.1f} s ago")
    if feed.n_lost:
        parts.append(f"{feed.n_lost:,} lost")
    return "  ".join(parts)

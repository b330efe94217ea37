"""What windows of power by frequency share: pages, a form beside them, what the mouse reads."""

from __future__ import annotations

from PyQt5 import QtCore, QtWidgets

from rigmesh.node import Node
from rigmesh.viewers.forms import ParameterForm, parameter_form
from rigmesh.viewers.window import ViewerWindow

__all__ = ["ParameterPane", "PowerWindow"]

_PANE_WIDTH = 280


class PowerWindow(ViewerWindow):
    """Base of these windows.

    Attributes
    ----------
    keys : str
        What its keys do.
    empty : QLabel
        Says what it waits for, where there is nothing to draw.
    pane : ParameterPane
        All parameters, beside what is drawn.
    readout : QLabel
        What is under the mouse.
    """

    keys = ""

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.empty = QtWidgets.QLabel()
        self.empty.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self.empty.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.readout = QtWidgets.QLabel()
        self.readout.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self.readout.setContentsMargins(0, 0, 8, 0)
        self.pane = ParameterPane(self)
        self._pages = QtWidgets.QStackedWidget()
        self._pages.addWidget(self.empty)

    def lay_out(self, contents: QtWidgets.QWidget) -> None:
        """Put what is drawn beside the form."""
        self._contents = contents
        self._pages.addWidget(contents)
        split = QtWidgets.QSplitter(QtCore.Qt.Orientation.Horizontal)
        split.addWidget(self._pages)
        split.addWidget(self.pane)
        split.setStretchFactor(0, 1)
        self.body.addWidget(split, 1)

    def add_last_controls(self, beside: str, read: str) -> None:
        """Add what comes last in the tool bar: the form, the keys, and what the mouse reads.

        Parameters
        ----------
        beside : str
            What the form is shown beside.
        read : str
            What is read.
        """
        asked = self.add_action("Settings…", "Ctrl+,", f"All parameters, beside the {beside}")
        asked.setCheckable(True)
        asked.toggled.connect(self.pane.setVisible)
        self.add_action("?", "F1", "Keys").triggered.connect(lambda: self.tell(self.keys))
        space = QtWidgets.QWidget()
        space.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Preferred
        )
        self.readout.setToolTip(read)
        self.tools.addWidget(space)
        self.tools.addWidget(self.readout)

    def show_contents(self) -> None:
        """Show what is drawn."""
        self._pages.setCurrentWidget(self._contents)

    def show_text(self, text: str) -> None:
        """Show a text instead of what is drawn."""
        self.empty.setText(text)
        self._pages.setCurrentWidget(self.empty)


class ParameterPane(QtWidgets.QScrollArea):
    """All parameters of a window in a form beside it; hidden at first.

    Parameters
    ----------
    window : ViewerWindow
        Whose.
    """

    def __init__(self, window: ViewerWindow) -> None:
        super().__init__()
        self._window = window
        schema = type(window.settings).declared().schema()
        for each in schema["properties"].values():
            each.pop("live", None)  # all are: there is nothing to say of each
        self.form: ParameterForm = parameter_form(schema, window.settings.parameters)
        self.form.setContentsMargins(8, 8, 8, 8)
        self.form.changed.connect(lambda name, value: window.change(**{name: value}))
        self.setWidget(self.form)
        self.setWidgetResizable(True)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(_PANE_WIDTH)
        self.hide()

    def show_values(self) -> None:
        """Show what the parameters are now."""
        self.form.set_values(self._window.settings.parameters)

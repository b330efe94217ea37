"""What a panel says above its picture: the graph's state, alarms, what came of a wish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.colours import Colours, SoftLabel, follow_palette, style
from rigmesh.viewers.panel_model import Trouble

__all__ = ["MessageBar", "StateChip", "StatusLine", "TroubleList"]

_SHOWN = 4
_SAID_FOR_MS = 15_000


class StateChip(QtWidgets.QLabel):
    """A state as a word in its colour."""

    def __init__(self) -> None:
        super().__init__()
        self._state = ""
        follow_palette(self._paint)

    def show_state(self, state: str, more: str = "") -> None:
        """Show a state, and what belongs to it."""
        self._state = state
        self.setText(f"● {state}{f' {more}' if more else ''}")
        self._paint()

    def _paint(self) -> None:
        colour = QtGui.QColor(Colours.now().state(self._state))
        sheet = (
            f"QLabel {{ color: {colour.name()}; border: 1px solid {colour.name()}; "
            f"border-radius: 10px; padding: 2px 10px; "
            f"background: rgba({colour.red()}, {colour.green()}, {colour.blue()}, 30); }}"
        )
        if sheet != self.styleSheet():
            style(self, sheet)


class TroubleList(QtWidgets.QLabel):
    """What is wrong now, a line each; a node that is named can be chosen.

    Attributes
    ----------
    chosen : pyqtSignal(str)
        The key of the node.
    """

    chosen = QtCore.pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.troubles: list[Trouble] = []
        self.setTextFormat(QtCore.Qt.TextFormat.RichText)
        self.setWordWrap(True)
        self.setAccessibleName("Alarms")
        self.setTextInteractionFlags(
            QtCore.Qt.TextInteractionFlags(QtCore.Qt.TextInteractionFlag.LinksAccessibleByMouse)
            | QtCore.Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.setContentsMargins(12, 6, 12, 6)
        self.linkActivated.connect(self.chosen)
        follow_palette(self._write)
        self.hide()

    def show_troubles(self, troubles: Sequence[Trouble]) -> None:
        """Show them; nothing is shown if all is well."""
        if list(troubles) == self.troubles:
            return
        self.troubles = list(troubles)
        self._write()

    def _write(self) -> None:
        colours = Colours.now()
        lines = []
        for trouble in self.troubles[:_SHOWN]:
            colour = colours.bad if trouble.level == "bad" else colours.warn
            sign = "✗" if trouble.level == "bad" else "⚠"
            where = f'<b style="color: {colour}">{sign} {escape(trouble.where)}</b>'
            if trouble.node:
                link = f"color: {colour}; text-decoration: underline"
                where = f'<a href="{escape(trouble.node)}" style="{link}">{where}</a>'
            lines.append(f"{where}&nbsp; {escape(trouble.text)}")
        if len(self.troubles) > _SHOWN:
            lines.append(f"… and {len(self.troubles) - _SHOWN} more")
        self.setText("<br>".join(lines))
        self.setToolTip("\n".join(f"{t.where}: {t.text}" for t in self.troubles))
        self.setVisible(bool(lines))
        is_bad = any(trouble.level == "bad" for trouble in self.troubles)
        colour = QtGui.QColor(colours.bad if is_bad else colours.warn)
        tint = f"background: rgba({colour.red()}, {colour.green()}, {colour.blue()}, 26)"
        style(self, tint if lines else "")


class StatusLine(SoftLabel):
    """What was done last; it is taken away after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.setContentsMargins(12, 3, 12, 4)
        self.setAccessibleName("Status")
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SAID_FOR_MS)
        self._timer.timeout.connect(self.clear)

    def tell(self, text: str) -> None:
        """Say what was done."""
        self.setText(text)
        self._timer.start()


class MessageBar(QtWidgets.QFrame):
    """Why something that a person asked for was not done, and what could be done about it."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._label = QtWidgets.QLabel()
        self._label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(
            QtCore.Qt.TextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
        )
        self.button = QtWidgets.QPushButton()
        self.dismiss = QtWidgets.QToolButton()
        self.dismiss.setText("✕")
        self.dismiss.setAutoRaise(True)
        self.dismiss.setToolTip("Dismiss this message (Escape)")
        self.dismiss.setShortcut(QtGui.QKeySequence("Esc"))
        self.dismiss.clicked.connect(self.clear)
        self.button.clicked.connect(self._act)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(12, 4, 6, 4)
        row.addWidget(self._label, 1)
        row.addWidget(self.button)
        row.addWidget(self.dismiss)
        self._action: Callable[[], None] | None = None
        self._role = "bad"
        self.hide()
        follow_palette(self._paint)

    def warn(self, text: str) -> None:
        """Say that something did not."""
        self._say(text, "bad")

    def offer(self, text: str, label: str, action: Callable[[], None]) -> None:
        """Say that something did not, and how it could."""
        self._say(text, "warn")
        self._action = action
        self.button.setText(label)
        self.button.setToolTip(f"{label}: what was asked for is done then")
        self.button.show()

    def clear(self) -> None:
        """Say nothing."""
        self.text = ""
        self._action = None
        self.hide()

    def _say(self, text: str, role: str) -> None:
        self.text, self._role, self._action = text, role, None
        first, _, rest = text.partition("\n")
        self._label.setText(first)
        self._label.setToolTip(rest.strip())
        self.button.hide()
        self._paint()
        self.show()

    def _paint(self) -> None:
        colours = Colours.now()
        colour = QtGui.QColor(getattr(colours, self._role))
        style(self._label, f"color: {colour.name()}")
        tint = f"rgba({colour.red()}, {colour.green()}, {colour.blue()}, 26)"
        style(self, f"MessageBar {{ background: {tint} }}")

    def _act(self) -> None:
        action = self._action
        self.clear()
        if action is not None:
            action()

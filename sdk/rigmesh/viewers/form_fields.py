"""The fields of a form: one value each, sent only if it is acceptable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from html import escape
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.errors import ParameterError
from rigmesh.viewers.colours import Colours, follow_palette, style
from rigmesh.viewers.form_values import Reading, step

__all__ = ["ChoiceField", "Field", "LineField", "ShownField", "SwitchField", "field_of"]

_ON_ITS_WAY = 2.5
"""Seconds that a value may take to come back from who it was sent to."""
_OVERRIDE = QtCore.QEvent.Type.ShortcutOverride
_STEPS = {
    QtCore.Qt.Key.Key_Up: 1, QtCore.Qt.Key.Key_Down: -1,
    QtCore.Qt.Key.Key_PageUp: 10, QtCore.Qt.Key.Key_PageDown: -10,
}  # fmt: skip


class Field(QtWidgets.QWidget):
    """An editor of one value, and under it the reason why a value is refused.

    Parameters
    ----------
    reading : Reading
        Of the value.

    Attributes
    ----------
    value : any
        As it was last shown or entered.
    problem : str
        Why what is in the field is not acceptable; empty if it is.
    """

    entered = QtCore.pyqtSignal(object)

    def __init__(self, reading: Reading, editor: QtWidgets.QWidget) -> None:
        super().__init__()
        self.reading = reading
        self.editor = editor
        self.value: Any = None
        self.problem = ""
        self._entered = -math.inf
        self._reason = QtWidgets.QLabel(self)
        self._reason.setWordWrap(True)
        self._reason.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self._reason.hide()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(editor)
        layout.addWidget(self._reason)
        self.setFocusProxy(editor)
        editor.setAccessibleName(reading.name)
        follow_palette(self._paint)

    def show_value(self, value: Any) -> None:
        """Show what the value is, unless a person is about to write another, or just has."""
        if time.monotonic() - self._entered < _ON_ITS_WAY:
            return
        self.value = value
        if not self.is_being_edited and not self.problem:
            self.write(value)

    def write(self, value: Any) -> None:
        """Put a value into the editor."""
        raise NotImplementedError

    @property
    def is_being_edited(self) -> bool:
        """Whether a person has begun to write what is not entered yet."""
        return False

    def refuse(self, reason: str) -> None:
        """Mark what is in the field as wrong, and say why; not any more if the reason is empty.

        It stays until a person writes something else, or takes it back.
        """
        if reason:
            self._entered = -math.inf
        self.problem = reason
        self._reason.setText(f"✗ {reason}" if reason else "")
        self._reason.setVisible(bool(reason))
        self._paint()

    def _paint(self) -> None:
        bad = Colours.now().bad
        style(self._reason, f"color: {bad}" if self.problem else "")
        wrong = f"border: 2px solid {bad}; border-radius: 3px; padding: 1px 3px"
        style(self.editor, wrong if self.problem else "")

    def enter(self, value: Any) -> None:
        """Take what a person has chosen."""
        self.refuse("")
        if not self.reading.same(value, self.value):
            self.value = value
            self._entered = time.monotonic()
            self.entered.emit(value)


class LineField(Field):
    """A line of text: numbers with their units, texts, lists and objects as JSON.

    Arrow keys change a number by its last digit, page keys by ten of them; Enter sends what is
    written, Escape takes it back.
    """

    def __init__(self, reading: Reading) -> None:
        self._line = QtWidgets.QLineEdit()
        super().__init__(reading, self._line)
        if reading.kind == "json":
            self._line.setPlaceholderText(_example(reading))
        elif reading.unit:
            self._line.setPlaceholderText(f"… {reading.unit}")
        self._line.textEdited.connect(self._look)
        self._line.editingFinished.connect(self._finish)
        self._line.installEventFilter(self)

    def write(self, value: Any) -> None:
        """Put a value into the line."""
        self._line.setText(self.reading.write(value))
        self._line.setCursorPosition(0)
        self._line.setModified(False)

    @property
    def is_being_edited(self) -> bool:
        """Whether the line has been changed and has the focus."""
        return self._line.isModified() and self._line.hasFocus()

    def eventFilter(  # noqa: N802
        self, watched: QtCore.QObject | None, event: QtCore.QEvent | None
    ) -> bool:
        """Let the arrow keys change a number, and Escape take back what was written."""
        if isinstance(event, QtGui.QKeyEvent) and event.type() == _OVERRIDE:
            # Before a shortcut of the window gets the key.
            if event.key() == QtCore.Qt.Key.Key_Escape and (
                self._line.isModified() or self.problem
            ):
                event.accept()
                return True
        elif isinstance(event, QtGui.QKeyEvent) and event.type() == QtCore.QEvent.Type.KeyPress:
            key = event.key()
            if key == QtCore.Qt.Key.Key_Escape and (self._line.isModified() or self.problem):
                self.write(self.value)
                self.refuse("")
                return True
            if key in _STEPS and self.reading.kind == "number" and not self._line.isReadOnly():
                self._step(_STEPS[QtCore.Qt.Key(key)])
                return True
        return super().eventFilter(watched, event)

    def _step(self, by: int) -> None:
        is_whole = self.reading.schema.get("type") == "integer"
        text = step(self._line.text(), by, is_whole=is_whole)
        if text is None:
            return
        try:
            value = self.reading.read(text)
        except ParameterError:  # the end of the range
            return
        self._line.setText(text)
        self._line.setModified(False)
        self.enter(value)

    def _look(self) -> None:
        try:
            self.reading.read(self._line.text())
        except ParameterError as error:
            self.refuse(str(error))
        else:
            self.refuse("")

    def _finish(self) -> None:
        if not self._line.isModified():
            return
        self._look()
        if self.problem:
            return
        self._line.setModified(False)
        value = self.reading.read(self._line.text())
        if not (self.reading.kind == "number" and self._line.text().strip()):
            self.write(value)
        elif self.reading.unit and not self._line.text().strip().endswith(self.reading.unit):
            self._line.setText(f"{self._line.text().strip()} {self.reading.unit}")
        self.enter(value)


class ChoiceField(Field):
    """One of several values."""

    def __init__(self, reading: Reading) -> None:
        self._box = QtWidgets.QComboBox()
        super().__init__(reading, self._box)
        self._choices = reading.choices
        self._box.addItems([_named(choice) for choice in self._choices])
        self._box.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self._box.activated.connect(self._choose)
        self._box.installEventFilter(self)

    def write(self, value: Any) -> None:
        """Show one of the choices."""
        self._box.setCurrentIndex(self._choices.index(value) if value in self._choices else -1)

    def eventFilter(  # noqa: N802
        self, watched: QtCore.QObject | None, event: QtCore.QEvent | None
    ) -> bool:
        """Keep the wheel from choosing what nobody meant: it scrolls the form."""
        if (
            event is not None
            and event.type() == QtCore.QEvent.Type.Wheel
            and not self._box.hasFocus()
        ):
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def _choose(self, index: int) -> None:
        self.enter(self._choices[index])


class SwitchField(Field):
    """Yes or no."""

    def __init__(self, reading: Reading) -> None:
        self._box = QtWidgets.QCheckBox()
        super().__init__(reading, self._box)
        self._box.clicked.connect(self._click)

    def write(self, value: Any) -> None:
        """Show yes or no, in words, too."""
        self._box.setChecked(bool(value))
        self._box.setText("yes" if value else "no")

    def _click(self, value: bool) -> None:
        self._box.setText("yes" if value else "no")
        self.enter(value)


class ShownField(Field):
    """A value that can only be looked at, and copied."""

    def __init__(self, reading: Reading) -> None:
        self._label = QtWidgets.QLabel()
        super().__init__(reading, self._label)
        self._label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self._label.setWordWrap(True)
        flags = QtCore.Qt.TextInteractionFlag
        self._label.setTextInteractionFlags(
            QtCore.Qt.TextInteractionFlags(flags.TextSelectableByMouse)
            | flags.TextSelectableByKeyboard
        )

    def write(self, value: Any) -> None:
        """Show it."""
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, float):
            text = f"{value:.6g}"
        elif isinstance(value, list) and all(isinstance(each, float) for each in value) and value:
            text = ", ".join(f"{each:.6g}" for each in value)
        else:
            text = self.reading.write(value) or "–"
        if self._label.text() != text:
            self._label.setText(text)


_MAKERS: dict[str, Callable[[Reading], Field]] = {
    "choice": ChoiceField, "switch": SwitchField, "number": LineField, "text": LineField,
    "json": LineField,
}  # fmt: skip


def field_of(reading: Reading) -> Field:
    """Make the field that fits a value."""
    if reading.schema.get("readOnly"):
        field: Field = ShownField(reading)
    else:
        field = _MAKERS[reading.kind](reading)
    field.editor.setToolTip(tip_of(reading))
    return field


def tip_of(reading: Reading) -> str:
    """Return what a value is, for a tool tip that is broken into lines."""
    lines = [escape(str(reading.schema.get("description", reading.name)))]
    if reading.bounds:
        lines.append(f"<i>{escape(reading.bounds)}</i>")
    if "default" in reading.schema and not reading.schema.get("readOnly"):
        lines.append(
            f"<i>default: {escape(reading.write(reading.schema['default']) or 'empty')}</i>"
        )
    if reading.schema.get("examples"):
        shown = ", ".join(reading.write(example) for example in reading.schema["examples"])
        lines.append(f"<i>for example: {escape(shown)}</i>")
    return f"<qt>{'<br>'.join(lines)}</qt>"


def _named(choice: Any) -> str:
    return "none" if choice in ("", None) else str(choice)


def _example(reading: Reading) -> str:
    for example in reading.schema.get("examples", []):
        return reading.write(example)
    types = {reading.schema.get("type"), *(b.get("type") for b in reading.schema.get("anyOf", []))}
    return "{}" if "object" in types else "[…]" if "array" in types else ""

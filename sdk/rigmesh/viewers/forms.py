"""Forms made from JSON schemas: of a node's parameters, its states, and its commands' arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from PyQt5 import QtCore, QtWidgets

from rigmesh.viewers.colours import Colours, SoftLabel, follow_palette, style
from rigmesh.viewers.form_fields import Field, field_of, tip_of
from rigmesh.viewers.form_values import Reading

__all__ = ["CommandForm", "ParameterForm", "parameter_form", "schema_of_states"]

_RIGHT = QtCore.Qt.Alignment(QtCore.Qt.AlignmentFlag.AlignRight) | QtCore.Qt.AlignmentFlag.AlignTop
_LIVE = ("live", "A change takes effect between two chunks.")
_FIXED = ("on start", "A change while the graph runs makes the node prepare anew.")
_LOCKED = ("stop first", "This can only be changed while the graph is stopped.")


class ParameterForm(QtWidgets.QWidget):
    """A form of the properties of an object.

    `changed` is emitted with name and value for each value that a person enters, if the schema
    accepts it; what it does not accept is marked, with the reason, and goes nowhere.

    Parameters
    ----------
    schema : dict
        JSON schema of the object. Properties that are ``readOnly`` are shown; of the others those
        that are ``live`` can be changed at any time.
    values : dict
        What to show; defaults where something is missing.
    live_only : bool
        Whether what is not live is locked.
    """

    changed = QtCore.pyqtSignal(str, object)

    def __init__(
        self, schema: Mapping[str, Any], values: Mapping[str, Any], live_only: bool = False
    ) -> None:
        super().__init__()
        self._fields: dict[str, Field] = {}
        self._tags: dict[str, QtWidgets.QLabel] = {}
        self._live: dict[str, bool] = {}
        self._grid = QtWidgets.QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(10)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnStretch(1, 1)
        for row, name in enumerate(schema.get("properties", {})):
            self._add(row, Reading(name, schema))
        if not self._fields:
            none = SoftLabel("none")
            self._grid.addWidget(none, 0, 0)
        self.is_live_only = not live_only  # so that the first call does something
        self.set_live_only(live_only)
        self.set_values(values)
        follow_palette(self._paint_tags)

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields by name."""
        return self._fields

    @property
    def values(self) -> dict[str, Any]:
        """What was shown or entered last, of each field."""
        return {name: field.value for name, field in self._fields.items()}

    @property
    def problems(self) -> dict[str, str]:
        """Why a value is refused, of each field that has a wrong one."""
        return {name: field.problem for name, field in self._fields.items() if field.problem}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show other values; what a person is about to write stays."""
        for name, field in self._fields.items():
            default = field.reading.schema.get("default", field.value)
            value = values.get(name, default)
            if field.value is None or not field.reading.same(value, field.value) or field.problem:
                field.show_value(value)

    def set_live_only(self, live_only: bool) -> None:
        """Lock what is not live, or unlock it."""
        if live_only == self.is_live_only:
            return
        self.is_live_only = live_only
        for name, field in self._fields.items():
            if field.reading.schema.get("readOnly"):
                continue
            is_live = self._live[name]
            text, tip = _LIVE if is_live else _LOCKED if live_only else _FIXED
            field.setEnabled(is_live or not live_only)
            if name in self._tags:
                self._tags[name].setText(text)
                self._tags[name].setToolTip(tip)
        self._paint_tags()

    def refuse(self, names: Iterable[str], reason: str) -> None:
        """Mark values that were sent and not accepted."""
        for name in names:
            if name in self._fields:
                self._fields[name].refuse(reason)

    def _add(self, row: int, reading: Reading) -> None:
        field = field_of(reading)
        label = QtWidgets.QLabel(reading.name.replace("_", " "))
        label.setToolTip(tip_of(reading))
        label.setBuddy(field.editor)
        label.setAlignment(_RIGHT)
        label.setContentsMargins(0, 0 if reading.schema.get("readOnly") else 4, 0, 0)
        self._grid.addWidget(label, row, 0)
        self._grid.addWidget(field, row, 1)
        self._fields[reading.name] = field
        self._live[reading.name] = bool(reading.schema.get("live", True))
        if "live" in reading.schema:
            tag = QtWidgets.QLabel()
            tag.setAlignment(QtCore.Qt.AlignmentFlag.AlignTop)
            tag.setContentsMargins(0, 4, 0, 0)
            self._grid.addWidget(tag, row, 2)
            self._tags[reading.name] = tag
        if not reading.schema.get("readOnly"):
            field.entered.connect(lambda value, name=reading.name: self.changed.emit(name, value))

    def _paint_tags(self) -> None:
        colours = Colours.now()
        for name, tag in self._tags.items():
            colour = colours.good if self._live[name] else colours.faint
            style(tag, f"color: {colour}")


class CommandForm(QtWidgets.QWidget):
    """A command as a button, and a form of its arguments.

    `called` is emitted with its name and the arguments, once all of them are acceptable.

    Parameters
    ----------
    name, doc : str
        Those of the command.
    schema : dict
        JSON schema of its arguments.
    """

    called = QtCore.pyqtSignal(str, dict)

    def __init__(self, name: str, doc: str, schema: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = name
        self._given: dict[str, Any] = {}
        self.button = QtWidgets.QPushButton(name.replace("_", " "))
        self.button.setToolTip(f"<qt>{escape(doc or name)}</qt>")
        self.button.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.Maximum, QtWidgets.QSizePolicy.Policy.Fixed
        )
        self.button.clicked.connect(self.call)
        self.arguments = ParameterForm(schema, {})
        self.arguments.setVisible(bool(self.arguments.fields))
        said = SoftLabel(doc.partition("\n")[0])
        said.setWordWrap(True)
        top = QtWidgets.QHBoxLayout()
        top.addWidget(self.button)
        top.addWidget(said, 1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.arguments)

    def call(self) -> None:
        """Emit the command, or mark the arguments that are missing."""
        given: dict[str, Any] = {}
        for name, field in self.arguments.fields.items():
            if field.value is None and field.reading.is_required and not field.problem:
                field.refuse("required")
            if field.value is not None or field.reading.is_required:
                given[name] = field.value
        if not self.arguments.problems:
            self.called.emit(self.name, given)


def parameter_form(schema: Mapping[str, Any], values: Mapping[str, Any]) -> ParameterForm:
    """Return a form of parameters that can all be changed at any time."""
    return ParameterForm(schema, values)


def schema_of_states(states: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema of the states that a node type declares.

    What scripts and people may not write is ``readOnly``.

    Parameters
    ----------
    states : iterable of dict
        As ``Manager.node_types`` gives them.
    """
    properties = {
        each["name"]: {
            **each.get("schema", {}),
            "description": each.get("doc", ""),
            "readOnly": each.get("write") != "clients",
        }
        for each in states
    }
    return {"type": "object", "properties": properties}

"""What a panel shows of one node: its parameters as a form, its states, its commands."""

from __future__ import annotations

from html import escape
from typing import Any

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.colours import Colours, SoftLabel, follow_palette, style
from rigmesh.viewers.forms import CommandForm, ParameterForm, schema_of_states
from rigmesh.viewers.panel_model import NodeView

__all__ = ["NodeInspector"]

_NARROWEST = 320


class NodeInspector(QtWidgets.QScrollArea):
    """Shows a node, and what can be changed about it.

    Attributes
    ----------
    parameter_changed, state_changed : pyqtSignal(NodeView, str, object)
        A person has entered a value.
    command_called : pyqtSignal(NodeView, str, dict)
        A person has called a command.
    """

    parameter_changed = QtCore.pyqtSignal(object, str, object)
    state_changed = QtCore.pyqtSignal(object, str, object)
    command_called = QtCore.pyqtSignal(object, str, dict)

    def __init__(self) -> None:
        super().__init__()
        self.node: NodeView | None = None
        self.parameters: ParameterForm | None = None
        self.states: ParameterForm | None = None
        self.commands: dict[str, CommandForm] = {}
        self.setWidgetResizable(True)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._made_of: object = None
        self._focus = _FocusWatcher(self)
        self._title = QtWidgets.QLabel()
        self._state = QtWidgets.QLabel()
        self._failure = QtWidgets.QLabel()
        self.show_node(None)
        follow_palette(self._paint)

    @property
    def title(self) -> str:
        """What it says on top: name, type, state."""
        return f"{self._title.text()} {self._state.text()} {self._failure.text()}".strip()

    def show_node(self, node: NodeView | None) -> None:
        """Show a node as it is now; what is being written in a form stays."""
        made_of = (node.key, node.type.name, node.host.key) if node is not None else None
        if made_of != self._made_of or node is None:
            if node is None and self._made_of is None and self.widget() is not None:
                return
            self._made_of = made_of
            self._build(node)
        self.node = node
        if node is not None:
            self._update(node)

    def refuse(self, node: str, name: str, reason: str) -> None:
        """Mark a value that the node did not accept, or not any more if there is no reason."""
        if self.node is None or self.node.key != node:
            return
        for form in (self.parameters, self.states):
            if form is not None:
                form.refuse([name], reason)

    def _paint(self) -> None:
        if self.node is not None:
            self._update(self.node)

    def _build(self, node: NodeView | None) -> None:
        inside = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(inside)
        column.setContentsMargins(14, 12, 14, 12)
        column.setSpacing(8)
        self._title = SoftLabel() if node is None else QtWidgets.QLabel()
        self._state, self._failure = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.parameters = self.states = None
        self.commands = {}
        for label in (self._title, self._state, self._failure):
            label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        if node is None:
            self._title.setText("Choose a node in the picture to see and change it.")
            column.addWidget(self._title)
        else:
            self._fill(column, node)
        column.addStretch(1)
        self.setWidget(inside)
        bar = self.verticalScrollBar()
        room = bar.sizeHint().width() if bar is not None else 0
        self.setMinimumWidth(max(_NARROWEST, inside.minimumSizeHint().width() + room))
        self._let_tab_show_fields(inside)

    def _fill(self, column: QtWidgets.QVBoxLayout, node: NodeView) -> None:
        big = self._title.font()
        big.setPointSizeF(big.pointSizeF() * 1.35)
        big.setWeight(QtGui.QFont.Weight.DemiBold)
        self._title.setFont(big)
        self._title.setText(node.name)
        column.addWidget(self._title)
        column.addWidget(self._state)
        column.addWidget(self._failure)
        first = node.type.doc.partition("\n\n")[0].replace("\n", " ")
        if first:
            said = SoftLabel(first)
            said.setToolTip(f"<qt>{escape(node.type.doc).replace(chr(10) * 2, '<br><br>')}</qt>")
            said.setWordWrap(True)
            column.addWidget(said)
        self.parameters = ParameterForm(node.type.schema, node.parameters, _is_locked(node))
        self.parameters.changed.connect(
            lambda name, value: self.parameter_changed.emit(self.node, name, value)
        )
        column.addWidget(_heading("Parameters"))
        column.addWidget(self.parameters)
        if node.type.commands:
            column.addWidget(_heading("Commands"))
        for each in node.type.commands:
            command = CommandForm(each.name, each.doc, each.schema)
            command.called.connect(
                lambda name, given: self.command_called.emit(self.node, name, given)
            )
            self.commands[each.name] = command
            column.addWidget(command)
        if node.type.states:
            schema = schema_of_states(
                {"name": s.name, "doc": s.doc, "write": s.write, "schema": s.schema}
                for s in node.type.states
            )
            self.states = ParameterForm(schema, node.states)
            self.states.changed.connect(
                lambda name, value: self.state_changed.emit(self.node, name, value)
            )
            column.addWidget(_heading("States"))
            column.addWidget(self.states)

    def _update(self, node: NodeView) -> None:
        colours = Colours.now()
        where = node.status.process or node.status.spec.group
        self._state.setText(
            f"● {node.state}   ·   {node.status.spec.type} in {where} on {node.host.name}"
        )
        style(self._state, f"color: {colours.state(node.state)}")
        self._failure.setText(node.failure)
        self._failure.setVisible(bool(node.failure))
        style(self._failure, f"color: {colours.bad}")
        is_live = node.host.is_live
        if self.parameters is not None:
            self.parameters.setEnabled(is_live)
            self.parameters.set_live_only(_is_locked(node))
            self.parameters.set_values(node.parameters)
        if self.states is not None:
            self.states.setEnabled(is_live)
            self.states.set_values(node.states)
        for command in self.commands.values():
            can = is_live and node.state in ("running", "ready")
            command.setEnabled(can)
            command.button.setEnabled(can)

    def _let_tab_show_fields(self, inside: QtWidgets.QWidget) -> None:
        """Scroll to what has the focus."""
        children: Any = inside.findChildren(QtWidgets.QWidget)
        for child in children:
            if child.focusPolicy() != QtCore.Qt.FocusPolicy.NoFocus:
                child.installEventFilter(self._focus)


class _FocusWatcher(QtCore.QObject):
    def __init__(self, area: NodeInspector) -> None:
        super().__init__(area)
        self._area = area

    def eventFilter(  # noqa: N802
        self, watched: QtCore.QObject | None, event: QtCore.QEvent | None
    ) -> bool:
        if (
            isinstance(watched, QtWidgets.QWidget)
            and event is not None
            and event.type() == QtCore.QEvent.Type.FocusIn
        ):
            self._area.ensureWidgetVisible(watched)
        return super().eventFilter(watched, event)


def _is_locked(node: NodeView) -> bool:
    """Whether only live parameters can be changed: those of a source that runs."""
    return node.type.is_source and node.state in ("open", "ready", "running")


def _heading(text: str) -> QtWidgets.QLabel:
    label = QtWidgets.QLabel(text)
    made = label.font()
    made.setWeight(QtGui.QFont.Weight.DemiBold)
    label.setFont(made)
    label.setContentsMargins(0, 8, 0, 0)
    return label

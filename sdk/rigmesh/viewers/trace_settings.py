"""The settings of a window of traces: a table of channels, and the other parameters as a form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.forms import parameter_form
from rigmesh.viewers.trace_looks import changed_entry
from rigmesh.viewers.trace_scales import shown_unit
from rigmesh.viewers.trace_sinks import names_of

if TYPE_CHECKING:
    from rigmesh.viewers.trace_window import TraceWindow

__all__ = ["ChannelTable", "TraceSettings"]

_BY_CHANNEL = ("hidden", "colours", "gains", "offsets", "names", "spans", "ranges")

Index = QtCore.QModelIndex


@dataclass(frozen=True, slots=True)
class _Channel:
    name: str
    text: str
    stream: str
    unit: str
    number: int


class ChannelTable(QtCore.QAbstractTableModel):
    """The channels of a window; what is written in it becomes parameters of the window.

    Parameters
    ----------
    window : TraceWindow
        The window.
    """

    def __init__(self, window: TraceWindow) -> None:
        super().__init__(window)
        self._window = window
        declared = type(window.settings).declared().fields
        entries: list[tuple[str, str, Callable[[str], Any] | None, Any]] = [
            ("Show", "", None, None), ("Channel", "", None, None), ("Unit", "", None, None),
            ("Gain", "gains", float, 1.0), ("Offset", "offsets", float, None),
            ("Name", "names", str, ""), ("Colour", "colours", str, None),
        ]  # fmt: skip
        self.columns = [entry for entry in entries if not entry[1] or entry[1] in declared]
        self.channels: list[_Channel] = []

    def load(self) -> None:
        """Take over the channels and the parameters of the window."""
        found = []
        for stream, panel in self._window.panels.items():
            info = panel.follower.sink.buffer.info
            if info is None:
                continue
            units = [shown_unit(channel.unit) for channel in info.channels]
            units = units or [""] * info.n_channels
            names = names_of(info.channel_names, stream)
            found += [
                _Channel(name, text, stream, unit, number)
                for number, (name, text, unit) in enumerate(
                    zip(names, info.channel_names, units, strict=True)
                )
            ]
        if found != self.channels:
            self.beginResetModel()
            self.channels = found
            self.endResetModel()
        elif found:
            last = self.index(len(found) - 1, len(self.columns) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def rowCount(self, parent: Index = Index()) -> int:  # noqa: N802, B008 - Qt's
        """Return the number of channels."""
        return 0 if parent.isValid() else len(self.channels)

    def columnCount(self, parent: Index = Index()) -> int:  # noqa: N802, B008 - Qt's
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: QtCore.Qt.Orientation, role: int = 0
    ) -> Any:
        """Return the titles of the columns."""
        if (
            role == QtCore.Qt.ItemDataRole.DisplayRole
            and orientation == QtCore.Qt.Orientation.Horizontal
        ):
            return self.columns[section][0]
        return None

    def data(self, index: Index, role: int = 0) -> Any:
        """Return what a cell shows."""
        channel, (title, parameter, _, plain) = (
            self.channels[index.row()], self.columns[index.column()],
        )  # fmt: skip
        settings = self._window.settings
        if title == "Show":
            if role == QtCore.Qt.ItemDataRole.CheckStateRole:
                hidden = channel.name in settings.hidden
                return QtCore.Qt.CheckState.Unchecked if hidden else QtCore.Qt.CheckState.Checked
            return None
        if role == QtCore.Qt.ItemDataRole.DecorationRole and title == "Colour":
            return QtGui.QColor(self._colour(channel))
        if role == QtCore.Qt.ItemDataRole.ToolTipRole and title == "Channel":
            return channel.name
        if role not in (QtCore.Qt.ItemDataRole.DisplayRole, QtCore.Qt.ItemDataRole.EditRole):
            return None
        if title == "Channel":
            return (
                f"{channel.text}   {channel.stream}" if len(self._streams()) > 1 else channel.text
            )
        if title == "Unit":
            return channel.unit
        value = getattr(settings, parameter).get(channel.name, plain)
        if title == "Colour":
            return value or self._colour(channel)
        if value is None:
            return "median" if role == QtCore.Qt.ItemDataRole.DisplayRole else ""
        return f"{value:g}" if isinstance(value, float) else value

    def flags(self, index: Index) -> QtCore.Qt.ItemFlags:
        """Return what can be done with a cell."""
        title, parameter, _, _ = self.columns[index.column()]
        flag = QtCore.Qt.ItemFlag
        found = QtCore.Qt.ItemFlags() | flag.ItemIsEnabled | flag.ItemIsSelectable
        if title == "Show":
            found |= flag.ItemIsUserCheckable
        elif parameter:
            found |= flag.ItemIsEditable
        return found

    def setData(  # noqa: N802 - Qt's name
        self, index: Index, value: Any, role: int = QtCore.Qt.ItemDataRole.EditRole
    ) -> bool:
        """Take what a person entered; an empty text stands for what is so by itself."""
        channel, (title, parameter, read, plain) = (
            self.channels[index.row()], self.columns[index.column()],
        )  # fmt: skip
        settings = self._window.settings
        if title == "Show" and role == QtCore.Qt.ItemDataRole.CheckStateRole:
            hidden = [name for name in settings.hidden if name != channel.name]
            is_shown = value == QtCore.Qt.CheckState.Checked
            self._window.change(hidden=hidden if is_shown else [*hidden, channel.name])
            return True
        if read is None or role != QtCore.Qt.ItemDataRole.EditRole:
            return False
        text = str(value).strip()
        try:
            entry = read(text) if text else plain
        except ValueError:
            self._window.tell(f"{channel.name}: {title.lower()} is a number, not {text!r}")
            return False
        entries = changed_entry(getattr(settings, parameter), channel.name, entry, plain)
        self._window.change(**{parameter: entries})
        return bool(getattr(settings, parameter) == entries)

    def _colour(self, channel: _Channel) -> str:
        own = self._window.settings.colours.get(channel.name)
        panel = self._window.panels.get(channel.stream)
        if own or panel is None:
            return own or "#000000"
        return f"#{panel.theme.trace(channel.number, panel.follower.n_channels):06x}"

    def _streams(self) -> set[str]:
        return {channel.stream for channel in self.channels}


class TraceSettings(QtWidgets.QDialog):
    """The settings; open beside the window, and every change takes effect at once.

    Parameters
    ----------
    window : TraceWindow
        The window.

    Attributes
    ----------
    channels : ChannelTable
        The table's contents.
    form : ParameterForm
        The other parameters.
    """

    def __init__(self, window: TraceWindow) -> None:
        super().__init__(window)
        self._window = window
        self.setWindowTitle(f"Settings of {window.windowTitle()}")
        self.resize(520, 460)
        self.channels = ChannelTable(window)
        self.table = QtWidgets.QTableView()
        self.table.setModel(self.channels)
        self.table.setToolTip(
            "Space shows or hides, F2 or a double click edits; an emptied cell is automatic again."
        )
        self.table.setAlternatingRowColors(True)
        self.table.setShowGrid(False)
        self.table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        if rows is not None and header is not None:
            rows.hide()
            rows.setDefaultSectionSize(24)
            header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(1, QtWidgets.QHeaderView.ResizeMode.Stretch)
        shown = [self._button("Show", True), self._button("Hide", False)]
        buttons = QtWidgets.QHBoxLayout()
        for button in shown:
            buttons.addWidget(button)
        buttons.addStretch(1)
        page = QtWidgets.QWidget()
        column = QtWidgets.QVBoxLayout(page)
        column.addWidget(self.table)
        column.addLayout(buttons)
        self.form = parameter_form(self._schema(), window.settings.parameters)
        self.form.changed.connect(lambda name, value: window.change(**{name: value}))
        holder = QtWidgets.QWidget()
        inside = QtWidgets.QVBoxLayout(holder)
        inside.addWidget(self.form)
        inside.addStretch(1)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        area.setWidget(holder)
        self.tabs = QtWidgets.QTabWidget()
        self.tabs.addTab(page, "&Channels")
        self.tabs.addTab(area, "&Window")
        QtWidgets.QVBoxLayout(self).addWidget(self.tabs)

    def show_values(self) -> None:
        """Show the window's parameters as they are now."""
        self.channels.load()
        self.form.set_values(self._window.settings.parameters)

    def show_selected(self, is_shown: bool) -> None:
        """Show or hide the channels that are selected; all of them if none is."""
        selection = self.table.selectionModel()
        rows = [index.row() for index in selection.selectedRows()] if selection else []
        chosen = {self.channels.channels[row].name for row in rows} or {
            channel.name for channel in self.channels.channels
        }
        hidden = [name for name in self._window.settings.hidden if name not in chosen]
        self._window.change(hidden=hidden if is_shown else [*hidden, *sorted(chosen)])

    def _button(self, text: str, is_shown: bool) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(text)
        button.setAutoDefault(False)
        button.setToolTip(f"{text} the selected channels, or all if none is selected")
        button.clicked.connect(lambda: self.show_selected(is_shown))
        return button

    def _schema(self) -> dict[str, Any]:
        schema = type(self._window.settings).declared().schema()
        properties = {
            name: prop
            for name, prop in schema.get("properties", {}).items()
            if name not in _BY_CHANNEL
        }
        return {**schema, "properties": properties}

"""A table of texts in colours, drawn anew only where it differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.viewers.colours import Colours, follow_palette, style

__all__ = ["Cell", "Table"]

_PAD = 28
_RIGHT = QtCore.Qt.Alignment(QtCore.Qt.AlignmentFlag.AlignRight) | (
    QtCore.Qt.AlignmentFlag.AlignVCenter
)


@dataclass(frozen=True, slots=True)
class Cell:
    """What is in a place of a table: a text, what it means, and more of it in a tool tip."""

    text: str
    role: str = "ink"
    tip: str = ""


class Table(QtWidgets.QTableWidget):
    """A table whose rows are known by keys, so that what is chosen stays so.

    Attributes
    ----------
    chosen : pyqtSignal(str)
        The key of the row that a person has chosen.
    """

    chosen = QtCore.pyqtSignal(str)

    def __init__(self, name: str, columns: Sequence[str], right: Sequence[str] = ()) -> None:
        super().__init__(0, len(columns))
        self.columns = list(columns)
        self._right = {columns.index(column) for column in right}
        self._keys: list[str] = []
        self._cells: list[list[Cell]] = []
        self._fit_to: list[int] = []
        self.setHorizontalHeaderLabels(list(columns))
        self.setAccessibleName(name)
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and header is not None:
            rows.hide()
            rows.setDefaultSectionSize(22)
            header.setStretchLastSection(True)
            header.setDefaultAlignment(
                QtCore.Qt.Alignment(QtCore.Qt.AlignmentFlag.AlignLeft)
                | QtCore.Qt.AlignmentFlag.AlignVCenter
            )
            header.setHighlightSections(False)
            header.setMinimumSectionSize(60)
        for column in self._right:
            head = self.horizontalHeaderItem(column)
            if head is not None:
                head.setTextAlignment(_RIGHT)
        self._paint()
        follow_palette(self._paint)
        self.itemSelectionChanged.connect(self._choose)

    @property
    def texts(self) -> dict[str, dict[str, str]]:
        """What is in the table: by the key of the row, and by column."""
        return {
            key: dict(zip(self.columns, (cell.text for cell in cells), strict=True))
            for key, cells in zip(self._keys, self._cells, strict=True)
        }

    def show_rows(self, rows: Sequence[tuple[str, Sequence[Cell]]]) -> None:
        """Show other rows; only what differs is drawn anew."""
        keys = [key for key, _ in rows]
        if keys != self._keys:
            chosen = self.chosen_key
            self.blockSignals(True)
            self.setRowCount(len(rows))
            self._keys, self._cells = keys, [[] for _ in rows]
            self.clearSelection()
            if chosen in keys:
                self.selectRow(keys.index(chosen))
            self.blockSignals(False)
            self._fit_to = []
        colours = Colours.now()
        self.setUpdatesEnabled(False)
        for row, (_, cells) in enumerate(rows):
            before = self._cells[row]
            for column, cell in enumerate(cells):
                if column >= len(before) or before[column] != cell:
                    self._put(row, column, cell, colours)
            self._cells[row] = list(cells)
        self._fit()
        self.setUpdatesEnabled(True)

    @property
    def chosen_key(self) -> str:
        """The key of the row that is chosen."""
        rows = {item.row() for item in self.selectedItems()}
        return self._keys[min(rows)] if rows else ""

    def mark(self, key: str) -> None:
        """Show which row is chosen elsewhere."""
        if self.chosen_key == key:
            return
        self.blockSignals(True)
        self.clearSelection()
        if key in self._keys:
            self.selectRow(self._keys.index(key))
        self.blockSignals(False)

    def _fit(self) -> None:
        """Make columns as wide as what is in them.

        Qt can do that by itself, but measures all of a table for each cell that changes: 9 ms
        each in one of 100 rows.
        """
        measure = self.fontMetrics().horizontalAdvance
        longest = [
            max([measure(cells[at].text) for cells in self._cells], default=0)
            for at in range(len(self.columns) - 1)
        ]
        # Only wider ones while the rows are the same, or numbers would make columns tremble.
        before = self._fit_to or [0] * len(longest)
        fitting = [max(pair) for pair in zip(longest, before, strict=True)]
        if fitting != self._fit_to:
            self._fit_to = fitting
            for at, width in enumerate(fitting):
                self.setColumnWidth(at, max(width, measure(self.columns[at])) + _PAD)

    def _paint(self) -> None:
        colours = Colours.now()
        for row, cells in enumerate(self._cells):
            for column, cell in enumerate(cells):
                self._put(row, column, cell, colours)
        style(
            self,
            f"QTableView {{ background: {colours.sheet}; border: 0 }}"
            f"QTableView::item {{ padding: 0 8px; border: 0 }}"
            f"QTableView::item:selected {{ background: {colours.chosen}; color: {colours.ink} }}"
            f"QHeaderView {{ background: {colours.sheet} }}"
            f"QHeaderView::section {{ background: {colours.sheet}; color: {colours.soft};"
            f" border: 0; border-bottom: 1px solid {colours.edge}; padding: 3px 8px }}",
        )

    def _put(self, row: int, column: int, cell: Cell, colours: Colours) -> None:
        item = self.item(row, column)
        if item is None:
            item = QtWidgets.QTableWidgetItem()
            if column in self._right:
                item.setTextAlignment(_RIGHT)
            self.setItem(row, column, item)
        item.setText(cell.text)
        item.setForeground(QtGui.QColor(getattr(colours, cell.role)))
        item.setToolTip(cell.tip or cell.text)
        if cell.role in ("bad", "good"):
            made = item.font()
            made.setBold(cell.role == "bad")
            item.setFont(made)

    def _choose(self) -> None:
        self.chosen.emit(self.chosen_key)

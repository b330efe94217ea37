"""The log of a panel's hosts."""

from __future__ import annotations

import time
from collections import deque

from PyQt5 import QtCore, QtWidgets

from rigmesh.viewers.panel_table import Cell, Table
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["LogTable"]

_KEPT_LINES = 400
_SOON_MS = 150
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class LogTable(QtWidgets.QWidget):
    """What was logged since the panel was opened, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[tuple[str, str, pb.LogRecord]] = deque(maxlen=_KEPT_LINES)
        self._n = 0
        self.table = Table("Log", ("time", "level", "where", "message"))
        self.level = QtWidgets.QComboBox()
        self.level.addItems([f"{level.capitalize()} and worse" for level in _LEVELS])
        self.level.setCurrentIndex(1)
        self.level.setToolTip("Show nothing that matters less (Alt+L)")
        self.search = QtWidgets.QLineEdit()
        self.search.setPlaceholderText("Search the log…")
        self.search.setToolTip("Show lines with this text only")
        self.search.setClearButtonEnabled(True)
        label = QtWidgets.QLabel("&Level")
        label.setBuddy(self.level)
        top = QtWidgets.QHBoxLayout()
        top.setContentsMargins(6, 4, 6, 0)
        for widget in (label, self.level, self.search):
            top.addWidget(widget)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.table)
        self._soon = QtCore.QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._show)
        self.level.currentIndexChanged.connect(self._show)
        self.search.textChanged.connect(self._show)

    def add(self, host: str, record: pb.LogRecord) -> None:
        """Take note of a line."""
        self._n += 1
        self._lines.appendleft((str(self._n), host, record))
        if not self._soon.isActive():  # lines come in bursts
            self._soon.start()

    def _show(self) -> None:
        least, wanted = self.level.currentIndex(), self.search.text().lower()
        self.table.show_rows([
            (key, _line_of(host, record)) for key, host, record in self._lines
            if _rank(record.level) >= least and wanted in f"{record.node} {record.message}".lower()
        ])  # fmt: skip


def _rank(level: str) -> int:
    name = "ERROR" if level == "CRITICAL" else level
    return _LEVELS.index(name) if name in _LEVELS else 1


def _line_of(host: str, record: pb.LogRecord) -> list[Cell]:
    role = ("faint", "soft", "warn", "bad")[_rank(record.level)]
    where = record.node or record.process or host
    first = record.message.partition("\n")[0]
    return [
        Cell(time.strftime("%H:%M:%S", time.localtime(record.time)), "soft"),
        Cell(record.level.lower() or "info", role),
        Cell(where, tip=f"{host} {record.process} {record.logger}"),
        Cell(first, "ink", record.message),
    ]

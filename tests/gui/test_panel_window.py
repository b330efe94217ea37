"""The panel as one of a script's windows."""

from __future__ import annotations

from typing import Any

from PyQt5 import QtCore, QtTest, QtWidgets

from rigmesh.viewers import make_window
from rigmesh.viewers.panel_window import PanelWindow

Key = QtCore.Qt.Key
QTest: Any = QtTest.QTest  # its stubs take the static methods for those of an instance


def test_space_belongs_to_the_controls_of_a_panel_that_is_a_window() -> None:
    window = make_window("viewers.Panel", "panel", {"hosts": []})
    assert isinstance(window, PanelWindow)
    window.show()
    box = QtWidgets.QCheckBox("chosen", window.panel)
    box.show()
    box.setFocus()
    window.activateWindow()  # shortcuts are those of the active window
    QtWidgets.QApplication.processEvents()

    QTest.keyClick(box, Key.Key_Space)

    assert (box.isChecked(), window.is_paused) == (True, False)
    window.close()

"""Windows are drawn without a screen."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
QtWidgets = pytest.importorskip("PyQt5.QtWidgets", reason="windows need rigmesh[viewers]")


@pytest.fixture(scope="session")
def application() -> Iterator[object]:
    """Qt's application: one a process."""
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["rigmesh tests"])
    yield app
    app.processEvents()


@pytest.fixture(autouse=True)
def no_window_is_left(application: object) -> Iterator[None]:
    """Close and delete what a test opened; pyqtgraph's own menus are not ours to delete."""
    yield
    for widget in QtWidgets.QApplication.topLevelWidgets():
        if type(widget).__module__.startswith(("rigmesh.", "tests.")):
            widget.close()
            widget.deleteLater()
    QtWidgets.QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    QtWidgets.QApplication.processEvents()

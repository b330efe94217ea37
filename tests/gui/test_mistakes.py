"""Windows go on when one of them makes a mistake."""

from __future__ import annotations

import os
import subprocess
import sys

FAIL = """
from PyQt5 import QtCore, QtWidgets
from rigmesh.viewers.mistakes import survive_mistakes

application = QtWidgets.QApplication([])
survive_mistakes()
timer, turns = QtCore.QTimer(), iter(range(5))

def refresh():
    if next(turns) == 4:
        application.quit()
    raise ValueError("a row too many")

timer.timeout.connect(refresh)
timer.start(1)
raise SystemExit(application.exec())
"""


def test_a_mistake_in_every_frame_is_told_once_and_ends_nothing() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FAIL],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    assert run.stderr.count("ValueError: a row too many") == 1
    assert "goes on" in run.stderr

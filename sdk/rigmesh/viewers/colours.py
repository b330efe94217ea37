"""Colours that say something, on light and on dark palettes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["Colours", "SoftLabel", "follow_palette", "style"]


@dataclass(frozen=True, slots=True)
class Colours:
    """What is drawn in which colour; each is readable on `sheet`.

    Attributes
    ----------
    sheet, card, edge : str
        Background, what lies on it, and its frame.
    ink, soft, faint : str
        Words, by importance.
    accent, good, busy, warn, bad, idle : str
        What words and marks mean.
    chosen : str
        Behind a row that is chosen.
    tints : tuple of (str, str)
        Fill and edge of areas that lie side by side.
    """

    is_dark: bool
    sheet: str
    card: str
    edge: str
    ink: str
    soft: str
    faint: str
    accent: str
    good: str
    busy: str
    warn: str
    bad: str
    idle: str
    chosen: str
    tints: tuple[tuple[str, str], ...]

    @classmethod
    def now(cls) -> Colours:
        """Return those that fit the application's palette.

        That of a widget does not do: a style sheet changes it.
        """
        window = QtWidgets.QApplication.palette().color(QtGui.QPalette.ColorRole.Window)
        return _DARK if window.lightness() < 128 else _LIGHT

    def state(self, name: str) -> str:
        """Return the colour of a state of a node or graph."""
        return {
            "running": self.good, "failed": self.bad, "ended": self.accent, "open": self.busy,
            "ready": self.busy, "starting": self.busy, "stopping": self.busy, "gone": self.bad,
            "not known": self.warn,
        }.get(name, self.idle)  # fmt: skip


def style(widget: QtWidgets.QWidget, sheet: str) -> None:
    """Give a widget a style sheet, if it has another: that changes its palette, and is told it."""
    if widget.styleSheet() != sheet:
        widget.setStyleSheet(sheet)


def follow_palette(repaint: Callable[[], None]) -> None:
    """Have a method of a widget called whenever the application gets other colours.

    Widgets that have a style sheet are not told by their own events.
    """
    application = QtWidgets.QApplication.instance()
    if isinstance(application, QtGui.QGuiApplication):
        application.paletteChanged.connect(repaint)


class SoftLabel(QtWidgets.QLabel):
    """Words that matter less, but can be read."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        self._paint()
        follow_palette(self._paint)

    def _paint(self) -> None:
        style(self, f"color: {Colours.now().soft}")


_LIGHT = Colours(
    is_dark=False, sheet="#fafbfc", card="#ffffff", edge="#c3ccd6", ink="#1b2733",
    soft="#55636f", faint="#7c8995", accent="#1f5fc4", good="#1c7a3c", busy="#7a5200",
    warn="#8a5300", bad="#b3261e", idle="#5f6b76", chosen="#dbe6f7",
    tints=(
        ("#f0f4fc", "#b9cbea"), ("#f0f8f2", "#b5d6bd"), ("#fdf5e8", "#e6cda4"),
        ("#f6f0fb", "#d2bde6"), ("#fdf0f1", "#e9bec3"), ("#ecf7f9", "#a9d3dc"),
    ),
)  # fmt: skip
_DARK = Colours(
    is_dark=True, sheet="#15191e", card="#232a32", edge="#4a5663", ink="#e6ebf0",
    soft="#a9b5c0", faint="#84919d", accent="#7fb0ff", good="#6fd08c", busy="#f0c674",
    warn="#ffb454", bad="#ff8a80", idle="#9aa7b3", chosen="#22385a",
    tints=(
        ("#1a222e", "#3a5070"), ("#19251e", "#375a43"), ("#28221a", "#635033"),
        ("#231d2a", "#553f69"), ("#2a1d20", "#693f45"), ("#182528", "#34575f"),
    ),
)  # fmt: skip

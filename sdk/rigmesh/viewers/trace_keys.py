"""The keys of a window of traces; those of its buttons aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PyQt5 import QtCore

if TYPE_CHECKING:
    from rigmesh.viewers.trace_window import TraceWindow

__all__ = ["press"]

Key = QtCore.Qt.Key
Modifier = QtCore.Qt.KeyboardModifier

_ARROWS = (Key.Key_Up, Key.Key_Down)
_GAIN = (Key.Key_Plus, Key.Key_Equal, Key.Key_Minus)
_LARGER = (Key.Key_Up, Key.Key_Right, Key.Key_Plus, Key.Key_Equal)
_OFFSET = 0.1
"""Heights of a row by which a trace is moved."""
_STEP, _PAGE = 0.1, 0.9
"""Widths of the window that it goes back in time."""


def press(window: TraceWindow, key: int, modifiers: Any) -> bool:
    """Do what a key stands for, and return whether it stands for something."""
    is_control = bool(modifiers & Modifier.ControlModifier)
    sign = 1 if key in _LARGER else -1
    name = window.chosen_name
    if key in _GAIN:
        window.turn_gain(sign, "")
    elif key in _ARROWS and modifiers & Modifier.ShiftModifier:
        window.turn_gain(sign, name)
    elif key in _ARROWS and modifiers & Modifier.AltModifier:
        window.move_offset(name, _OFFSET * sign * window.row_span(name))
    elif key in _ARROWS:
        window.choose_next(-sign)
    elif key in (Key.Key_Left, Key.Key_Right):
        window.step_back(-sign * (_PAGE if is_control else _STEP))
    elif key == Key.Key_End:
        window.show_newest()
    elif key == Key.Key_Escape and name:
        window.choose("")
    elif key == Key.Key_H and is_control:
        window.change(hidden=[])
    elif key == Key.Key_H:
        window.hide_channel(name)
    elif key in (Key.Key_Return, Key.Key_Enter):
        window.show_settings()
    else:
        return False
    return True

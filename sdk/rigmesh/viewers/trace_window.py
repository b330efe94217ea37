"""Windows of traces: what oscilloscopes of signals and of bits have in common."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.display import MarkerBuffer, Sink
from rigmesh.node import Node
from rigmesh.streams import local_clock
from rigmesh.viewers.trace_axes import MarkerStrip, TimeAxis
from rigmesh.viewers.trace_columns import Style
from rigmesh.viewers.trace_follower import Follower, TimeBase
from rigmesh.viewers.trace_keys import press
from rigmesh.viewers.trace_looks import Look
from rigmesh.viewers.trace_panel import TracePanel
from rigmesh.viewers.trace_settings import TraceSettings
from rigmesh.viewers.trace_sinks import TraceSink, names_of
from rigmesh.viewers.window import ViewerWindow

__all__ = ["TraceWindow"]

_TURN = 1.25
"""What a step of the wheel multiplies by."""
_DRAG = 250.0
"""Pixels of dragging that make the time e times as long."""
_GUTTER_STEP = 24
_MOST_GUTTER = 190
_MOST_WEIGHT, _LEAST_WEIGHT = 64, 6


class TraceWindow(ViewerWindow):
    """Panels of traces, one a stream, on one time axis."""

    style_of_lines: ClassVar[Style] = "line"
    keys: ClassVar[str] = (
        "space: pause · ← →: back and forth · end: newest · [ ]: time · ↑ ↓: choose a channel · "
        "H: hide it · Ctrl+H: show all · M: scan or scroll · enter: settings"
    )

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self.base = TimeBase(seconds=self.settings.seconds, mode=self.settings.mode)
        self.panels: dict[str, TracePanel] = {}
        self.marker_buffers: dict[str, MarkerBuffer] = {}
        self.chosen_name = ""
        self.dialog: TraceSettings | None = None
        self._shown_time = math.nan
        self._drag_from = (0.0, 0.0)
        self._weights: tuple[int, ...] = ()
        self._is_split_by_hand = False

        self.strip, self.axis = MarkerStrip(self.base), TimeAxis(self.base)
        self.strip.hide()
        self.split = QtWidgets.QSplitter(QtCore.Qt.Orientation.Vertical)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(3)
        self.split.splitterMoved.connect(self._remember_split)
        self.empty = QtWidgets.QLabel("Nothing is linked yet: connect a signal to this window.")
        self.empty.setAlignment(QtCore.Qt.AlignmentFlag.AlignCenter)
        self.body.setSpacing(0)
        for widget, stretch in ((self.strip, 0), (self.empty, 1), (self.split, 1), (self.axis, 0)):
            self.body.addWidget(widget, stretch)
        self.split.hide()
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self._pause.toggled.connect(self._paused)
        self.tools.addSeparator()
        self._mode = self.add_action("Scroll", "M", "Scan with a cursor, or scroll")
        self._mode.triggered.connect(self._other_mode)
        self.add_action("−t", "[", "Shorter").triggered.connect(lambda: self.turn_time(1))
        self.add_action("+t", "]", "Longer").triggered.connect(lambda: self.turn_time(-1))
        self.tools.addSeparator()
        self.add_controls()
        self.tools.addSeparator()
        asked = self.add_action("Settings…", "Ctrl+,", "Channels and all parameters")
        asked.triggered.connect(self.show_settings)
        self.add_action("?", "F1", "Keys").triggered.connect(lambda: self.tell(self.keys))
        self._name_actions()

    # --- what a subclass does ----------------------------------------------------------------

    def add_controls(self) -> None:
        """Add actions of this window to the tool bar."""

    def make_sink(self) -> TraceSink:
        """Return what keeps a stream."""
        return TraceSink(self.kept_seconds)

    def make_look(self, panel: TracePanel, height: float) -> Look:
        """Return how a stream looks."""
        raise NotImplementedError

    def watch(self, panel: TracePanel) -> None:
        """Look at what came in before a panel is drawn."""

    def turn_gain(self, steps: float, name: str = "") -> None:
        """Enlarge traces, of all channels or of one."""

    def move_offset(self, name: str, by: float) -> None:
        """Shift the trace of a channel, in its unit."""

    # --- what is linked ----------------------------------------------------------------------

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the chunks of a stream that is linked from now on."""
        if port == "markers":
            self.marker_buffers[stream] = MarkerBuffer()
            self.strip.show()
            return self.marker_buffers[stream]
        follower = Follower(self.make_sink(), self.style_of_lines)
        panel = TracePanel(stream, follower, self.base, self.make_look)
        panel.waiting_for = f"waiting for {stream}"
        panel.gutter = self.axis.gutter
        panel.gain_turned.connect(self.turn_gain)
        panel.time_turned.connect(self.turn_time)
        panel.moved.connect(self.move_offset)
        panel.chosen.connect(self.choose)
        panel.asked.connect(self.show_settings)
        panel.drag_begun.connect(self._begin_drag)
        panel.dragged.connect(self._drag)
        self.panels[stream] = panel
        self.split.addWidget(panel)
        self._show_panels()
        return follower.sink

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream that is linked no more."""
        if port == "markers":
            self.marker_buffers.pop(stream, None)
            self.strip.setVisible(bool(self.marker_buffers))
            return
        panel = self.panels.pop(stream, None)
        if panel is not None:
            panel.setParent(None)
            panel.deleteLater()
        self._show_panels()

    def _show_panels(self) -> None:
        self.empty.setVisible(not self.panels)
        self.split.setVisible(bool(self.panels))
        self._weights = ()

    @property
    def kept_seconds(self) -> float:
        """How much of each stream is kept."""
        return max(float(self.settings.history), 1.25 * float(self.settings.seconds))

    @property
    def age(self) -> float:
        """How old the newest sample of what is drawn is, in seconds; NaN if there is none."""
        return local_clock() - self._shown_time

    # --- drawing -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Draw what is new."""
        for panel in self.panels.values():
            self.watch(panel)
        times = [panel.follower.newest for panel in self.panels.values()]
        times = [time for time in times if not math.isnan(time)]
        if times:
            self._shown_time = max(times)
        self._draw_all(is_live=True)

    def draw_still(self) -> None:
        """Draw anew although nothing is new: while paused nothing else does."""
        if self.is_paused:
            self._draw_all(is_live=False)

    def _draw_all(self, *, is_live: bool) -> None:
        self._share_height()
        self._share_width()
        if not math.isnan(self._shown_time):
            self.base.show(self._shown_time)
        markers = self._markers()
        for panel in self.panels.values():
            panel.markers = markers
            panel.draw(is_live=is_live)
        if self._widest() > self.axis.gutter:  # labels that did not fit when this began
            self._draw_all(is_live=is_live)
            return
        self.strip.markers = markers
        self.strip.update()
        back = self._newest() - self._shown_time if self.is_paused else 0.0
        note = f"paused, {back:.1f} s back" if back > 0.05 else "paused" * self.is_paused
        if note != self.axis.note:
            self.axis.note = note
            self.axis.update()

    def _share_width(self) -> None:
        """Let all time axes be alike."""
        panels = list(self.panels.values())
        gutter = self._widest()
        if gutter != self.axis.gutter:
            for widget in (self.axis, self.strip, *panels):
                widget.gutter = gutter
            self.axis.update()
        for panel in panels:
            panel.gutter = gutter
        before = self.base.step
        self.base.seconds, self.base.mode = self.settings.seconds, self.settings.mode
        if panels:
            self.base.width = panels[0].picture_size[0]
        if self.base.step != before:
            for panel in panels:
                panel.follower.is_stale = True

    def _widest(self) -> int:
        """Return how wide labels are; in steps and never less, as each change draws all anew."""
        widest = max((panel.label_width() for panel in self.panels.values()), default=0)
        return min(_MOST_GUTTER, max(self.axis.gutter, -(-widest // _GUTTER_STEP) * _GUTTER_STEP))

    def _share_height(self) -> None:
        """Give panels heights by their number of rows, until a person has moved a border."""
        weights = tuple(
            min(_MOST_WEIGHT, max(_LEAST_WEIGHT, len(panel.look.rows.channels)))
            for panel in self.panels.values()
        )
        if weights != self._weights and not self._is_split_by_hand:
            self._weights = weights
            if self.dialog is not None:
                self.dialog.show_values()
            self.split.setSizes([100 * weight for weight in weights])

    def _markers(self) -> list[tuple[float, str]]:
        found = [
            marker
            for buffer in self.marker_buffers.values()
            for marker in buffer.since(self.base.start)
        ]
        return sorted(marker for marker in found if marker[0] <= self.base.stop)

    def _newest(self) -> float:
        times = [panel.follower.newest for panel in self.panels.values()]
        return float(np.nanmax(times)) if np.isfinite(times).any() else math.nan

    # --- controls ----------------------------------------------------------------------------

    def applied(self, names: set[str]) -> None:
        """Draw by the new parameters."""
        for panel in self.panels.values():
            if names & {"seconds", "history"}:
                panel.follower.sink.keep(self.kept_seconds)
            panel.look_anew()
        self._name_actions()
        self.axis.update()
        if self.dialog is not None:
            self.dialog.show_values()
        self.draw_still()

    def turn_time(self, steps: float) -> None:
        """Show less time by steps of the wheel, or more if they are negative."""
        seconds = float(f"{self.settings.seconds * _TURN**-steps:.3g}")
        self.change(seconds=min(3600.0, max(0.01, seconds)))

    def step_back(self, share: float) -> None:
        """Pause, and go back by a share of the window; forth if it is negative."""
        self._pause.setChecked(True)
        self._show_at(self._shown_time - share * self.settings.seconds)

    def show_newest(self) -> None:
        """Go on."""
        self._pause.setChecked(False)

    def choose(self, name: str) -> None:
        """Choose a channel for the keys that change one."""
        self.chosen_name = name
        for panel in self.panels.values():
            panel.chosen_name = name
            panel.look_anew()
        self.draw_still()

    def hide_channel(self, name: str) -> None:
        """Draw a channel no more."""
        if name and name not in self.settings.hidden:
            self.change(hidden=[*self.settings.hidden, name])

    def show_settings(self) -> None:
        """Open the settings beside the window."""
        if self.dialog is None:
            self.dialog = TraceSettings(self)
        self.dialog.show_values()
        self.dialog.show()
        self.dialog.raise_()

    def names(self) -> list[str]:
        """Return what parameters call the channels that are drawn, from the top."""
        found = []
        for panel in self.panels.values():
            info = panel.follower.sink.buffer.info
            if info is not None:
                own = names_of(info.channel_names, panel.stream)
                rows = panel.look.rows.channels
                found += [own[c] for c in rows.tolist() if c < len(own)]
        return found

    def _name_actions(self) -> None:
        self._mode.setText("Scroll" if self.settings.mode == "scan" else "Scan")

    def _other_mode(self) -> None:
        self.change(mode="scroll" if self.settings.mode == "scan" else "scan")

    def _paused(self, is_paused: bool) -> None:
        if not is_paused:
            for panel in self.panels.values():
                panel.follower.is_stale = True
            self.refresh()
        self.draw_still()

    def _show_at(self, time: float) -> None:
        newest = self._newest()
        if not math.isnan(newest):
            self._shown_time = min(newest, max(time, newest - self.kept_seconds))
        self.draw_still()

    def _begin_drag(self) -> None:
        self._drag_from = (self._shown_time, self.settings.seconds)

    def _drag(self, way: int, is_right: bool) -> None:
        time, seconds = self._drag_from
        if self.is_paused and not is_right:
            self._show_at(time - way * self.base.step * self.devicePixelRatioF())
        else:
            wanted = float(f"{seconds * math.exp(-way / _DRAG):.3g}")
            self.change(seconds=min(3600.0, max(0.01, wanted)))

    def _remember_split(self) -> None:
        self._is_split_by_hand = True

    def choose_next(self, step: int) -> None:
        """Choose the channel that is so many rows further down."""
        names = self.names()
        if names:
            at = names.index(self.chosen_name) + step if self.chosen_name in names else 0
            self.choose(names[at % len(names)])

    # --- Qt ----------------------------------------------------------------------------------

    def keyPressEvent(self, event: QtGui.QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Do by keys what the mouse does."""
        if event is None or not press(self, event.key(), event.modifiers()):
            super().keyPressEvent(event)

    def row_of(self, name: str) -> tuple[TracePanel, int] | None:
        """Return where a channel is drawn: the panel, and which of its rows; None if it is not."""
        for panel in self.panels.values():
            for label in panel.look.labels:
                if name and label.name == name:
                    return panel, panel.look.rows.channels.tolist().index(label.channel)
        return None

    def row_span(self, name: str) -> float:
        """Return what is as high as a channel's row, in its unit; 0 if it is not drawn."""
        found = self.row_of(name)
        if found is None:
            return 0.0
        panel, row = found
        rows = panel.look.rows
        return panel.picture_size[1] / len(rows.channels) / float(rows.scale[row])

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw a paused picture in the new size."""
        super().resizeEvent(event)
        QtCore.QTimer.singleShot(0, self.draw_still)

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Close the settings, too."""
        if self.dialog is not None:
            self.dialog.close()
        super().closeEvent(event)

"""A window of the last sweeps around triggers."""

from __future__ import annotations

import time
from typing import Any

from PyQt5 import QtCore, QtWidgets

from rigmesh.display import Sink
from rigmesh.node import Node
from rigmesh.viewers.sweep_canvas import Look, SweepCanvas
from rigmesh.viewers.sweeps import EventSink, SignalSink, TriggeredSweeps
from rigmesh.viewers.window import ViewerWindow

__all__ = ["TriggeredOscilloscope"]

_STEP = 1.25
_SHARE = 3.0
"""A picture that took long is drawn less often: a third of the time at most."""


class TriggeredOscilloscope(ViewerWindow):
    """Overlays the last sweeps, draws their average, and counts.

    Attributes
    ----------
    canvas : SweepCanvas
        The picture.
    scale, count : QLabel
        How far panels reach, and how many sweeps there are.
    """

    def __init__(self, settings: Node) -> None:
        super().__init__(settings)
        self._sweeps = TriggeredSweeps(self.settings)
        self._drawn: tuple[Any, ...] = ()
        self._rests_until = 0.0
        self.canvas = SweepCanvas()
        self.canvas.turned.connect(self._zoom)
        self.scale, self.count = QtWidgets.QLabel(), QtWidgets.QLabel()
        self._add_actions()
        self._add_fields()
        self.body.addLayout(self._header())
        self.body.addWidget(self.canvas, 1)
        self.canvas.setFocus()
        self._show_parameters()

    # --- what is linked ------------------------------------------------------------------------

    def sink(self, port: str, stream: str) -> Sink:
        """Return what takes the chunks of a stream."""
        if port == "signal":
            return SignalSink(self._sweeps)
        return EventSink(self._sweeps)

    def drop(self, port: str, stream: str) -> None:
        """Forget a stream."""
        if port == "signal":
            self._sweeps.forget_signal()

    def applied(self, names: set[str]) -> None:
        """Show what has changed."""
        self._sweeps.apply(names)
        self._show_parameters()

    def refresh(self) -> None:
        """Draw if there is something new."""
        look = self._look()
        state = self._sweeps.version, look, self._message()
        now = time.monotonic()
        if state == self._drawn or (self._drawn[1:] == state[1:] and now < self._rests_until):
            return
        self._drawn = state
        shown = self._sweeps.shown()
        self.canvas.show_sweeps(shown, look, self._message())
        self.canvas.repaint()
        done = time.monotonic()
        self._rests_until = done + _SHARE * (done - now)
        self._show_channels(list(self._sweeps.info.channel_names) if self._sweeps.info else [])
        n = 0 if shown is None else len(shown.sweeps)
        total = self._sweeps.n_total
        text = f"{n} of {total} sweeps" if total > n else f"{n} sweep{'s' * (n != 1)}"
        if missed := self._sweeps.n_missed:
            text += f", {missed} missed"
        self.count.setText(text)
        unit = shown.unit if shown is not None else ""
        how = "" if self.settings.half_range else " (fits)"
        self.scale.setText(f"± {self.canvas.half_range:.4g} {unit}{how}" if n else "")

    def reset(self) -> None:
        """Forget the sweeps."""
        self._sweeps.reset()

    def _look(self) -> Look:
        s = self.settings
        return Look(
            s.view, s.show_sweeps, s.show_average, s.show_band, s.baseline, s.negative_up,
            s.half_range,
        )  # fmt: skip

    def _message(self) -> str:
        sweeps, settings = self._sweeps, self.settings
        if sweeps.problem:
            return sweeps.problem
        if sweeps.info is None:
            return "Waiting for a signal"
        if sweeps.n_total:
            return ""
        if not sweeps.is_taking:
            return "Stopped: triggers do not count"
        if settings.trigger == "channel":
            ways = {"rising": "rises to", "falling": "falls below", "both": "crosses"}
            name = settings.channel
            if isinstance(name, int) and -len(sweeps.info.channel_names) <= name:
                name = sweeps.info.channel_names[name]
            return f"Waiting until {name} {ways[settings.direction]} {settings.level:g}"
        if not any(port == "events" for port, _ in self.feeds):
            return "Waiting for events: link a marker stream, or let a channel trigger (T)"
        if settings.select:
            return f"Waiting for events like {settings.select}"
        return "Waiting for events"

    # --- controls ------------------------------------------------------------------------------

    def _add_actions(self) -> None:
        self.taking = self.add_action("Stop", "S", "Let triggers count, or not")
        self.taking.triggered.connect(self._start_or_stop)
        again = self.add_action("Reset", "R", "Forget the sweeps and the count")
        again.triggered.connect(self.reset)
        self.tools.addSeparator()
        self._toggles = {
            name: self._toggle(name, text, keys, tip)
            for name, text, keys, tip in (
                ("show_sweeps", "Sweeps", "W", "Draw the single sweeps"),
                ("show_average", "Average", "A", "Draw the average of the sweeps"),
                ("show_band", "± SD", "D", "Shade one standard deviation around the average"),
                ("baseline", "Baseline", "B", "Subtract the mean of the time before the trigger"),
                ("negative_up", "Neg. up", "N", "Draw negative values upwards, as in ERPs"),
            )
        }
        self._stacked = self.add_action("Stack", "P", "All channels in one panel, or one each")
        self._stacked.setCheckable(True)
        self._stacked.triggered.connect(lambda on: self.change(view="stacked" if on else "panels"))

    def _header(self) -> QtWidgets.QHBoxLayout:
        """Return the line with the gain and the count."""
        line = QtWidgets.QHBoxLayout()
        line.setContentsMargins(8, 2, 14, 2)
        line.setSpacing(2)
        for text, keys, tip, todo in (
            ("\N{MINUS SIGN}", "Down", "Less gain; also the wheel", lambda: self._zoom(1 / _STEP)),
            ("+", "Up", "More gain; also the wheel", lambda: self._zoom(_STEP)),
            ("Fit", "F", "Let panels reach as far as the sweeps do", self._fit),
        ):
            action = self.add_action(text, keys, tip)
            action.triggered.connect(todo)
            self.tools.removeAction(action)
            button = QtWidgets.QToolButton()
            button.setDefaultAction(action)
            button.setAutoRaise(True)
            button.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
            line.addWidget(button)
        for label, tip in (
            (self.scale, "How far panels reach to either side of their centre"),
            (
                self.count,
                "Sweeps that are drawn, of those since the last reset; triggers are missed whose "
                "samples are lost, or not kept any more",
            ),
        ):
            label.setTextFormat(QtCore.Qt.TextFormat.PlainText)
            label.setContentsMargins(10, 0, 4, 0)
            label.setToolTip(tip)
            line.addWidget(label)
            line.addStretch(1)
        line.takeAt(line.count() - 1)
        return line

    def _toggle(self, name: str, text: str, keys: str, tip: str) -> QtWidgets.QAction:
        action = self.add_action(text, keys, tip)
        action.setCheckable(True)
        action.triggered.connect(lambda on: self.change(**{name: bool(on)}))
        return action

    def _add_fields(self) -> None:
        bar = QtWidgets.QToolBar(self)
        self.before = _number(0, 60, 3, " s", "How much is shown before a trigger")
        self.after = _number(0.001, 60, 3, " s", "How much is shown after a trigger")
        self.last = QtWidgets.QSpinBox()
        self.last.setRange(1, 500)
        self.last.setToolTip("How many sweeps are kept")
        self.trigger = _choice({"events": "events", "channel": "a channel"}, "What triggers (T)")
        self.select = QtWidgets.QLineEdit()
        self.select.setPlaceholderText("all texts")
        self.select.setToolTip("Regular expression that the whole text of an event matches")
        self.channel = _choice({}, "The channel that triggers")
        self.channel.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.direction = _choice(
            {"rising": "rises to", "falling": "falls below", "both": "crosses"}, "What triggers"
        )
        self.level = _number(-1e12, 1e12, 4, "", "The level that triggers, in the channel's unit")
        parts: tuple[str | QtWidgets.QWidget, ...] = (
            "from -", self.before, "to", self.after, "  last", self.last, "  trigger: ",
            self.trigger, self.select, self.channel, self.direction, self.level,
        )  # fmt: skip
        shown = [bar.addWidget(QtWidgets.QLabel(p) if isinstance(p, str) else p) for p in parts]
        self._fields_of = {"events": shown[-4:-3], "channel": shown[-3:]}
        self.body.addWidget(bar)
        for field, name in ((self.before, "before"), (self.after, "after"), (self.level, "level")):
            field.editingFinished.connect(lambda f=field, n=name: self._enter(n, f.value()))
        self.last.editingFinished.connect(lambda: self._enter("n_sweeps", self.last.value()))
        self.select.editingFinished.connect(lambda: self._enter("select", self.select.text()))
        for choice, name in ((self.trigger, "trigger"), (self.direction, "direction")):
            choice.activated.connect(lambda _, c=choice, n=name: self._enter(n, c.currentData()))
        self.channel.activated.connect(lambda at: self._enter("channel", self.channel.itemText(at)))
        other = self.add_action("Trigger", "T", "Events trigger, or a channel")
        other.triggered.connect(self._other_trigger)
        self.tools.removeAction(other)

    def _enter(self, name: str, value: Any) -> None:
        # A field that is left unchanged must not forget the sweeps.
        if self.settings.parameters[name] != value:
            self.change(**{name: value})

    def _other_trigger(self) -> None:
        self.change(trigger="events" if self.settings.trigger == "channel" else "channel")

    def _start_or_stop(self) -> None:
        self._sweeps.take_triggers(not self._sweeps.is_taking)
        self.taking.setText("Stop" if self._sweeps.is_taking else "Start")

    def _zoom(self, gain: float) -> None:
        self.change(half_range=float(f"{self.canvas.half_range / gain:.4g}"))

    def _fit(self) -> None:
        self.change(half_range=0.0)

    def _show_parameters(self) -> None:
        settings = self.settings
        for name, action in self._toggles.items():
            action.setChecked(getattr(settings, name))
        self._stacked.setChecked(settings.view == "stacked")
        self.before.setValue(settings.before)
        self.after.setValue(settings.after)
        self.last.setValue(settings.n_sweeps)
        self.level.setValue(settings.level)
        self.select.setText(settings.select)
        self.trigger.setCurrentIndex(self.trigger.findData(settings.trigger))
        self.direction.setCurrentIndex(self.direction.findData(settings.direction))
        for trigger, fields in self._fields_of.items():
            for field in fields:
                if field is not None:
                    field.setVisible(settings.trigger == trigger)
        self._show_channels([self.channel.itemText(k) for k in range(self.channel.count())])

    def _show_channels(self, names: list[str]) -> None:
        if names != [self.channel.itemText(k) for k in range(self.channel.count())]:
            self.channel.clear()
            self.channel.addItems(names)
        wanted = self.settings.channel
        at = wanted if isinstance(wanted, int) else self.channel.findText(wanted)
        self.channel.setCurrentIndex(at % len(names) if at < 0 and names and wanted != "" else at)


def _number(
    least: float, most: float, decimals: int, unit: str, tip: str
) -> QtWidgets.QDoubleSpinBox:
    field = QtWidgets.QDoubleSpinBox()
    field.setDecimals(decimals)
    field.setRange(least, most)
    field.setSingleStep(0.1)
    field.setStepType(QtWidgets.QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
    field.setSuffix(unit)
    field.setToolTip(tip)
    field.setMaximumWidth(110)
    return field


def _choice(items: dict[str, str], tip: str) -> QtWidgets.QComboBox:
    field = QtWidgets.QComboBox()
    for value, text in items.items():
        field.addItem(text, value)
    field.setToolTip(tip)
    return field

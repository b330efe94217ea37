"""The oscilloscope: traces of signals over the last seconds, with markers."""

from __future__ import annotations

import math

import numpy as np

from rigmesh.node import Node
from rigmesh.viewers.trace_looks import Look, analog_look, changed_entry
from rigmesh.viewers.trace_panel import TracePanel
from rigmesh.viewers.trace_scales import Scale, robust
from rigmesh.viewers.trace_window import TraceWindow

__all__ = ["Oscilloscope"]

_TURN = 1.25
_SCALES = {"same": "alike", "by channel": "each", "real": "real"}
_MEASURED_AT = (0.0, 0.2, 2.0)
"""Seconds of signal at which the automatic scale is found anew."""
_MEASURED_OVER = 10.0


class Oscilloscope(TraceWindow):
    """Draws `viewers.Oscilloscope`."""

    keys = TraceWindow.keys + " · + −: gain · shift+↑ ↓: gain of the channel · alt+↑ ↓: its offset"

    def __init__(self, settings: Node) -> None:
        self._found: dict[str, tuple[int, int, Scale]] = {}
        super().__init__(settings)

    def add_controls(self) -> None:
        """Add what changes the scale."""
        auto = self.add_action("Auto scale", "A", "Scale by median and deviation of what is shown")
        auto.triggered.connect(self.auto_scale)
        self._scale = self.add_action(
            "Scale", "S", "All channels alike, each by itself, or on one axis in their unit"
        )
        self._scale.triggered.connect(self._other_scale)
        self.add_action("−", "", "Smaller (−)").triggered.connect(lambda: self.turn_gain(-1))
        self.add_action("+", "", "Larger (+)").triggered.connect(lambda: self.turn_gain(1))

    def make_look(self, panel: TracePanel, height: float) -> Look:
        """Return how a signal looks."""
        info = panel.follower.sink.buffer.info
        if info is None:
            return Look()
        found = self._found.get(panel.stream)
        fits = found is not None and len(found[2].medians) == info.n_channels
        scale = found[2] if found is not None and fits else None
        return analog_look(info, panel.stream, self.settings, panel.theme, scale, height)

    def watch(self, panel: TracePanel) -> None:
        """Find an automatic scale as soon as there is something to find it from."""
        buffer = panel.follower.sink.buffer
        duration = panel.follower.duration
        if math.isnan(duration):
            return
        generation, level, _ = self._found.get(panel.stream, (-1, 0, None))
        if generation != buffer.generation:
            level = 0
        elif level == len(_MEASURED_AT):
            return
        reached = sum(duration >= least for least in _MEASURED_AT)
        if reached > level:
            self._measure(panel, reached)

    def auto_scale(self) -> None:
        """Forget gains, offsets and spans, and find them from what is shown."""
        for panel in self.panels.values():
            if panel.follower.n_channels:
                self._measure(panel, len(_MEASURED_AT))
        self.change(gain=1.0, gains={}, offsets={}, spans={}, ranges={})

    def turn_gain(self, steps: float, name: str = "") -> None:
        """Enlarge traces, of all channels or of one."""
        if not name:
            self.change(gain=_turned(self.settings.gain, steps))
            return
        gains = self.settings.gains
        turned = _turned(gains.get(name, 1.0), steps)
        self.change(gains=changed_entry(gains, name, turned, 1.0))

    def move_offset(self, name: str, by: float) -> None:
        """Shift the trace of a channel, in its unit."""
        found = self.row_of(name)
        if not by or found is None:
            return
        panel, row = found
        channel = int(panel.look.rows.channels[row])
        measured = self._found.get(panel.stream)
        median = measured[2].medians[channel] if measured is not None else 0.0
        now = self.settings.offsets.get(name, -float(np.nan_to_num(median)))
        self.change(offsets={**self.settings.offsets, name: float(f"{now + by:.6g}")})

    def _measure(self, panel: TracePanel, level: int) -> None:
        generation = panel.follower.sink.buffer.generation
        samples = panel.follower.recent(min(_MEASURED_OVER, self.settings.seconds))
        self._found[panel.stream] = (generation, level, robust(samples))
        panel.look_anew()

    def _other_scale(self) -> None:
        scales = list(_SCALES)
        self.change(scale=scales[(scales.index(self.settings.scale) + 1) % len(scales)])

    def _name_actions(self) -> None:
        super()._name_actions()
        self._scale.setText(f"Scale: {_SCALES[self.settings.scale]}")


def _turned(value: float, steps: float) -> float:
    return float(f"{min(1e9, max(1e-9, value * _TURN**steps)):.4g}")

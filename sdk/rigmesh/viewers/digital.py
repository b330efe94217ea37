"""The digital oscilloscope: bits over the last seconds."""

from __future__ import annotations

from rigmesh.node import Node
from rigmesh.viewers.trace_looks import Look, digital_look
from rigmesh.viewers.trace_panel import TracePanel
from rigmesh.viewers.trace_sinks import BitSink, TraceSink
from rigmesh.viewers.trace_window import TraceWindow

__all__ = ["DigitalOscilloscope"]


class DigitalOscilloscope(TraceWindow):
    """Draws `viewers.DigitalOscilloscope`."""

    style_of_lines = "steps"

    def __init__(self, settings: Node) -> None:
        self._n_active: dict[str, int] = {}
        super().__init__(settings)

    def add_controls(self) -> None:
        """Add what chooses bits."""
        self._active = self.add_action("Active only", "B", "Leave out bits that never changed")
        self._active.setCheckable(True)
        self._active.triggered.connect(lambda on: self.change(only_active=bool(on)))

    def make_sink(self) -> TraceSink:
        """Return what keeps the bits of a stream."""
        settings = self.settings
        return BitSink(self.kept_seconds, read_as=settings.read_as, level=settings.level)

    def make_look(self, panel: TracePanel, height: float) -> Look:
        """Return how bits look."""
        sink = panel.follower.sink
        info = sink.buffer.info
        if info is None or not isinstance(sink, BitSink) or len(sink.active) != info.n_channels:
            return Look()
        return digital_look(info, panel.stream, self.settings, panel.theme, sink.active, height)

    def watch(self, panel: TracePanel) -> None:
        """See whether more bits are active."""
        sink = panel.follower.sink
        if isinstance(sink, BitSink):
            n = int(sink.active.sum())
            if self._n_active.get(panel.stream) != n:
                self._n_active[panel.stream] = n
                panel.look_anew()

    def turn_gain(self, steps: float, name: str = "") -> None:
        """Show less time: bits have no gain."""
        self.turn_time(steps)

    def applied(self, names: set[str]) -> None:
        """Draw by the new parameters."""
        if names & {"read_as", "level"}:
            for panel in self.panels.values():
                if isinstance(panel.follower.sink, BitSink):
                    panel.follower.sink.read_as(self.settings.read_as, self.settings.level)
        super().applied(names)

    def _name_actions(self) -> None:
        super()._name_actions()
        self._active.setChecked(self.settings.only_active)

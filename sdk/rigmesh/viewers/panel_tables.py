"""The tables of a panel: hosts, streams, recorders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PyQt5 import QtCore, QtWidgets

from rigmesh.viewers.panel_items import told_rate
from rigmesh.viewers.panel_model import HostView, NodeView, Rates, verdict_of
from rigmesh.viewers.panel_table import Cell, Table
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import ReaderCounters, StreamInfo

__all__ = ["HostTable", "RecorderTable", "StreamTable", "told_span"]


class HostTable(Table):
    """The machines, and how they are."""

    def __init__(self) -> None:
        super().__init__(
            "Hosts",
            ("host", "state", "version", "clock", "CPU", "memory", "nodes", "running for", "owner"),
            ("CPU", "memory", "nodes", "running for"),
        )
        self.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)

    def show_hosts(self, views: Sequence[HostView]) -> None:
        """Show them."""
        self.show_rows([(view.key or "here", self._row(view)) for view in views])

    @staticmethod
    def _row(view: HostView) -> list[Cell]:
        status = view.status
        name = Cell(view.name, tip=view.address() or "this machine")
        if not view.is_live:
            role = "bad" if view.link == "gone" else "soft"
            state = Cell("gone" if view.link == "gone" else "waiting", role, view.why)
            return [name, state, *(Cell("") for _ in range(6)), Cell(view.why, "soft")]
        failed = sum(node.state == pb.NODE_STATE_FAILED for node in status.nodes)
        state = Cell(f"{status.state}, {failed} failed", "bad") if failed else Cell(
            status.state, "good" if status.state == "running" else "soft"
        )  # fmt: skip
        return [
            name, state, Cell(status.version, "soft"), Cell(view.clock, "soft"),
            Cell(f"{view.cpu:.0f} %"), Cell(f"{view.memory / 2**20:,.0f} MB"),
            Cell(str(len(status.nodes))),
            Cell(told_span(status.run_time) if status.run_time else "–"),
            Cell(status.owner or "nobody", "ink" if status.owner else "soft"),
        ]  # fmt: skip


class StreamTable(Table):
    """The streams: rates, lag of who reads them, gaps."""

    def __init__(self) -> None:
        super().__init__(
            "Streams",
            ("stream", "format", "rate", "samples", "lag", "gaps", "slowest reader"),
            ("rate", "samples", "lag", "gaps"),
        )
        self._rates = Rates()

    def show_hosts(self, views: Sequence[HostView]) -> None:
        """Show those of all hosts."""
        several = sum(bool(view.status.nodes) for view in views) > 1
        self.show_rows([row for n, view in enumerate(views) for row in
                        self._rows(n, view, several=several)])  # fmt: skip

    def _rows(
        self, number: int, view: HostView, *, several: bool
    ) -> Iterator[tuple[str, list[Cell]]]:
        infos = {info.name: info for info in view.status.streams}
        readers: dict[str, list[ReaderCounters]] = {}
        for each in view.status.reader_counters:
            readers.setdefault(each.stream, []).append(each)
        for counters in view.status.stream_counters:
            name = counters.stream
            key = f"{number}/{name}"
            info = infos.get(name)
            rate = self._rates.rate(key, counters.produced, counters.time)
            causes = {"at the source": counters.lost} if counters.lost else {}
            for reader in readers.get(name, []):
                for cause, count in reader.lost.items():
                    if count:
                        causes[f"{reader.reader}, {cause}"] = count
            worst = max(readers.get(name, []), key=lambda r: r.fill, default=None)
            yield (
                key,
                [
                    Cell(f"{view.name} · {name}" if several else name),
                    Cell(_format_of(info) if info else "", "soft"),
                    Cell(
                        told_rate(rate), "ink" if rate else "soft", _declared(info) if info else ""
                    ),
                    Cell(f"{counters.produced:,}"),
                    _lag_of(worst),
                    _gaps_of(causes),
                    Cell(worst.reader if worst else "", "soft"),
                ],
            )


class RecorderTable(Table):
    """The recorders: whether all is well, the file, the disk."""

    def __init__(self) -> None:
        super().__init__(
            "Recorders",
            ("recorder", "verdict", "written", "disk lasts", "behind", "alarms", "file"),
            ("written", "disk lasts", "behind"),
        )

    def show_nodes(self, nodes: Iterable[NodeView]) -> None:
        """Show those that record."""
        self.show_rows([(node.key, self._row(node)) for node in nodes if node.is_recorder])

    @staticmethod
    def _row(node: NodeView) -> list[Cell]:
        states, report = node.states, node.report
        verdict = verdict_of(node)
        good = verdict in ("OK", "recording")
        wrong = node.state == "failed" or verdict not in (
            "OK", "recording", "idle", "paused", "stopped", "sealing", "not known"
        )  # fmt: skip
        left = float(states.get("free_seconds", -1.0))
        path = str(report.get("path", "") or node.parameters.get("path", ""))
        alarms = [str(alarm) for alarm in states.get("alarms", [])]
        behind = float(states.get("lag", 0.0))
        part = int(states.get("part", 0))
        return [
            Cell(node.name),
            Cell(verdict, "bad" if wrong else "good" if good else "soft"),
            Cell(f"{float(states.get('written_mb', 0.0)):,.1f} MB"),
            Cell(told_span(left) if left >= 0 else "–", "warn" if 0 <= left < 600 else "ink"),
            Cell(f"{behind:.1f} s", "warn" if behind > 1 else "ink"),
            Cell("; ".join(alarms) or "none", "bad" if alarms else "soft"),
            Cell(f"{Path(path).name}{f', part {part}' if part > 1 else ''}", "soft", path),
        ]


def told_span(seconds: float) -> str:
    """Return a time span in words.

    Examples
    --------
    >>> told_span(75), told_span(7384), told_span(200000)
    ('1:15', '2:03:04', '2 days')
    """
    if seconds > 86_400:
        return f"{seconds / 86_400:.0f} days"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _format_of(info: StreamInfo) -> str:
    if info.kind == "markers":
        return "markers"
    shape = "×".join(map(str, info.sample_shape)) or "1"
    return f"{shape} ch {info.dtype}" if info.kind == "signal" else f"{shape} {info.dtype}"


def _declared(info: StreamInfo) -> str:
    return f"declared: {info.sampling_rate:g} Hz" if info.sampling_rate else "irregular"


def _lag_of(worst: ReaderCounters | None) -> Cell:
    if worst is None:
        return Cell("–", "faint", "nobody reads it through shared memory")
    role = "bad" if worst.fill > 0.4 else "warn" if worst.fill > 0.2 else "ink"
    most = f"at most {worst.max_lag:,} samples"
    return Cell(f"{worst.lag:,} ({worst.fill:.0%})", role, f"{worst.reader}: {most}")


def _gaps_of(causes: dict[str, int]) -> Cell:
    if not causes:
        return Cell("0", "soft")
    tip = "\n".join(f"{cause}: {count:,}" for cause, count in causes.items())
    return Cell(f"{sum(causes.values()):,}", "bad", tip)

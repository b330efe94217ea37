"""The live table of a running graph."""

from __future__ import annotations

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import ReaderCounters

__all__ = ["StatusTable"]

_COLOURS = {
    pb.NODE_STATE_RUNNING: "green",
    pb.NODE_STATE_FAILED: "bold red",
    pb.NODE_STATE_STOPPED: "dim",
    pb.NODE_STATE_ENDED: "cyan",
}
_RATE_OVER = 2.0


class StatusTable:
    """Draws statuses; rates are taken over the last two seconds."""

    def __init__(self) -> None:
        self._history: dict[str, list[tuple[float, int]]] = {}

    def draw(self, status: pb.Status) -> Group:
        """Return nodes with their streams, readers and processes as tables."""
        return Group(self._streams(status), self._processes(status))

    def _streams(self, status: pb.Status) -> Table:
        table = Table(expand=False, pad_edge=False, box=None, header_style="bold")
        for column, justify in (
            ("node", "left"), ("state", "left"), ("stream", "left"), ("rate", "right"),
            ("samples", "right"), ("lag", "right"), ("gaps", "right"),
            ("latency p50 / p99", "right"),
        ):  # fmt: skip
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        counters = {c.stream: c for c in status.stream_counters}
        infos = {i.name: i for i in status.streams}
        for node in status.nodes:
            state = pb.NodeState.Name(node.state).removeprefix("NODE_STATE_").lower()
            shown = f"[{_COLOURS.get(node.state, 'white')}]{state}[/]"
            reads = [
                r for r in status.reader_counters if r.reader.partition(".")[0] == node.spec.name
            ]
            lag = self._lag(reads)
            gaps = sum(sum(r.lost.values()) for r in reads)
            missing = f"[bold red]{gaps}[/]" if gaps else "0" if reads else ""
            rows = [counters[s] for s in node.outputs if s in counters and s in infos]
            place = f" [dim]on {escape(node.spec.host)}[/]" if node.spec.host else ""
            name = escape(node.spec.name) + place
            latency = self._latency(status, node.spec.name)
            if not rows:
                got = sum(r.delivered for r in reads)
                counted = max((r.time for r in reads), default=0.0)
                rate = self._rate(node.spec.name, got, counted)
                table.add_row(name, shown, "", rate, f"{got:,}", lag, missing, latency)
            for row in rows:
                table.add_row(
                    name,
                    shown,
                    escape(row.stream.partition(".")[2]),
                    self._rate(row.stream, row.produced, row.time),
                    f"{row.produced:,}",
                    lag,
                    f"[bold red]{gaps + row.lost}[/]" if gaps + row.lost else "0",
                    latency,
                )
                name = shown = lag = latency = ""
            if node.HasField("failure"):
                table.add_row("", "", Text(node.failure.message, style="red"))
        return table

    def _latency(self, status: pb.Status, node: str) -> str:
        mine = [c for c in status.node_counters if c.node == node and c.chunks]
        if not mine:
            return ""
        worst = max(mine, key=lambda c: c.latency_p99)
        late = f" [bold red]{worst.late} late[/]" if worst.late else ""
        return f"{_time(worst.latency_p50)} / {_time(worst.latency_p99)}{late}"

    def _lag(self, readers: list[ReaderCounters]) -> str:
        if not readers:
            return ""
        worst = max(readers, key=lambda r: r.fill)
        colour = "red" if worst.fill > 0.4 else "yellow" if worst.fill > 0.2 else ""
        text = f"{worst.lag:,} ({worst.fill:.0%})"
        return f"[{colour}]{text}[/]" if colour else text

    def _rate(self, key: str, count: int, now: float) -> str:
        # By the time of the counts, which are made anew a few times a second only.
        history = self._history.setdefault(key, [])
        if not history or history[-1][0] < now:
            history.append((now, count))
        while len(history) > 2 and now - history[0][0] > _RATE_OVER:
            history.pop(0)
        (first, begin), (last, end) = history[0], history[-1]
        return f"{(end - begin) / (last - first):,.1f} Hz" if last > first else ""

    def _processes(self, status: pb.Status) -> Text:
        parts = [f"{status.host}: {status.state} {status.run_time:.0f} s"]
        parts += [
            f"{p.name} {p.cpu_percent:.0f} % {p.memory_bytes / 2**20:.0f} MB"
            + (f", load {p.counters.load:.0%}" if p.counters.load >= 0.005 else "")
            + (f", {p.restarts} restarts" if p.restarts else "")
            + ("" if p.alive else " (ended)")
            for p in status.processes
        ]
        return Text("\n" + " · ".join(parts), style="dim")


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"

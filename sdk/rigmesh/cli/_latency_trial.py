"""Runs a graph for a while and takes its latencies."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rigmesh.cli._latency_graph import ASIDE
from rigmesh.cli._latency_report import Link, Load, Measurement, Place, limits_of
from rigmesh.cli._latency_trips import LATEST, RoundTrip
from rigmesh.cli.console import OUT
from rigmesh.client import Manager
from rigmesh.client.live import Latency
from rigmesh.errors import RigmeshError
from rigmesh.graph import GraphSpec
from rigmesh.graph.spec import LatencySpec
from rigmesh.node.histogram import Histogram
from rigmesh.streams import local_clock
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Trial"]

_LOOK = 0.25
_OVER = (pb.NODE_STATE_STOPPED, pb.NODE_STATE_FAILED)


@dataclass
class _Counts:
    """What had been counted at a moment."""

    time: float = 0.0
    latencies: dict[tuple[str, str, str], Latency] = field(default_factory=dict)
    status: pb.Status = field(default_factory=pb.Status)


class Trial:
    """One run of a graph that a manager has loaded.

    Parameters
    ----------
    manager : Manager
        With the graph.
    graph : GraphSpec
        The same, as it was loaded.
    options : LatencySpec
        How to try it out.
    trips : dict of str to (str, str)
        For each node that an output is looped back to the streams of what goes out and in.
    quiet : bool
        Show no progress.
    """

    def __init__(
        self,
        manager: Manager,
        graph: GraphSpec,
        options: LatencySpec,
        trips: Mapping[str, tuple[str, str]],
        *,
        quiet: bool,
    ) -> None:
        self._manager = manager
        self._graph = graph
        self._options = options
        self._trips = {name: RoundTrip(*streams) for name, streams in trips.items()}
        self._is_shown = OUT.is_terminal and not quiet
        self._troubles: list[str] = []

    def run(self, duration: float) -> Measurement:
        """Start, warm up, measure for some seconds or until Ctrl-C, stop."""
        before = _Counts()
        OUT.print("starting … (Ctrl-C stops and tells what was measured)", style="dim")
        try:
            self._manager.start_all()
            for trip in self._trips.values():
                trip.open(self._manager)
            OUT.print(f"measuring {duration:g} s", style="dim")
            before = _Counts(local_clock())
            self._wait(self._options.warm_up, "warming up")
            before = self._count()
            self._wait(duration, "measuring")
        except KeyboardInterrupt:
            OUT.print("stopping …", style="dim")
        after = self._count()
        self._await_trips(after.time)
        try:
            self._manager.stop_all()
        except RigmeshError as error:
            self._troubles.append(str(error))
        self._look_back()
        return Measurement(
            graph=self._graph.name,
            duration=after.time - before.time if before.time else 0.0,
            nodes=self._nodes(before, after),
            trips=[self._trip(name, before.time, after.time) for name in self._trips],
            links=list(_links(before, after)),
            loads=list(_loads(before.status, after.status)),
            troubles=self._troubles,
        )

    # --- while it runs -----------------------------------------------------------------------

    def _wait(self, seconds: float, what: str) -> None:
        """Let it run for some time, or until it is over or something fails."""
        begin = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        # Redrawing takes from the machine that is measured.
        progress = Progress(
            *columns, console=OUT, transient=True, disable=not self._is_shown, refresh_per_second=4
        )
        with progress:
            task = progress.add_task(what, total=seconds)
            while (rest := begin + seconds - time.monotonic()) > 0:
                time.sleep(min(_LOOK, rest))
                progress.update(task, completed=time.monotonic() - begin)
                for trip in self._trips.values():
                    trip.collect()
                states = [node.state for node in self._manager.status().nodes]
                if pb.NODE_STATE_FAILED in states or all(state in _OVER for state in states):
                    return

    def _count(self) -> _Counts:
        found = self._manager.latencies()
        latencies = {(each.process, each.reader, each.stream): each for each in found}
        return _Counts(local_clock(), latencies, self._manager.status())

    def _await_trips(self, end: float) -> None:
        """Let come back what is on its way."""
        latest = time.monotonic() + LATEST
        for trip in self._trips.values():
            trip.collect()
            while not trip.is_complete(end) and time.monotonic() < latest:
                time.sleep(0.02)
                trip.collect()

    # --- afterwards --------------------------------------------------------------------------

    def _look_back(self) -> None:
        """See which nodes failed and how recordings went, and remove these."""
        for name, handle in self._manager.nodes.items():
            error, report = handle.error, handle.report
            if error is not None:
                self._troubles.append(f"{name} failed: {error}")
            verdict = report.get("verdict", "OK")
            if verdict != "OK":
                self._troubles.append(f"{name}: its recording is {verdict}")
            if "path" in report:
                _remove(Path(str(report["path"])))
        self._troubles += [
            f"process {process.name} was restarted {process.restarts} times"
            for process in self._manager.status().processes
            if process.restarts
        ]

    def _nodes(self, before: _Counts, after: _Counts) -> list[Place]:
        places = []
        for key, latency in after.latencies.items():
            if latency.stream:
                continue
            earlier = before.latencies.get(key)
            limits = limits_of(self._options.limits, latency.reader)
            late = latency.late - (earlier.late if earlier is not None else 0)
            places.append(
                Place(latency.reader, latency.process, _since(latency, earlier), limits, late)
            )
        order = list(self._graph.nodes)
        known = {name: at for at, name in enumerate(order)}
        return sorted(places, key=lambda place: known.get(place.name.partition(".")[0], len(order)))

    def _trip(self, name: str, begin: float, end: float) -> Place:
        histogram, n_missing = self._trips[name].histogram(begin, end)
        limits = self._options.round_trips.get(name, {})
        return Place(f"{self._trips[name].output} → {self._trips[name].into}", "", histogram,
                     limits, missing=n_missing)  # fmt: skip


def _remove(path: Path) -> None:
    """Remove the recording of a trial, and what was left of one that failed."""
    from rigmesh.recording import capture_folder
    from rigmesh.recording.summary import record_file

    if path.name.startswith(ASIDE):  # any other is not ours
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            record_file(path).unlink(missing_ok=True)
        shutil.rmtree(capture_folder(path), ignore_errors=True)


def _since(now: Latency, before: Latency | None) -> Histogram:
    if before is None:
        return now.histogram
    found = now.histogram.since(before.histogram.counts)
    # A process that was restarted began anew.
    return Histogram([max(0, count) for count in found.counts])


def _links(before: _Counts, after: _Counts) -> Iterator[Link]:
    readers = {(r.reader, r.stream): dict(r.lost) for r in after.status.reader_counters}
    told = {stream for (_, stream), lost in readers.items() if any(lost.values())}
    for key, latency in after.latencies.items():
        if latency.stream:
            lost = readers.pop((latency.reader, latency.stream), {})
            histogram = _since(latency, before.latencies.get(key))
            yield Link(latency.stream, latency.reader, histogram, _kept(lost))
    for (reader, stream), lost in readers.items():
        if any(lost.values()):
            yield Link(stream, reader, Histogram(), _kept(lost))
    for counters in after.status.stream_counters:
        if counters.lost and counters.stream not in told:
            yield Link(counters.stream, "", Histogram(), {"device": counters.lost})


def _kept(lost: Mapping[str, int]) -> dict[str, int]:
    return {cause: count for cause, count in lost.items() if count}


def _loads(before: pb.Status, after: pb.Status) -> Iterator[Load]:
    earlier = {process.name: process.counters for process in before.processes}
    for process in after.processes:
        now, then = process.counters, earlier.get(process.name, pb.ProcessCounters())
        yield Load(
            process.name,
            now.load,
            now.busiest,
            now.busiest_load,
            max(0, now.involuntary_switches - then.involuntary_switches),
            max(0, now.deadline_misses - then.deadline_misses),
        )

"""What ``rigmesh latency`` has measured, and what of it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rigmesh.node.histogram import Histogram

__all__ = ["PERCENTILES", "Link", "Load", "Measurement", "Place", "limits_of", "told"]

PERCENTILES: Mapping[str, float] = {
    "p50": 50.0,
    "p90": 90.0,
    "p99": 99.0,
    "p99.9": 99.9,
    "max": 100.0,
}


def told(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    Examples
    --------
    >>> told(0.0000123), told(0.0123), told(1.5), told(2e-10)
    ('12.3 µs', '12.3 ms', '1.5 s', '0.2 ns')
    """
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


@dataclass(frozen=True)
class Place:
    """Latencies at one place: an input of a node, or a round trip.

    Parameters
    ----------
    name : str
        The input, ``node.port``; of a round trip the node that reads.
    process : str
        Where it runs.
    histogram : Histogram
        What was counted.
    limits : dict of str to float
        The longest that pass, in seconds, by percentile.
    late : int
        Chunks that missed the deadline of the group.
    missing : int
        Of a round trip: what never came back.
    """

    name: str
    process: str
    histogram: Histogram
    limits: Mapping[str, float] = field(default_factory=dict)
    late: int = 0
    missing: int = 0

    def at(self, percentile: str) -> float:
        """Return the latency at a percentile, in seconds."""
        return self.histogram.percentile(PERCENTILES[percentile])

    @property
    def broken(self) -> list[str]:
        """The percentiles whose limit is not held."""
        return [p for p in PERCENTILES if p in self.limits and self.at(p) > self.limits[p]]

    @property
    def is_ok(self) -> bool:
        """Whether all limits are held, by something that was measured."""
        has_any = self.histogram.total > 0 or not self.limits
        return has_any and not self.broken and not self.missing

    def failures(self) -> Iterator[str]:
        """Yield what fails."""
        for percentile in self.broken:
            found, limit = self.at(percentile), self.limits[percentile]
            yield (
                f"{self.name}: {percentile} is {told(found)}, {told(found - limit)} over the limit "
                f"of {told(limit)}"
            )
        if self.missing:
            n_all = self.missing + self.histogram.total
            yield f"{self.name}: {self.missing} of {n_all} messages never came back"
        elif self.limits and not self.histogram.total:
            yield f"{self.name}: nothing came, so its limits cannot be held"

    def to_dict(self) -> dict[str, Any]:
        """Return everything; only JSON types."""
        return {
            "name": self.name,
            "process": self.process,
            "n_chunks": self.histogram.total,
            **{percentile: self.at(percentile) for percentile in PERCENTILES},
            "limits": dict(self.limits),
            "is_ok": self.is_ok,
            "n_late": self.late,
            "n_missing": self.missing,
            "bins": [list(each) for each in self.histogram.bins()],
        }


@dataclass(frozen=True)
class Link:
    """A reader of a stream, and how long chunks took through the ring to it.

    Parameters
    ----------
    stream, reader : str
        What it reads, and who; the reader is empty for what the source of the stream lost.
    histogram : Histogram
        From publishing until the reader had it.
    lost : dict of str to int
        Samples by cause.
    """

    stream: str
    reader: str
    histogram: Histogram
    lost: Mapping[str, int] = field(default_factory=dict)

    def failures(self) -> Iterator[str]:
        """Yield what fails."""
        for cause, count in self.lost.items():
            by = f" by {self.reader}" if self.reader else ""
            yield f"{self.stream}: {count} samples lost{by} ({cause})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything; only JSON types."""
        return {
            "stream": self.stream,
            "reader": self.reader,
            "n_chunks": self.histogram.total,
            **{p: self.histogram.percentile(percent) for p, percent in PERCENTILES.items()},
            "lost": dict(self.lost),
            "bins": [list(each) for each in self.histogram.bins()],
        }


@dataclass(frozen=True)
class Load:
    """How busy a process was.

    Parameters
    ----------
    process : str
        Its name.
    load, busiest_load : float
        Part of the last seconds that its busiest lane, and the busiest node, spent on chunks.
    busiest : str
        That node.
    switches : int
        How often it was taken off its CPU.
    misses : int
        Chunks that missed the deadline.
    """

    process: str
    load: float
    busiest: str
    busiest_load: float
    switches: int
    misses: int


@dataclass(frozen=True)
class Measurement:
    """All that was measured.

    Parameters
    ----------
    graph : str
        Name of the graph.
    duration : float
        How long it was measured, in seconds.
    nodes, trips : list of Place
        Inputs of nodes, and round trips.
    links : list of Link
        Readers of rings.
    loads : list of Load
        Processes.
    troubles : list of str
        What else failed: nodes, recordings.
    """

    graph: str
    duration: float
    nodes: list[Place]
    trips: list[Place]
    links: list[Link]
    loads: list[Load]
    troubles: list[str] = field(default_factory=list)

    def failures(self) -> list[str]:
        """Return what fails, a line each; empty if all is well."""
        measured: list[Place | Link] = [*self.nodes, *self.trips, *self.links]
        return [*self.troubles, *(line for each in measured for line in each.failures())]

    def to_dict(self) -> dict[str, Any]:
        """Return everything; only JSON types."""
        return {
            "graph": self.graph,
            "duration": self.duration,
            "passed": not self.failures(),
            "failures": self.failures(),
            "nodes": [place.to_dict() for place in self.nodes],
            "round_trips": [place.to_dict() for place in self.trips],
            "links": [link.to_dict() for link in self.links],
            "processes": [vars(load) for load in self.loads],
        }


def limits_of(limits: Mapping[str, Mapping[str, float]], reader: str) -> Mapping[str, float]:
    """Return the limits of an input: of its own, else of its node, or of what that is one of.

    Examples
    --------
    >>> limits_of({"alpha": {"p50": 1.0}}, "alpha2.signal")
    {'p50': 1.0}
    """
    node = reader.partition(".")[0]
    for name in (reader, node, re.sub(r"\d+$", "", node)):
        if name in limits:
            return limits[name]
    return {}

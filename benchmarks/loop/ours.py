"""The graphs of the benchmark, run by a daemon in node groups as anybody's are."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from benchmarks.loop import nodes
from benchmarks.loop.cells import Hop, Loop
from benchmarks.loop.measured import HISTOGRAM, OURS, Figures, of_latencies
from benchmarks.loop.payload import Payload
from benchmarks.loop.processes import (
    ROOT,
    BenchError,
    Sent,
    Terminal,
    drive,
    raise_processes,
)

from rigmesh.client import Manager
from rigmesh.client.host import NodeGroup
from rigmesh.node.histogram import Histogram

__all__ = ["Rig", "Soaked", "figures_of"]

Graph = dict[str, Any]

_SAMPLES = 6
"""In a packet."""
_TOLD_WITHIN = 5.0
_PACED_RING = 1.0
"""Seconds that a ring of paced messages holds; 10 by default, but 600 MB are no small machine's."""


@dataclass(frozen=True)
class Soaked:
    """A long run of a closed loop.

    Parameters
    ----------
    sent : Sent
        What the sender did.
    packets : int
        Packets that were received.
    samples : int
        Samples handed to the detector.
    written : int
        Bytes that came out at the other end of the pty.
    histogram : Histogram
        From receiving a packet until the actuator was done.
    """

    sent: Sent
    packets: int
    samples: int
    written: int
    histogram: Histogram


class Rig:
    """A daemon of the benchmark's own, with its nodes beside the installed ones.

    Parameters
    ----------
    keep_groups : bool
        Run all graphs in the same processes, which saves starting them anew for each; figures of
        one graph then depend on those before.

    Attributes
    ----------
    manager : Manager
        Drives it.
    """

    def __init__(self, *, keep_groups: bool = False) -> None:
        self._keeps_groups = keep_groups
        self._ending = contextlib.ExitStack()
        try:
            self._folder = Path(
                self._ending.enter_context(tempfile.TemporaryDirectory(prefix="rigmesh-bench-"))
            )
            _install_nodes(self._folder)
            with _found_in(self._folder, ROOT):
                self.manager = self._ending.enter_context(Manager(private=True))
            self._inputs = {
                name: found["inputs"][0]["name"]
                for name, found in self.manager.node_types().items()
                if found["inputs"]
            }
        except BaseException:
            self._ending.close()
            raise

    def loop(self, cell: Loop, seconds: float) -> dict[str, Figures]:
        """Measure a closed loop, by a stopwatch beside the actuator and by rigmesh itself."""
        with Terminal() as terminal:
            path = self._folder / "latencies.json"
            graph = self._loop_graph(cell, terminal.path, path)
            with self._running(graph) as pids:
                states = self.manager.states
                port = states["source.udp_port"]
                sent = drive(port, cell.n_channels, cell.rate, seconds, pids)
                received = states["source.n_packets"]
                own = self._histogram("trigger.events")
            written = terminal.count()
        latencies = json.loads(path.read_text(encoding="ascii"))
        lost = sent.packets - received + abs(sent.events - written)
        return {
            OURS: of_latencies(latencies, cpu=sent.cpu, lost=lost),
            HISTOGRAM: own,
        }

    def soak(self, cell: Loop, seconds: float) -> Soaked:
        """Run a closed loop for long, and count everything."""
        with Terminal(is_drained=True) as terminal:
            graph = self._loop_graph(cell, terminal.path, self._folder / "latencies.json")
            with self._running(graph) as pids:
                states = self.manager.states
                port = states["source.udp_port"]
                sent = drive(port, cell.n_channels, cell.rate, seconds, pids)
                packets = states["source.n_packets"]
                samples = self._samples_at("level.signal", _SAMPLES * packets)
                histogram = self._latencies_of("trigger.events")
            written = terminal.count()
        return Soaked(sent, packets, samples, written, histogram)

    def hop(self, cell: Hop, seconds: float, *, wait: str = "block") -> Figures:
        """Measure a link from one group to another, which sleeps or spins for more."""
        payload = Payload.named(cell.payload)
        paths = {name: self._folder / f"{name}.json" for name in ("source", "sink")}
        graph = {
            "groups": {
                "first": {"buffer_seconds": _held(payload)},
                "second": {"wait": wait},
            },
            "nodes": {
                "source": {
                    "type": "bench.Pacer",
                    "group": "first",
                    "overflow": "drop" if payload.is_paced else "block",
                    "params": {
                        "payload": payload.name,
                        "seconds": seconds,
                        "path": str(paths["source"]),
                    },
                },
                "sink": {
                    "type": "bench.Summer",
                    "group": "second",
                    "inputs": {"messages": "source"},
                    "params": {"payload": payload.name, "path": str(paths["sink"])},
                },
            },
        }
        with self._running(graph):
            self.manager["sink"].wait("stopped", timeout=seconds + 30)
        sent, found = (json.loads(path.read_text(encoding="ascii")) for path in paths.values())
        return figures_of(payload, sent["sent"], sent["cpu"], found)

    def close(self) -> None:
        """End the daemon and everything it runs."""
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _running(self, graph: Graph) -> Iterator[list[int]]:
        """Run a graph; give the processes of its groups. It is gone afterwards."""
        path = self._folder / "graph.yaml"  # JSON is YAML
        path.write_text(json.dumps({"rigmesh": 1, **graph}), encoding="utf-8")
        manager = self.manager
        groups = list(graph["groups"])
        try:
            manager.load(path)
            with manager.running():
                # All threads are there by now. The daemon's, too: it asks the groups for counters.
                raise_processes(child.pid for child in psutil.Process().children(recursive=True))
                yield [p.pid for p in manager.status().processes if p.group in groups]
        finally:
            if self._keeps_groups:
                for name in reversed(graph["nodes"]):
                    manager.remove_node(name)
            else:
                for name in groups:
                    manager.remove_nodegroup(NodeGroup(manager.local, name))

    def _loop_graph(self, cell: Loop, device: str, path: Path) -> Graph:
        """Return the graph of a closed loop."""
        made: Graph = {
            "source": {
                "type": "bench.Packets",
                "params": {"n_channels": cell.n_channels, "rate": cell.rate},
            }
        }
        if cell.layout == "nodes":
            width = cell.pipelines
            ends = []
            for k in range(1, width + 1):
                made[f"share{k}"] = {
                    "type": "channels.Share",
                    "inputs": {"signal": "source"},
                    "params": {"k": k, "of": width},
                }
                ends.append(self._pipeline(made, cell, f"share{k}", f"_{k}"))
            made["sync"] = {"type": "event_logic.EventSync", "inputs": {"events": ends}}
            last = "sync"
        else:
            last = self._pipeline(made, cell, "source", "")
        made["trigger"] = {
            "type": "serial_ttl.SerialTTL",
            "inputs": {"events": last},
            "params": {"device": device},
        }
        made["stopwatch"] = {
            "type": "bench.Stopwatch",
            "inputs": {"fired": "trigger.fired"},
            "params": {"path": str(path)},
        }
        return {
            "groups": {"loop": {}},
            "nodes": {name: {**node, "group": "loop"} for name, node in made.items()},
        }

    def _pipeline(self, made: Graph, cell: Loop, before: str, suffix: str) -> str:
        """Add the stages of one pipeline and its detector; return the detector's name."""
        kind, params = self._stage(cell)
        for number in range(1, cell.stages + 1):
            name = f"stage{number}{suffix}"
            made[name] = {"type": kind, "inputs": {self._inputs[kind]: before}, "params": params}
            before = name
        made[f"level{suffix}"] = {
            "type": "detectors.LevelCrossing",
            "inputs": {"signal": before},
            "params": {"channels": [0], "level": 0.5},
        }
        return f"level{suffix}"

    def _stage(self, cell: Loop) -> tuple[str, Mapping[str, Any]]:
        if cell.layout == "biquads":  # of order 6: three sections
            return "filters.LowPass", {"cutoff": 0.4 * 6 * cell.rate, "order": 6}
        return "filters.FIR", {"coefficients": [0.99]}

    def _histogram(self, reader: str) -> Figures:
        """Return what rigmesh itself says of the chunks that came to an input."""
        histogram = self._latencies_of(reader)
        return Figures(*(1e6 * histogram.percentile(p) for p in (50, 99)))

    def _samples_at(self, reader: str, expected: int) -> int:
        """Return how many samples came to an input; its process tells that now and then."""
        deadline = time.monotonic() + _TOLD_WITHIN
        while True:
            counters = self.manager.status().reader_counters
            found = sum(one.delivered for one in counters if one.reader == reader)
            if found == expected or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def _latencies_of(self, reader: str) -> Histogram:
        for one in self.manager.latencies():
            if one.reader == reader and not one.stream:
                return one.histogram
        raise BenchError(f"rigmesh has no latencies of {reader}")


def figures_of(payload: Payload, sent: int, cpu: float, found: Mapping[str, Any]) -> Figures:
    """Return the figures of what was sent and what was found at the other end."""
    took = found["seconds"] or float("nan")
    received = found["received"]
    per_second = max(0, received - 1) / took
    return of_latencies(
        found["latencies"],
        0,
        rate=per_second * (payload.n_bytes / 1e6 if payload.name == "big" else 1),
        cpu=(cpu + found["cpu"]) / took,
        lost=sent - received,
    )


def _held(payload: Payload) -> float:
    """Return how many seconds a ring holds; flat out, as many messages as the bare one."""
    if payload.is_paced:
        return _PACED_RING
    return payload.n_slots * payload.n_samples / payload.sampling_rate


def _install_nodes(folder: Path) -> None:
    """Put an entry point where a daemon that has `folder` in its path finds it."""
    source = Path(nodes.__file__)
    # The version says when the nodes changed, since the daemon keeps the list of types.
    version = f"0.{source.stat().st_mtime_ns}"
    info = folder / f"rigmesh_bench-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: rigmesh-bench\nVersion: {version}\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        f"[rigmesh.nodes]\nbench = {nodes.__name__}\n", encoding="utf-8"
    )


@contextlib.contextmanager
def _found_in(*folders: Path) -> Iterator[None]:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, folders), *filter(None, [before])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before

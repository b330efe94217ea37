"""What a process of nodes counts, as others see it."""

from __future__ import annotations

import logging
import resource

from rigmesh.node import NodeRunner
from rigmesh.streams import local_clock
from rigmesh_daemon.group.nodes import GroupNodes
from rigmesh_daemon.group.tuning import Quiet
from rigmesh_proto.v1 import control_pb2, group_pb2

__all__ = ["GroupCounters", "latencies"]

_log = logging.getLogger(__name__)

_HEAVY, _LIGHT = 0.5, 0.4
_LONG_ENOUGH = 1.0
"""A lane is busy for good if it is for so long, in seconds."""


class GroupCounters:
    """Writes the page of counters, and says when a group has too much to do.

    Parameters
    ----------
    name : str
        Of the process.
    nodes : GroupNodes
        What to count.
    quiet : Quiet
        Counts collections of garbage.
    """

    def __init__(self, name: str, nodes: GroupNodes, quiet: Quiet) -> None:
        self._name = name
        self._nodes = nodes
        self._quiet = quiet
        self._works: dict[str, int] = {}
        self._time = local_clock()
        self._heavy_since: float | None = None
        self._has_warned = False

    def page(self) -> group_pb2.GroupPage:
        """Return all counters."""
        page = group_pb2.GroupPage(heartbeat=local_clock())
        runners = list(self._nodes.runners.values())
        remote = {s.name for s in self._nodes.subscriptions}
        for runner in runners:
            self._add_streams(page, runner)
            self._add_readers(page, runner, remote)
            if self._nodes.is_last(runner):
                self._add_latency(page, runner)
        for subscription in self._nodes.subscriptions:
            epoch, counters = subscription.counters()
            page.readers.add(
                stream=subscription.stream,
                reader=subscription.name,
                epoch=epoch,
                delivered=subscription.delivered,
                lost=dict(subscription.lost),
                lag=counters.lag if counters else 0,
                max_lag=counters.max_lag if counters else 0,
                fill=counters.fill if counters else 0.0,
                time=page.heartbeat,
            )
        page.process.CopyFrom(self._process(page.heartbeat, runners))
        page.process.deadline_misses = sum(node.late for node in page.nodes)
        return page

    def _add_streams(self, page: group_pb2.GroupPage, runner: NodeRunner) -> None:
        for output in runner.node.bound_outputs():
            page.streams.add(
                stream=output.stream,
                epoch=output.epoch,
                produced=output.index + output.lost,
                written=output.index,
                lost=output.lost,
                time=page.heartbeat,
            )

    def _add_readers(self, page: group_pb2.GroupPage, runner: NodeRunner, remote: set[str]) -> None:
        for port in runner.node.bound_inputs():
            name = f"{runner.name}.{port.name}"
            if name not in remote:
                for link in port.links:
                    page.readers.add(
                        stream=link.stream,
                        reader=name,
                        delivered=runner.meters[port.name].delivered,
                        time=page.heartbeat,
                    )

    def _add_latency(self, page: group_pb2.GroupPage, runner: NodeRunner) -> None:
        for port, meter in runner.meters.items():
            histogram = meter.latency
            page.nodes.add(
                node=runner.name,
                input=port,
                chunks=histogram.total,
                latency_p50=histogram.percentile(50),
                latency_p99=histogram.percentile(99),
                latency_max=histogram.largest / 1e9,
                late=meter.late,
            )

    # --- load --------------------------------------------------------------------------------

    def _process(self, now: float, runners: list[NodeRunner]) -> control_pb2.ProcessCounters:
        elapsed, self._time = max(now - self._time, 1e-3), now
        lanes: dict[int, float] = {}
        loads: dict[str, float] = {}
        for runner in runners:
            work = sum(meter.work for meter in runner.meters.values())
            before = self._works.get(runner.name, 0)
            self._works[runner.name] = work
            loads[runner.name] = max(0, work - before) / 1e9 / elapsed
            lanes[id(runner.lane)] = lanes.get(id(runner.lane), 0.0) + loads[runner.name]
        load = max(lanes.values(), default=0.0)
        busiest = max(loads, key=lambda name: loads[name], default="")
        self._watch(now, load, busiest, loads.get(busiest, 0.0))
        return control_pb2.ProcessCounters(
            load=load,
            busiest=busiest if loads.get(busiest) else "",
            busiest_load=loads.get(busiest, 0.0),
            involuntary_switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
            collections=self._quiet.collections,
        )

    def _watch(self, now: float, load: float, busiest: str, most: float) -> None:
        if load < _LIGHT:
            self._heavy_since, self._has_warned = None, False
        elif load > _HEAVY and self._heavy_since is None:
            self._heavy_since = now
        elif load > _HEAVY and not self._has_warned and self._is_long(now):
            self._has_warned = True
            _log.warning(
                "group %s works %.0f %% of the time, most of it (%.0f %%) in %s; chunks will be "
                "late. Move %s into a group of its own",
                self._name, 100 * load, 100 * most, busiest, busiest,
                extra={"node": busiest},
            )  # fmt: skip

    def _is_long(self, now: float) -> bool:
        return self._heavy_since is not None and now - self._heavy_since >= _LONG_ENOUGH


def latencies(process: str, nodes: GroupNodes) -> list[control_pb2.Latency]:
    """Return the histogram of every node's inputs and of every link through a ring."""
    found = [
        control_pb2.Latency(
            process=process,
            reader=f"{runner.name}.{port}",
            is_last=nodes.is_last(runner),
            counts=meter.latency.trimmed(),
            work=meter.work / 1e9,
            late=meter.late,
        )
        for runner in list(nodes.runners.values())
        for port, meter in runner.meters.items()
    ]
    found += [
        control_pb2.Latency(
            process=process,
            reader=subscription.name,
            stream=subscription.stream,
            counts=subscription.latency.trimmed(),
        )
        for subscription in nodes.subscriptions
    ]
    return found

"""The page of the rigs: hosts, graphs, health, disks, alarms."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.streams import local_clock
from rigmesh.web.pages import page
from rigmesh.web.sessions import require
from rigmesh.web.watch import HostView, is_recorder
from rigmesh_daemon.security.rules import Role
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["alarms_of", "host_json", "jsonable", "report_of", "routes", "state_of"]

_FULL = 0.4
_LEAST_FREE = 0.05
_UNCERTAIN = 2e-3


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [Route("/rigs", _page), Route("/api/rigs", _rigs)]


async def _page(request: Request) -> Response:
    return page(request, "rigs", "Rigs", styles=["rigs.css"])


@require(Role.VIEWER)
def _rigs(request: Request) -> Response:
    state = request.app.state
    views = state.rig.hosts()
    disks = [_disk(state.settings.recordings)] if state.settings.recordings is not None else []
    alarms = [alarm for view in views for alarm in alarms_of(view)]
    alarms += [
        {"level": "bad", "host": "", "what": disk["path"], "text": "the disk is nearly full"}
        for disk in disks
        if disk["free"] < _LEAST_FREE * disk["total"]
    ]
    return JSONResponse(
        {
            "now": time.time(),
            "unix": time.time() - local_clock(),
            "is_many": state.rig.is_many,
            "hosts": [host_json(view) for view in views],
            "disks": disks,
            "alarms": alarms,
        }
    )


def state_of(node: pb.NodeStatus) -> str:
    """Return the state of a node as people write it."""
    return pb.NodeState.Name(node.state).removeprefix("NODE_STATE_").lower()


def jsonable(value: Any) -> Any:
    """Return a value of a state as JSON has it, which knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [jsonable(each) for each in value]
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    return value


def host_json(view: HostView) -> dict[str, Any]:
    """Return what the page shows of a host."""
    status = view.status
    return {
        "name": view.name,
        "address": view.address or status.address,
        "is_here": not view.address,
        "error": view.error,
        "state": status.state,
        "version": status.version,
        "graph": view.graph.name if status.nodes else "",
        "owner": status.owner,
        "run_time": status.run_time,
        "run": status.run_id,
        "cpu": sum(process.cpu_percent for process in status.processes),
        "memory": sum(process.memory_bytes for process in status.processes),
        "clock": _clock(view),
        "groups": [_group(view, name) for name in _group_names(status)],
        "streams": [_stream(view, info) for info in status.streams],
        "recorders": [_recorder(view, node) for node in status.nodes if is_recorder(node)],
        "log": [
            {
                "time": record.time,
                "level": record.level.lower(),
                "node": record.node,
                "message": record.message[:500],
            }
            for record in view.records[-20:]
        ],
    }


def alarms_of(view: HostView) -> Iterator[dict[str, str]]:
    """Yield what somebody should look at, the worst first."""

    def alarm(level: str, what: str, text: str) -> dict[str, str]:
        return {"level": level, "host": view.name, "what": what, "text": text}

    if view.error:
        yield alarm("bad", view.name, view.error)
        return
    status = view.status
    for node in status.nodes:
        if node.state == pb.NODE_STATE_FAILED:
            yield alarm("bad", node.spec.name, f"failed: {node.failure.message}")
        report = report_of(node)
        if str(report.get("verdict", "")).startswith("FAILED"):
            yield alarm("bad", node.spec.name, str(report["verdict"]))
        for text in report.get("alarms", []):
            yield alarm("bad", node.spec.name, str(text))
    for process in status.processes:
        if not process.alive and status.state != "idle":
            yield alarm("bad", process.name, "the process has ended")
    for counted in status.stream_counters:
        if counted.lost:
            text = f"{counted.lost} samples are missing since the start"
            yield alarm("warn", counted.stream, text)
    for reader in status.reader_counters:
        lost = sum(reader.lost.values())
        if lost:
            causes = ", ".join(f"{cause}: {n}" for cause, n in reader.lost.items())
            text = f"missed {lost} samples of {reader.stream} ({causes})"
            yield alarm("warn", reader.reader, text)
        elif reader.fill > _FULL:
            text = f"is behind {reader.stream}: its ring is {reader.fill:.0%} full"
            yield alarm("warn", reader.reader, text)
    clock = view.clock
    if clock is not None and not clock.is_same and clock.estimate.uncertainty > _UNCERTAIN:
        yield alarm("warn", view.name, "its clock is not known well (yet)")


def _clock(view: HostView) -> dict[str, Any] | None:
    clock = view.clock
    if clock is None or clock.is_same:
        return {"state": "same", "offset": 0.0, "uncertainty": 0.0}
    estimate = clock.estimate
    known = math.isfinite(estimate.uncertainty)
    return {
        "state": clock.state,
        "offset": estimate.offset if known else None,
        "uncertainty": estimate.uncertainty if known else None,
    }


def _group_names(status: pb.Status) -> list[str]:
    named = [group.name for group in status.groups]
    named += [node.spec.group or "main" for node in status.nodes]
    return list(dict.fromkeys(named))


def _group(view: HostView, name: str) -> dict[str, Any]:
    status = view.status
    readers: dict[str, list[Any]] = {}
    for reader in status.reader_counters:
        readers.setdefault(reader.reader.partition(".")[0], []).append(reader)
    return {
        "name": name,
        "processes": [
            {
                "name": process.name,
                "alive": process.alive,
                "cpu": process.cpu_percent,
                "memory": process.memory_bytes,
                "load": process.counters.load,
                "busiest": process.counters.busiest,
                "restarts": process.restarts,
                "misses": process.counters.deadline_misses,
            }
            for process in status.processes
            if process.group == name
        ],
        "nodes": [
            {
                "name": node.spec.name,
                "type": node.spec.type,
                "state": state_of(node),
                "failure": node.failure.message if node.HasField("failure") else "",
                "fill": max((r.fill for r in readers.get(node.spec.name, [])), default=None),
                "lost": sum(sum(r.lost.values()) for r in readers.get(node.spec.name, [])),
            }
            for node in status.nodes
            if (node.spec.group or "main") == name
        ],
    }


def _stream(view: HostView, info: Any) -> dict[str, Any]:
    counted = next((c for c in view.status.stream_counters if c.stream == info.name), None)
    readers = [r for r in view.status.reader_counters if r.stream == info.name]
    return {
        "name": info.name,
        "kind": info.kind,
        "type": info.stype,
        "shape": list(info.sample_shape),
        "dtype": info.dtype,
        "nominal": info.sampling_rate,
        "rate": view.rates.get(info.name),
        "produced": counted.produced if counted else 0,
        "lost": counted.lost if counted else 0,
        "missed": sum(sum(r.lost.values()) for r in readers),
        "lag": max((r.lag for r in readers), default=None),
        "fill": max((r.fill for r in readers), default=None),
        "unit": info.channels[0].unit if info.channels else "",
    }


def report_of(node: pb.NodeStatus) -> dict[str, Any]:
    """Return what a node has reported."""
    try:
        found = json.loads(node.report_json or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _recorder(view: HostView, node: pb.NodeStatus) -> dict[str, Any]:
    report = report_of(node)
    prefix = f"{node.spec.name}."
    wanted = ("phase", "written_mb", "free_seconds", "lag", "sealing", "part")
    states = {name: jsonable(view.states.get(prefix + name)) for name in wanted}
    return {
        **states,
        "name": node.spec.name,
        "state": state_of(node),
        "path": str(report.get("path", "")),
        "verdict": str(report.get("verdict", "")),
    }


def _disk(folder: Path) -> dict[str, Any]:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {"path": str(folder), "total": 0, "free": 0}
    return {"path": str(folder), "total": usage.total, "free": usage.free}

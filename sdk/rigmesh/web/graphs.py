"""The page of the graph: nodes, links, parameters, and what operators do with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.errors import GraphError, RigmeshError, UnknownName
from rigmesh.graph.layout import HEAD, PORT, Layout, Size, arrange
from rigmesh.graph.plan import plan_graph
from rigmesh.graph.spec import GraphSpec, GroupSpec, NodeSpec
from rigmesh.names import RELAY
from rigmesh.node.registry import NodeType
from rigmesh.web.pages import error_response, object_in, page
from rigmesh.web.rig import Hands, Rig
from rigmesh.web.rigs import jsonable, state_of
from rigmesh.web.sessions import require, session_of
from rigmesh.web.watch import HostView
from rigmesh_daemon.security.rules import Role

__all__ = ["Picture", "routes"]

_CHARACTER, _SMALL = 7.6, 6.4
_NARROW, _WIDE, _MARGIN = 148.0, 320.0, 24.0
_MOST_NODES = 400

Change = Callable[[Hands, Mapping[str, Any]], Any]


def routes() -> list[BaseRoute]:
    """Return what is served here."""
    return [
        Route("/graph", _page),
        Route("/api/graph", _graph),
        Route("/api/node", _node),
        *(
            Route(f"/api/{path}", _changing(path, do), methods=["POST"])
            for path, do in _CHANGES.items()
        ),
    ]


async def _page(request: Request) -> Response:
    return page(request, "graph", "Graph", styles=["graph.css"])


# --- looking ----------------------------------------------------------------------------


@require(Role.VIEWER)
def _graph(request: Request) -> Response:
    rig: Rig = request.app.state.rig
    views = rig.hosts()
    picture = Picture(views)
    answer: dict[str, Any] = {
        "key": picture.key,
        "hosts": [
            {
                "name": view.name,
                "error": view.error,
                "state": view.status.state,
                "owner": view.status.owner,
                "run_time": view.status.run_time,
            }
            for view in views
        ],
        "me": rig.name_of(session_of(request)),
        "nodes": {
            node.spec.name: {
                "state": state_of(node),
                "failure": node.failure.message if node.HasField("failure") else "",
                "rates": {s: round(view.rates.get(s, 0.0), 1) for s in node.outputs},
            }
            for view in views
            for node in view.status.nodes
        },
        "readers": [
            {
                "reader": reader.reader,
                "stream": reader.stream,
                "fill": reader.fill,
                "lost": sum(reader.lost.values()),
            }
            for view in views
            for reader in view.status.reader_counters
        ],
    }
    if request.query_params.get("key") != picture.key:
        answer["picture"] = picture.drawn()
    return JSONResponse(answer)


@require(Role.VIEWER)
def _node(request: Request) -> Response:
    rig: Rig = request.app.state.rig
    name = request.query_params.get("name", "")
    for view in rig.hosts():
        for node in view.status.nodes:
            if node.spec.name == name:
                type_ = view.types.get(node.spec.type)
                return JSONResponse(
                    {
                        "name": name,
                        "type": type_.to_dict() if type_ is not None else None,
                        "type_name": node.spec.type,
                        "host": view.name,
                        "group": node.spec.group or "main",
                        "process": node.process,
                        "state": state_of(node),
                        "failure": node.failure.message if node.HasField("failure") else "",
                        "traceback": _traceback(request, node.failure.traceback),
                        "parameters": json.loads(node.spec.params_json or "{}"),
                        "states": _states(rig, name),
                    }
                )
    return error_response(UnknownName(f"there is no node {name!r}"))


def _states(rig: Rig, name: str) -> dict[str, object]:
    try:
        return {key: jsonable(value) for key, value in rig.states(name).items()}
    except RigmeshError:  # a graph that is not open has none yet
        return {}


def _traceback(request: Request, text: str) -> str:
    # As the daemons do: paths and code are not for those who only look.
    return text if session_of(request).may(Role.OPERATOR) else ""


# --- changing ----------------------------------------------------------------------------


def _changing(path: str, do: Change) -> Callable[[Request], Any]:
    @require(Role.OPERATOR)
    async def change(request: Request) -> Response:
        values = await object_in(request)
        session = session_of(request)
        rig: Rig = request.app.state.rig

        def run() -> Any:
            return rig.change(session, lambda hands: do(hands, values))

        outcome = "ok"
        try:
            return JSONResponse({"result": await run_in_threadpool(run)})
        except RigmeshError as error:
            outcome = f"{type(error).__name__}: {error}"
            raise
        finally:
            audit = request.app.state.audit
            if audit is not None:
                peer = request.client.host if request.client else "?"
                summary = json.dumps(_named(values))
                audit.record(
                    who=rig.name_of(session), peer=peer, method=f"web {path}", summary=summary,
                    outcome=outcome,
                )  # fmt: skip

    return change


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for, without values: they may be secrets."""
    return {k: sorted(v) if isinstance(v, dict) else str(v)[:60] for k, v in values.items()}


def _text(values: Mapping[str, Any], key: str) -> str:
    found = values.get(key)
    if not isinstance(found, str) or not found:
        raise GraphError(f"the request needs {key!r}, a text")
    return found


def _object(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, dict):
        raise GraphError(f"the request needs {key!r}, an object")
    return found


def _start(hands: Hands, values: Mapping[str, Any]) -> Any:
    return hands.start_all()


def _stop(hands: Hands, values: Mapping[str, Any]) -> Any:
    # The files are made by processes of their own; a browser does not wait for that.
    return hands.stop_all(wait_sealed=False)


def _take_over(hands: Hands, values: Mapping[str, Any]) -> Any:
    return hands.take_over()


def _annotate(hands: Hands, values: Mapping[str, Any]) -> Any:
    return hands.annotate(_text(values, "text"))


def _parameters(hands: Hands, values: Mapping[str, Any]) -> Any:
    return hands.set_parameters(_text(values, "node"), _object(values, "values"))


def _write_states(hands: Hands, values: Mapping[str, Any]) -> Any:
    node = _text(values, "node")
    return hands.states.of(node).write(_object(values, "values"))


def _call(hands: Hands, values: Mapping[str, Any]) -> Any:
    arguments = _object(values, "arguments")
    return hands.order(_text(values, "node"), _text(values, "command"), arguments)


_CHANGES: dict[str, Change] = {
    "start": _start,
    "stop": _stop,
    "take-over": _take_over,
    "annotate": _annotate,
    "parameters": _parameters,
    "states": _write_states,
    "call": _call,
}


# --- the picture ----------------------------------------------------------------------------


class Picture:
    """The graphs of all hosts as one, with a place for everything.

    Parameters
    ----------
    views : list of HostView
        The hosts.
    """

    def __init__(self, views: list[HostView]) -> None:
        known = [view for view in views if view.graph.nodes]
        many = len(known) > 1
        self._types: dict[str, NodeType] = {}
        self._nodes: dict[str, NodeSpec] = {}
        self._hosts: dict[str, str] = {}
        groups: dict[str, GroupSpec] = {}
        for view in known:
            self._types.update(view.types)
            for name, group in view.graph.groups.items():
                groups[f"{view.name} · {name}" if many else name] = group
            for name, node in view.graph.nodes.items():
                place = f"{view.name} · {node.group}" if many else node.group
                self._nodes[name] = replace(node, group=place)
                self._hosts[name] = view.name
        self._spec = GraphSpec(nodes=self._nodes, groups=groups)
        shape = [
            (node.name, node.type, node.group, sorted(node.inputs.items()))
            for node in self._nodes.values()
        ]
        known_types = sorted(self._types)
        self.key = hashlib.sha256(repr((shape, known_types)).encode()).hexdigest()[:16]

    def drawn(self) -> dict[str, Any]:
        """Return places of cards, boxes and wires."""
        if not self._nodes:
            return {"width": 0, "height": 0, "cards": [], "boxes": [], "wires": []}
        missing = {node.type for node in self._nodes.values()} - self._types.keys()
        if missing or len(self._nodes) > _MOST_NODES:
            why = (
                f"{len(self._nodes)} nodes are too many to draw"
                if not missing
                else f"the host does not describe {', '.join(sorted(missing))} (yet)"
            )
            return {"width": 0, "height": 0, "cards": [], "boxes": [], "wires": [], "why": why}
        plan = plan_graph(self._spec, self._types)
        sizes = {name: self._size(node) for name, node in self._nodes.items()}
        titles = {name: len(name) * _CHARACTER for name in (*plan.groups, *plan.processes)}
        return self._json(arrange(plan, sizes, titles))

    def _size(self, node: NodeSpec) -> Size:
        type_ = self._types[node.type]
        inputs = [port.name for port in type_.inputs]
        outputs = [port.name for port in type_.outputs]
        longest = max(map(len, inputs), default=0) + max(map(len, outputs), default=0)
        width = max(
            _NARROW,
            len(node.name) * _CHARACTER + 28,
            # Beside the type stands the state.
            len(node.type) * _SMALL + 78,
            # Beside the name of an output stands how many samples it gives.
            longest * _SMALL + 96,
        )
        n_ports = max(len(inputs), len(outputs))
        return Size(min(width, _WIDE), HEAD + PORT * n_ports + 8, inputs, outputs)

    def _json(self, layout: Layout) -> dict[str, Any]:
        return {
            "width": layout.width,
            "height": layout.height + _MARGIN,
            "head": HEAD,
            "port": PORT,
            "cards": [
                {
                    "node": card.node,
                    "type": self._nodes[card.node].type,
                    "host": self._hosts[card.node],
                    "x": card.x,
                    "y": card.y,
                    "width": card.width,
                    "height": card.height,
                    "inputs": list(card.size.inputs),
                    "outputs": list(card.size.outputs),
                    "from": self._relayed(card.node),
                }
                for card in layout.cards
                if card.size is not None
            ],
            "boxes": [
                {
                    "name": box.name,
                    "is_group": box.is_group,
                    "x": box.x,
                    "y": box.y,
                    "width": box.width,
                    "height": box.height,
                }
                for box in layout.boxes
            ],
            "wires": [
                {
                    "stream": wire.link.stream,
                    "input": f"{wire.link.sink}.{wire.link.port}",
                    "transport": wire.link.transport,
                    "points": [[*one, *other] for one, other in wire.points],
                }
                for wire in layout.wires
            ],
        }

    def _relayed(self, name: str) -> str:
        """Return the stream of another host that a node brings."""
        node = self._nodes[name]
        return str(node.params.get("stream", "")) if node.type == RELAY else ""

"""The page of the graph: nodes, links, parameters, and what operators do with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from rigmesh.errors import DaemonUnavailable, GraphError, RigmeshError
from rigmesh.web.graph_picture import Picture
from rigmesh.web.pages import object_in, page
from rigmesh.web.rig import Hands, Rig
from rigmesh.web.rigs import jsonable, state_of
from rigmesh.web.sessions import require, session_of
from rigmesh.web.watch import HostView
from rigmesh_daemon.security.rules import Role

__all__ = ["routes"]

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
        "is_many": rig.is_many,
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
            picture.key_of(at, node.spec.name): {
                "state": state_of(node),
                "failure": node.failure.message if node.HasField("failure") else "",
                "rates": {s: round(view.rates.get(s, 0.0), 1) for s in node.outputs},
            }
            for at, view in enumerate(views)
            for node in view.status.nodes
        },
        "readers": [
            {
                "reader": picture.key_of(at, reader.reader),
                "stream": picture.key_of(at, reader.stream),
                "fill": reader.fill,
                "lost": sum(reader.lost.values()),
            }
            for at, view in enumerate(views)
            for reader in view.status.reader_counters
        ],
    }
    if request.query_params.get("key") != picture.key:
        answer["picture"] = picture.drawn()
    return JSONResponse(answer)


@require(Role.VIEWER)
def _node(request: Request) -> Response:
    rig: Rig = request.app.state.rig
    asked = request.query_params.get("name", "")
    view, name = rig.find_node(asked, request.query_params.get("host", ""))
    node = next(each for each in view.status.nodes if each.spec.name == name)
    type_ = view.types.get(node.spec.type)
    return JSONResponse(
        {
            "name": asked,
            "type": type_.to_dict() if type_ is not None else None,
            "type_name": node.spec.type,
            "host": view.name,
            "group": node.spec.group or "main",
            "process": node.process,
            "state": state_of(node),
            "failure": node.failure.message if node.HasField("failure") else "",
            "traceback": _traceback(request, node.failure.traceback),
            "parameters": json.loads(node.spec.params_json or "{}"),
            "states": _states(rig, view, name),
        }
    )


def _states(rig: Rig, view: HostView, name: str) -> dict[str, object]:
    try:
        return {key: jsonable(value) for key, value in rig.states(view, name).items()}
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
            said, where = _placed(rig, path, values)
            return rig.change(session, lambda hands: do(hands, said), where)

        outcome = "failed"
        try:
            result = await run_in_threadpool(run)
            outcome = "ok"
        except RigmeshError as error:
            outcome = f"{type(error).__name__}: {error}"
            raise
        except ValueError as error:  # as of a text that is no Unicode, which nobody can send on
            outcome = f"{type(error).__name__}: {error}"
            raise GraphError(f"the values for {path} cannot be sent: {error}") from error
        finally:
            audit = request.app.state.audit
            if audit is not None:
                peer = request.client.host if request.client else "?"
                summary = json.dumps(_named(values))
                audit.record(
                    who=rig.name_of(session), peer=peer, method=f"web {path}", summary=summary,
                    outcome=outcome,
                )  # fmt: skip
        return JSONResponse({"result": jsonable(result)})

    return change


def _placed(
    rig: Rig, path: str, values: Mapping[str, Any]
) -> tuple[Mapping[str, Any], list[HostView] | None]:
    """Return what was said, with the node as its host calls it, and where it is to be done."""
    said, node = values.get("host", ""), values.get("node")
    if said == []:  # the page shows none; whichever answers by now was not meant
        raise DaemonUnavailable("none of the hosts on the page answers; there is nothing to change")
    hosts = ([said] if said else []) if isinstance(said, str) else said
    if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
        raise GraphError("the request needs 'host', a name or several")
    if isinstance(node, str) and node:
        if len(hosts) > 1:
            raise GraphError(f"{node!r} was asked for on {', '.join(hosts)}; say one host")
        view, name = rig.find_node(node, *hosts)
        return {**values, "node": name}, [view]
    if path == "take-over" and not hosts:
        owned = [view.name for view in rig.hosts() if view.status.owner]
        if len(owned) > 1:
            raise GraphError(
                f"there are graphs on {' and '.join(owned)}; say which to take over: the page of "
                "the graph has a button for it"
            )
    return values, [rig.named(host) for host in hosts] or None


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

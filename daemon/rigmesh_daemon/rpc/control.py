"""The control service: each RPC is a message, a method of the service, and its translation."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from rigmesh.errors import RigmeshError
from rigmesh.graph.wire import (
    graph_from_wire,
    graph_to_wire,
    group_from_wire,
    group_to_wire,
    node_from_wire,
    object_of,
)
from rigmesh.rpc import FAILURE_KEY, failure_of, status_of
from rigmesh_daemon.security.callers import operator_of
from rigmesh_daemon.security.rules import changes_something
from rigmesh_daemon.service import DaemonService
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.control_pb2_grpc import ControlServiceServicer

__all__ = ["Control"]

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


_SERVICE = f"/{pb.DESCRIPTOR.services_by_name['ControlService'].full_name}/"
_FOR_EVERYBODY = ("Annotate", "TakeOver")
"""Who is let in as an operator may call these, whosever the graph is."""

_unfinished: set[asyncio.Future[Any]] = set()


def _finished(task: asyncio.Future[Any]) -> None:
    _unfinished.discard(task)
    if not task.cancelled():
        task.exception()  # told to the client, if there still is one


async def _abort(context: Context, error: Exception, host: str) -> None:
    if not isinstance(error, RigmeshError):
        _log.exception("an RPC failed")
    failure = failure_of(error, host=host)
    await context.abort(
        grpc.StatusCode[status_of(error)],
        failure.message[:1000],
        trailing_metadata=((FAILURE_KEY, failure.SerializeToString()),),
    )


Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Method = Callable[["Control", Request, Context], Awaitable[Response]]


def _answering(method: Method[Request, Response]) -> Method[Request, Response]:
    """Turn what a method raises into a status that carries the error's class and traceback.

    What was begun is finished even if the client hangs up meanwhile: a process that is half
    started belongs to nobody. What changes the graph is for its owner only.
    """
    changes = method.__name__ not in _FOR_EVERYBODY and changes_something(
        f"{_SERVICE}{method.__name__}"
    )

    @functools.wraps(method)
    async def answer(self: Control, request: Request, context: Context) -> Response:
        try:
            if changes:
                self.admit(context)
            task = asyncio.ensure_future(method(self, request, context))
            _unfinished.add(task)
            task.add_done_callback(_finished)
            return await asyncio.shield(task)
        except Exception as error:
            await _abort(context, error, self.host)
            raise

    return answer


class Control(ControlServiceServicer):
    """Translates the control service."""

    def __init__(self, service: DaemonService) -> None:
        self._service = service
        self.host = service.config.host

    def admit(self, context: Context) -> None:
        """Let the caller change the graph.

        Raises
        ------
        NotOwner
            If it is another's.
        """
        self._service.ownership.admit(operator_of(context))

    @_answering
    async def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """Return the state of everything."""
        return pb.GetStatusResponse(status=self._service.status())

    @_answering
    async def ListNodeTypes(  # noqa: N802
        self, request: pb.ListNodeTypesRequest, context: Context
    ) -> pb.ListNodeTypesResponse:
        """Return the node types."""
        if request.refresh:
            await self._service.refresh_types(refresh=True)
        types = [json.dumps(t.to_dict()) for t in self._service.state.types.values()]
        return pb.ListNodeTypesResponse(types_json=types, broken=self._service.catalogue.broken)

    @_answering
    async def CreateGroup(  # noqa: N802
        self, request: pb.CreateGroupRequest, context: Context
    ) -> pb.CreateGroupResponse:
        """Make a group."""
        group = await self._service.create_group(group_from_wire(request.group))
        return pb.CreateGroupResponse(group=group_to_wire(group))

    @_answering
    async def RegisterGroup(  # noqa: N802
        self, request: pb.RegisterGroupRequest, context: Context
    ) -> pb.RegisterGroupResponse:
        """Take in a process of the client's."""
        await self._service.register_group(request.name, request.socket)
        return pb.RegisterGroupResponse()

    @_answering
    async def RemoveGroup(  # noqa: N802
        self, request: pb.RemoveGroupRequest, context: Context
    ) -> pb.RemoveGroupResponse:
        """Remove a group and its nodes."""
        await self._service.remove_group(request.name)
        return pb.RemoveGroupResponse()

    @_answering
    async def CreateNode(  # noqa: N802
        self, request: pb.CreateNodeRequest, context: Context
    ) -> pb.CreateNodeResponse:
        """Make a node."""
        status = await self._service.create_node(node_from_wire(request.node))
        return pb.CreateNodeResponse(node=status)

    @_answering
    async def RemoveNode(  # noqa: N802
        self, request: pb.RemoveNodeRequest, context: Context
    ) -> pb.RemoveNodeResponse:
        """Take a node away."""
        await self._service.remove_node(request.name)
        return pb.RemoveNodeResponse()

    @_answering
    async def SetParameters(  # noqa: N802
        self, request: pb.SetParametersRequest, context: Context
    ) -> pb.SetParametersResponse:
        """Change parameters."""
        values = object_of(request.params_json, "params_json")
        result = await self._service.set_parameters(request.node, values)
        return pb.SetParametersResponse(
            params_json=json.dumps(result["params"]), effective=_effective(result["effective"])
        )

    @_answering
    async def GetStates(  # noqa: N802
        self, request: pb.GetStatesRequest, context: Context
    ) -> pb.GetStatesResponse:
        """Return states and live parameters."""
        found = await self._service.live.get(request.name)
        return pb.GetStatesResponse(states_json=json.dumps(found))

    @_answering
    async def SetStates(  # noqa: N802
        self, request: pb.SetStatesRequest, context: Context
    ) -> pb.SetStatesResponse:
        """Write states and parameters."""
        effective = await self._service.live.set(object_of(request.values_json, "values_json"))
        return pb.SetStatesResponse(effective=_effective(effective))

    @_answering
    async def CallCommand(  # noqa: N802
        self, request: pb.CallCommandRequest, context: Context
    ) -> pb.CallCommandResponse:
        """Let a node obey a command."""
        arguments = object_of(request.arguments_json, "arguments_json")
        answer = await self._service.live.call(request.node, request.command, arguments)
        return pb.CallCommandResponse(
            result_json=json.dumps(answer["result"]), effective=_effective(answer["effective"])
        )

    @_answering
    async def GetLatencies(  # noqa: N802
        self, request: pb.GetLatenciesRequest, context: Context
    ) -> pb.GetLatenciesResponse:
        """Return the histograms of every process."""
        return pb.GetLatenciesResponse(latencies=await self._service.live.latencies())

    @_answering
    async def Connect(  # noqa: N802
        self, request: pb.ConnectRequest, context: Context
    ) -> pb.ConnectResponse:
        """Link a stream to an input."""
        await self._service.connect(request.stream, request.input)
        return pb.ConnectResponse()

    @_answering
    async def Disconnect(  # noqa: N802
        self, request: pb.DisconnectRequest, context: Context
    ) -> pb.DisconnectResponse:
        """Undo a link."""
        await self._service.disconnect(request.stream, request.input)
        return pb.DisconnectResponse()

    @_answering
    async def Start(  # noqa: N802
        self, request: pb.StartRequest, context: Context
    ) -> pb.StartResponse:
        """Start the graph."""
        return pb.StartResponse(run_id=await self._service.start(request.timeout or 30.0))

    @_answering
    async def Stop(self, request: pb.StopRequest, context: Context) -> pb.StopResponse:  # noqa: N802
        """Stop the graph."""
        await self._service.stop(request.timeout or 15.0)
        return pb.StopResponse()

    @_answering
    async def LoadGraph(  # noqa: N802
        self, request: pb.LoadGraphRequest, context: Context
    ) -> pb.LoadGraphResponse:
        """Build a whole graph."""
        await self._service.load(graph_from_wire(request.graph), check_only=request.check_only)
        return pb.LoadGraphResponse()

    @_answering
    async def GetGraph(  # noqa: N802
        self, request: pb.GetGraphRequest, context: Context
    ) -> pb.GetGraphResponse:
        """Return the graph."""
        return pb.GetGraphResponse(graph=graph_to_wire(self._service.state.graph))

    @_answering
    async def Clear(  # noqa: N802
        self, request: pb.ClearRequest, context: Context
    ) -> pb.ClearResponse:
        """Remove everything."""
        await self._service.clear()
        return pb.ClearResponse()

    @_answering
    async def Annotate(  # noqa: N802
        self, request: pb.AnnotateRequest, context: Context
    ) -> pb.AnnotateResponse:
        """Put a note into all recordings."""
        await self._service.annotate(request.text)
        return pb.AnnotateResponse()

    @_answering
    async def TakeOver(  # noqa: N802
        self, request: pb.TakeOverRequest, context: Context
    ) -> pb.TakeOverResponse:
        """Make the graph the caller's."""
        return pb.TakeOverResponse(previous=await self._service.take_over(operator_of(context)))

    async def Subscribe(  # noqa: N802
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        """Tell a client where a stream lies for as long as it listens."""
        try:
            stream = await self._service.publish(request.stream)
            # Tells the client that it gets whatever comes from now on.
            await context.send_initial_metadata(())
            async for response in self._service.rings_of(stream):
                yield response
        except RigmeshError as error:
            await _abort(context, error, self.host)

    async def Watch(  # noqa: N802
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """Send events for as long as the client listens."""
        state = self._service.state
        queue = state.watch()
        if request.status_every > 0:
            # Faster would keep the daemon from its work, whatever a client wishes.
            ticker = asyncio.create_task(self._tick(queue, max(0.05, request.status_every)))
        else:
            ticker = None
        # Tells the client that nothing from now on is missed.
        await context.send_initial_metadata(())
        try:
            while True:
                event = await queue.get()
                if request.logs or not event.HasField("log"):
                    yield pb.WatchResponse(event=event)
        finally:
            state.unwatch(queue)
            if ticker is not None:
                ticker.cancel()

    async def _tick(self, queue: asyncio.Queue[pb.Event], period: float) -> None:
        """Put the state of everything among the events, again and again."""
        while True:
            if not queue.full():
                queue.put_nowait(pb.Event(status=self._service.status()))
            await asyncio.sleep(period)


def _effective(effective: Mapping[str, Mapping[str, int]]) -> list[pb.EffectiveAt]:
    return [
        pb.EffectiveAt(stream=stream, epoch=at["epoch"], index=at["index"])
        for stream, at in effective.items()
    ]

"""Lets calls in or not, ends what is no longer allowed, and keeps internals inside: for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import Message

from rigmesh_daemon.security.gate import Caller, Gate, Refused

__all__ = ["Guard"]

_log = logging.getLogger(__name__)

_RECHECK = 2.0
"""Seconds after which a running stream is asked for its token again."""
_SENT_WITHIN = 1.0
"""A message of a stream that is to end, in seconds."""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
    Behaviour = Callable[[Any, Any], Any]

_FACTORIES: dict[tuple[bool, bool], tuple[str, Callable[..., Any]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class Guard(grpc.aio.ServerInterceptor):
    """Stands before every method of a `grpc.aio` server.

    Parameters
    ----------
    gate : Gate
        Which decides.
    recheck : float
        After so many seconds a running stream is asked for its token again.
    """

    def __init__(self, gate: Gate, *, recheck: float = _RECHECK) -> None:
        self.gate = gate
        self.recheck = recheck

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the method, guarded, or one that refuses."""
        method = str(details.method)
        try:
            caller = self.gate.admit(method, details.invocation_metadata)
            handler = await continuation(details)
            if handler is None:
                return None
            self.gate.check_rule(method)
        except Refused as refused:
            return self._refusing(method, refused)
        kind, factory = _FACTORIES[handler.request_streaming, handler.response_streaming]
        behaviour = self._guarded(handler, getattr(handler, kind), method, caller)
        # Messages are parsed here, so that a corrupt one is told without the parser's words.
        made: Handler = factory(behaviour, None, handler.response_serializer)
        return made

    def _refusing(self, method: str, refused: Refused) -> Handler:
        async def refuse(_requests: object, context: Any) -> None:
            self.gate.log(context.peer(), method, refused)
            await context.abort(refused.code, refused.message)

        # A streaming one whatever the method is: the message is not even received.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _guarded(
        self, handler: Handler, behaviour: Behaviour, method: str, caller: Caller
    ) -> Behaviour:
        def begin(context: Any) -> _Call:
            streams = handler.request_streaming or handler.response_streaming
            return _Call(self, handler, method, caller, context, watched=streams)

        async def answer(raw: Any, context: Any) -> Any:
            async with begin(context) as call:
                answer = behaviour(call.receive(raw), call)
                response = await answer if inspect.isawaitable(answer) else answer
                self.gate.shown_to(caller, response)
                return response

        async def stream(raw: Any, context: Any) -> AsyncIterator[Any]:
            async with begin(context) as call:
                responses = behaviour(call.receive(raw), call)
                async with contextlib.aclosing(responses):
                    async for response in responses:
                        self.gate.shown_to(caller, response)
                        call.is_sending = True
                        yield response
                        call.is_sending = False
                        if call.is_over:
                            raise self.gate.ended()

        return stream if inspect.isasyncgenfunction(behaviour) else answer


class _Call:
    """One call that was let in; to the method it is the context."""

    def __init__(
        self,
        guard: Guard,
        handler: Handler,
        method: str,
        caller: Caller,
        context: Any,
        *,
        watched: bool,
    ) -> None:
        self._gate = guard.gate
        self._recheck = guard.recheck
        self._handler = handler
        self._method = method
        self._caller = caller
        self._context = context
        # Asked for at once: a call that is over, and finalised later, takes the process with it.
        self._peer = str(context.peer())
        self._is_watched = watched and caller.is_remote
        self._request: Message | None = None
        self._outcome = "ok"
        self._is_noted = False
        self._watcher: asyncio.Task[None] | None = None
        self.is_over = self.is_sending = False
        self._has_slot = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        """End the call with an error, which loses what is not for the caller."""
        self._outcome = f"{code.name}: {details}"
        self._note()  # before the caller knows
        details, trailing = self._gate.harmless(
            self._caller, code, details, trailing_metadata or ()
        )
        await self._context.abort(code, details, trailing)
        raise AssertionError("abort raises")

    async def read(self) -> Any:
        """Receive a message of a stream, for methods that do not iterate."""
        raw = await self._context.read()
        return raw if raw is grpc.aio.EOF else self._parsed(raw)

    def receive(self, raw: Any) -> Any:
        """Return the request, or the requests."""
        if self._handler.request_streaming:
            return self._each(raw)
        self._request = self._parsed(raw)
        self._gate.check_request(self._caller, self._method, self._request)
        return self._request

    async def __aenter__(self) -> _Call:
        try:
            self._gate.take(self._caller)
        except Refused as refused:
            await self._refuse(refused)
        self._has_slot = True
        if self._is_watched:
            task = asyncio.current_task()
            if task is not None:
                self._watcher = asyncio.create_task(self._watch(task))
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if self._watcher is not None:
                self._watcher.cancel()
            if isinstance(error, asyncio.CancelledError):
                self._outcome = "cancelled"
                if self.is_over:
                    task = asyncio.current_task()
                    if task is not None:
                        task.uncancel()
                    await self._refuse(self._gate.ended())
            elif isinstance(error, Refused):
                await self._refuse(error)
            elif isinstance(error, NotImplementedError):
                await self.abort(grpc.StatusCode.UNIMPLEMENTED, "not implemented")
            elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
                _log.error("%s failed", self._method, exc_info=error)
                await self.abort(grpc.StatusCode.INTERNAL, self._gate.internal_error)
        finally:
            if self._has_slot:
                self._gate.give_back(self._caller)
            self._note()

    async def _each(self, requests: Any) -> AsyncIterator[Any]:
        async for raw in requests:
            yield self._parsed(raw)

    def _note(self) -> None:
        if not self._is_noted:
            self._is_noted = True
            self._gate.note(self._caller, self._peer, self._method, self._request, self._outcome)

    def _parsed(self, raw: bytes) -> Any:
        deserializer = self._handler.request_deserializer
        return self._gate.parse(deserializer, raw)

    async def _refuse(self, refused: Refused) -> None:
        self._gate.log(self._peer, self._method, refused)
        await self.abort(refused.code, refused.message)

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        """End the call when its token is good no more, even while it waits for a slow reader."""
        while self._gate.is_good(self._caller):  # noqa: ASYNC110 - the file of tokens tells nobody
            await asyncio.sleep(self._recheck)
        self.is_over = True
        # A cancellation that strikes while gRPC sends is lost in there, and the caller is told
        # nothing. So that ends first; but a reader that is stuck is not waited for.
        patience = asyncio.get_running_loop().time() + _SENT_WITHIN
        while self.is_sending and asyncio.get_running_loop().time() < patience:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()

"""The same gate for servers with threads, such as the relay's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import Message

from rigmesh_daemon.security.gate import Caller, Gate, Refused

__all__ = ["BlockingGuard"]

_log = logging.getLogger(__name__)

_RECHECK = 2.0

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Behaviour = Callable[[Any, Any], Any]

_FACTORIES: dict[tuple[bool, bool], tuple[str, Callable[..., Any]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class BlockingGuard(grpc.ServerInterceptor):
    """Stands before every method of a `grpc.server`.

    A running stream whose token is good no more ends with its next message; one that sends
    nothing is cancelled.

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
        self._watched: set[_Call] = set()
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the method, guarded, or one that refuses."""
        method = str(handler_call_details.method)
        try:
            caller = self.gate.admit(method, handler_call_details.invocation_metadata)
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self.gate.check_rule(method)
        except Refused as refused:
            return self._refusing(method, refused)
        kind, factory = _FACTORIES[handler.request_streaming, handler.response_streaming]
        behaviour = self._guarded(handler, getattr(handler, kind), method, caller)
        made: Handler = factory(behaviour, None, handler.response_serializer)
        return made

    def watch(self, call: _Call) -> None:
        """Look after a call until it is over."""
        with self._lock:
            self._watched.add(call)
            if self._watcher is None:
                # Ends with the last of them, so that nothing has to be closed.
                self._watcher = threading.Thread(target=self._watch, name="tokens", daemon=True)
                self._watcher.start()

    def unwatch(self, call: _Call) -> None:
        """Forget a call."""
        with self._lock:
            self._watched.discard(call)

    def _refusing(self, method: str, refused: Refused) -> Handler:
        def refuse(_requests: object, context: Any) -> NoReturn:
            self.gate.log(context.peer(), method, refused)
            context.abort(refused.code, refused.message)
            raise AssertionError("abort raises")

        # A streaming one whatever the method is: the message is not even received.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _guarded(
        self, handler: Handler, behaviour: Behaviour, method: str, caller: Caller
    ) -> Behaviour:
        is_watched = caller.is_remote and (handler.request_streaming or handler.response_streaming)

        def answer(raw: Any, context: Any) -> Any:
            with _Call(self, handler, method, caller, context, is_watched=is_watched) as call:
                return behaviour(call.receive(raw), call)

        def stream(raw: Any, context: Any) -> Iterator[Any]:
            with _Call(self, handler, method, caller, context, is_watched=is_watched) as call:
                for response in behaviour(call.receive(raw), call):
                    call.check()
                    yield response

        return stream if handler.response_streaming else answer

    def _watch(self) -> None:
        while True:
            time.sleep(self.recheck)
            with self._lock:
                if not self._watched:
                    self._watcher = None
                    return
                watched = list(self._watched)
            for call in watched:
                call.recheck()


class _Call:
    """One call that was let in; to the method it is the context."""

    def __init__(
        self,
        guard: BlockingGuard,
        handler: Handler,
        method: str,
        caller: Caller,
        context: Any,
        *,
        is_watched: bool,
    ) -> None:
        self._guard = guard
        self._gate = guard.gate
        self._handler = handler
        self._method = method
        self._caller = caller
        self._context = context
        self._peer = str(context.peer())
        self._is_watched = is_watched
        self._request: Message | None = None
        self._outcome = "ok"
        self._is_noted = False
        self._is_over = False
        self._is_aborted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = None
    ) -> NoReturn:
        """End the call with an error, which loses what is not for the caller."""
        trailing = trailing_metadata or self._context.trailing_metadata() or ()
        self._outcome = f"{code.name}: {details}"
        self._note()  # before the caller knows
        self._is_aborted = True
        details, trailing = self._gate.harmless(self._caller, code, details, trailing)
        self._context.set_trailing_metadata(trailing)
        self._context.abort(code, details)
        raise AssertionError("abort raises")

    def receive(self, raw: Any) -> Any:
        """Return the request, or the requests."""
        if self._handler.request_streaming:
            return self._each(raw)
        self._request = self._parsed(raw)
        self._gate.check_request(self._caller, self._method, self._request)
        return self._request

    def check(self) -> None:
        """End the call if its token was found to be good no more."""
        if self._is_over:
            raise self._gate.ended()

    def recheck(self) -> None:
        """Ask for the token again; what sends nothing is cancelled the time after."""
        if self._is_over:
            self._context.cancel()
        self._is_over = not self._gate.is_good(self._caller)

    def __enter__(self) -> _Call:
        try:
            self._gate.take(self._caller)
        except Refused as refused:
            self._refuse(refused)
        if self._is_watched:
            self._guard.watch(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if isinstance(error, Refused):
                self._refuse(error)
            elif isinstance(error, NotImplementedError):
                self.abort(grpc.StatusCode.UNIMPLEMENTED, "not implemented")
            elif isinstance(error, Exception) and not self._is_aborted:
                if self._context.is_active():
                    _log.error("%s failed", self._method, exc_info=error)
                    self.abort(grpc.StatusCode.INTERNAL, self._gate.internal_error)
                self._outcome = "cancelled"
        finally:
            self._guard.unwatch(self)
            self._gate.give_back(self._caller)
            self._note()

    def _each(self, requests: Any) -> Iterator[Any]:
        for raw in requests:
            self.check()
            yield self._parsed(raw)

    def _note(self) -> None:
        if not self._is_noted:
            self._is_noted = True
            self._gate.note(self._caller, self._peer, self._method, self._request, self._outcome)

    def _parsed(self, raw: bytes) -> Any:
        return self._gate.parse(self._handler.request_deserializer, raw)

    def _refuse(self, refused: Refused) -> NoReturn:
        self._gate.log(self._peer, self._method, refused)
        self.abort(refused.code, refused.message)

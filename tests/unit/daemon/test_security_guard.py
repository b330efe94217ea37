"""The gate before a server of either kind: asyncio's, and that with threads which the relay has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from rigmesh.errors import NodeError, UnknownName
from rigmesh.rpc import FAILURE_KEY, failure_of, status_of
from rigmesh_daemon.rpc.auth import Guard
from rigmesh_daemon.security.audit import Audit
from rigmesh_daemon.security.blocking import BlockingGuard
from rigmesh_daemon.security.gate import Gate
from rigmesh_daemon.security.rules import LOCAL_ONLY, RULES, Role, services
from rigmesh_daemon.security.tokens import TokenFile
from rigmesh_proto.v1 import control_pb2 as pb

KINDS = {
    f"/{s.full_name}/{m.name}": (bool(m.client_streaming), bool(m.server_streaming))
    for s in services()
    for m in s.methods
}
CREATE = "/rigmesh_proto.v1.ControlService/CreateNode"
STATUS = "/rigmesh_proto.v1.ControlService/GetStatus"
WATCH = "/rigmesh_proto.v1.ControlService/Watch"
FACTORIES = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def ours() -> Exception:
    return UnknownName("no node 'x'")


def of_a_node() -> Exception:
    return NodeError("m", node="n", hook="process", traceback="File /home/bob/secret.py")


def bug() -> Exception:
    return ZeroDivisionError("in /home/bob/secret.py")


@dataclass
class Served:
    """A server of all methods, which notes what was called."""

    tokens: TokenFile
    audit_log: Path
    called: list[str] = field(default_factory=list)
    fails: Callable[[], Exception] | None = None
    goes_on: bool = False
    channel: grpc.Channel = field(init=False)

    @property
    def gate(self) -> Gate:
        return Gate("rig-1", self.tokens, Audit(self.audit_log), per_token=3)

    def fail(self) -> tuple[Any, ...] | None:
        """Return what `context.abort` is called with."""
        if self.fails is None or self.fails is bug:
            return None
        error = self.fails()
        trailing = ((FAILURE_KEY, failure_of(error).SerializeToString()),)
        return grpc.StatusCode[status_of(error)], str(error.args[0]), trailing


class Generic(grpc.GenericRpcHandler):
    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def service(self, details: Any) -> Any:
        method = details.method
        if method not in KINDS:
            return None
        kind = KINDS[method]
        return FACTORIES[kind](
            self._make(method), pb.CreateNodeRequest.FromString, lambda message: b""
        )


def asyncio_behaviours(served: Served) -> Callable[[str], Any]:
    async def end(context: Any) -> None:
        error = served.fail()
        if error is not None:
            code, message, trailing = error
            await context.abort(code, message, trailing_metadata=trailing)
        if served.fails is not None:
            raise served.fails()

    def make(method: str) -> Any:
        async def one(request: Any, context: Any) -> object:
            served.called.append(method)
            await end(context)
            return object()

        async def many(request: Any, context: Any) -> AsyncIterator[object]:
            served.called.append(method)
            await end(context)
            yield object()
            while served.goes_on:
                await asyncio.sleep(0)  # what ends it may strike also while it sends
                yield object()

        return many if KINDS[method][1] else one

    return make


def blocking_behaviours(served: Served) -> Callable[[str], Any]:
    def end(context: Any) -> None:
        error = served.fail()
        if error is not None:
            code, message, trailing = error
            context.set_trailing_metadata(trailing)
            context.abort(code, message)
        if served.fails is not None:
            raise served.fails()

    def make(method: str) -> Any:
        def one(request: Any, context: Any) -> object:
            served.called.append(method)
            end(context)
            return object()

        def many(request: Any, context: Any) -> Iterator[object]:
            served.called.append(method)
            end(context)
            yield object()
            while served.goes_on and context.is_active():
                time.sleep(0.01)
                yield object()

        return many if KINDS[method][1] else one

    return make


@contextlib.contextmanager
def run_asyncio(served: Served, address: str) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> grpc.aio.Server:
        server = grpc.aio.server(interceptors=[Guard(served.gate, recheck=0.1)])
        server.add_generic_rpc_handlers([Generic(asyncio_behaviours(served))])
        server.add_insecure_port(address)
        await server.start()
        return server

    server = asyncio.run_coroutine_threadsafe(begin(), loop).result(20)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextlib.contextmanager
def run_blocking(served: Served, address: str) -> Iterator[None]:
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, interceptors=[BlockingGuard(served.gate, recheck=0.1)])
        server.add_generic_rpc_handlers([Generic(blocking_behaviours(served))])
        server.add_insecure_port(address)
        server.start()
        try:
            yield
        finally:
            server.stop(0).wait()


@pytest.fixture(params=[run_asyncio, run_blocking])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    made = Served(TokenFile(tmp_path / "tokens.json"), tmp_path / "audit.jsonl")
    address = f"unix:{tmp_path}/s"
    with request.param(made, address), grpc.insecure_channel(address) as made.channel:
        yield made


def stream(served: Served, method: str, token: str, request: bytes = b"") -> Any:
    """Begin a call; over a Unix socket the token goes without call credentials."""
    begin: Any = served.channel.stream_stream(method)
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    return begin(iter([request]), metadata=metadata, timeout=20)


def call(served: Served, method: str, token: str = "", request: bytes = b"") -> Any:
    made = stream(served, method, token, request)
    with contextlib.suppress(grpc.RpcError):
        for _ in made:
            pass
    return made


def test_every_rpc_of_every_service_asks_for_the_role_in_the_table(served: Served) -> None:
    tokens = {role: served.tokens.add(role)[1] for role in Role}
    expired = served.tokens.add(Role.ADMIN, expires=0.0)[1]
    expected: dict[tuple[str, object], str] = {}
    found: dict[tuple[str, object], str] = {}

    for method in KINDS:
        for who in ("", "x", expired):
            expected[method, who] = "UNAUTHENTICATED"
            found[method, who] = call(served, method, who).code().name
        assert method not in served.called
        for role, token in tokens.items():
            may = RULES[method] <= role and method not in LOCAL_ONLY
            expected[method, role] = "OK" if may else "PERMISSION_DENIED"
            found[method, role] = call(served, method, token).code().name

    assert found == expected
    n_allowed = sum(code == "OK" for code in expected.values())
    assert len(served.called) == n_allowed


def test_a_method_without_a_rule_is_for_nobody(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "/later.New/Erase", (False, False))
    token = served.tokens.add(Role.ADMIN)[1]

    ended = call(served, "/later.New/Erase", token)

    assert ended.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "no rule" in ended.details()
    assert served.called == []


def failure(ended: Any) -> pb.Failure | None:
    for key, value in ended.trailing_metadata():
        if key == FAILURE_KEY:
            return pb.Failure.FromString(value)
    return None


def test_a_bug_shows_nothing_of_itself_elsewhere(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    served.fails = bug

    for method in (CREATE, WATCH):
        ended = call(served, method, served.tokens.add(Role.ADMIN)[1])

        assert ended.code() == grpc.StatusCode.INTERNAL
        assert ended.details() == "internal error, see the log of rig-1"
        assert failure(ended) is None
    assert "secret.py" in caplog.text
    caplog.clear()  # its tracebacks hold the connection


def test_our_errors_keep_their_class(served: Served) -> None:
    served.fails = ours

    ended = call(served, STATUS, served.tokens.add(Role.VIEWER)[1])

    found = failure(ended)
    assert ended.code() == grpc.StatusCode.NOT_FOUND
    assert found is not None
    assert (found.error, found.message) == ("UnknownName", "no node 'x'")


@pytest.mark.parametrize(("role", "sees"), [(Role.VIEWER, False), (Role.OPERATOR, True)])
def test_a_nodes_traceback_is_for_operators(served: Served, role: Role, sees: bool) -> None:
    served.fails = of_a_node

    found = failure(call(served, STATUS, served.tokens.add(role)[1]))

    assert found is not None
    assert (found.error, found.node) == ("NodeError", "n")
    assert ("secret.py" in found.traceback) is sees


def test_a_corrupt_message_never_reaches_the_method(served: Served) -> None:
    token = served.tokens.add(Role.OPERATOR)[1]

    ended = call(served, CREATE, token, b"\xff\xff\xff")

    assert (ended.code().name, ended.details()) == (
        "INVALID_ARGUMENT",
        "the message cannot be read",
    )
    assert served.called == []


def test_what_changes_something_is_noted_with_who_and_how_it_ended(served: Served) -> None:
    made, token = served.tokens.add(Role.OPERATOR, note="bob")
    request = pb.CreateNodeRequest(node=pb.NodeSpec(name="amp")).SerializeToString()

    call(served, CREATE, token, request)
    call(served, STATUS, token)
    served.fails = ours
    call(served, CREATE, token)

    first, second = map(json.loads, served.audit_log.read_text().splitlines())
    assert (first["who"], first["summary"], first["outcome"]) == (
        f"{made.id} bob",
        "name=amp",
        "ok",
    )
    assert second["outcome"] == "NOT_FOUND: no node 'x'"
    assert token.partition(".")[2] not in served.audit_log.read_text()


def test_a_running_stream_ends_when_its_token_is_revoked(served: Served) -> None:
    served.goes_on = True
    made, token = served.tokens.add(Role.VIEWER)
    running = stream(served, WATCH, token)
    next(running)

    served.tokens.revoke(made.id)

    with pytest.raises(grpc.RpcError):
        for _ in running:
            pass
    assert running.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "rigmesh login" in running.details()


def test_a_token_has_so_many_calls_at_a_time_and_gets_them_back(served: Served) -> None:
    served.goes_on = True
    token = served.tokens.add(Role.VIEWER)[1]
    running = [stream(served, WATCH, token) for _ in range(3)]
    for one in running:
        next(one)

    with pytest.raises(grpc.RpcError) as refused:
        next(stream(served, WATCH, token))
    for one in running:
        one.cancel()

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    deadline = time.monotonic() + 20
    while True:
        again = stream(served, WATCH, token)
        with contextlib.suppress(grpc.RpcError):
            next(again)
            again.cancel()
            break
        assert time.monotonic() < deadline

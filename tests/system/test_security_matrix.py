"""Every RPC of a daemon, with every kind of caller: who may not is refused, and nothing changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.system.security_host import SecuredHost, code_of, outcome

from rigmesh.client.connection import Connection
from rigmesh_daemon.security.pki import Pki
from rigmesh_daemon.security.rules import LOCAL_ONLY, RULES, Role, services
from rigmesh_proto.v1 import control_pb2 as pb

# The relay is a process of its own; the same gate stands before it (see the unit tests).
METHODS = [
    f"/{service.full_name}/{method.name}"
    for service in services()
    if service.name != "RelayService"
    for method in service.methods
]
STREAMS = {
    f"/{service.full_name}/{method.name}"
    for service in services()
    for method in service.methods
    if method.server_streaming
}
NOT_GOOD = ["none", "garbage", "another secret", "expired", "revoked", "empty"]


@dataclass
class Setting:
    host: SecuredHost
    channel: grpc.Channel
    tokens: dict[str, str]
    local: Connection

    def state(self) -> tuple[bytes, bytes]:
        """Return all that a call could change."""
        graph = self.local.call(self.local.stub.GetGraph, pb.GetGraphRequest())
        status = self.local.status()
        kept = pb.Status(
            state=status.state, groups=status.groups, nodes=status.nodes, run_id=status.run_id
        )
        return graph.SerializeToString(deterministic=True), kept.SerializeToString(
            deterministic=True
        )


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("s")
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(SecuredHost(folder))
        good = host.token(Role.ADMIN)
        revoked = host.token(Role.ADMIN)
        host.tokens.revoke(revoked)
        tokens = {
            "none": "",
            "garbage": "nonsense",
            "another secret": good.partition(".")[0] + "." + "A" * 43,
            "expired": host.token(Role.ADMIN, expires=0.0),
            "revoked": revoked,
            "empty": good.partition(".")[0] + ".",
            **{role.label: host.token(role) for role in Role},
        }
        channel = stack.enter_context(host.channel())
        grpc.channel_ready_future(channel).result(timeout=20)
        local = Connection(host.socket)
        stack.callback(local.close)
        yield Setting(host, channel, tokens, local)


def test_there_is_something_to_call() -> None:
    assert len(METHODS) >= 26
    assert {m for m in METHODS if "ControlService" in m}


@pytest.mark.parametrize("caller", NOT_GOOD)
@pytest.mark.parametrize("method", METHODS)
def test_without_a_good_token_nothing_happens(setting: Setting, method: str, caller: str) -> None:
    before = setting.state()

    code, said = outcome(setting.channel, method, token=setting.tokens[caller])

    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert "rigmesh login" in said
    assert setting.state() == before


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("method", METHODS)
def test_a_role_may_do_what_the_table_says(setting: Setting, method: str, role: Role) -> None:
    may = RULES[method] <= role and method not in LOCAL_ONLY
    before = setting.state()

    code, said = outcome(
        setting.channel, method, token=setting.tokens[role.label], within=1 if may else 10
    )

    if may:
        assert code.name not in ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNKNOWN", "INTERNAL")
        assert code.name != "DEADLINE_EXCEEDED" or method in STREAMS
    else:
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert "rig-1" in said
        assert setting.state() == before


@pytest.mark.parametrize("method", sorted(LOCAL_ONLY))
def test_what_is_for_the_machine_itself_is_not_for_an_admin_elsewhere(
    setting: Setting, method: str
) -> None:
    code, said = outcome(setting.channel, method, token=setting.tokens["admin"])

    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert "on rig-1 itself" in said


def test_nobody_gets_in_in_plain_text(setting: Setting) -> None:
    with grpc.insecure_channel(setting.host.address) as channel:
        codes = {code_of(channel, method) for method in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_a_client_that_trusts_another_authority_does_not_connect(
    setting: Setting, tmp_path: Path
) -> None:
    other = Pki(tmp_path)
    other.make_ca("elsewhere")

    with setting.host.channel(other.ca.read_bytes()) as channel:
        codes = {code_of(channel, m, token=setting.tokens["admin"]) for m in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_a_client_that_expects_another_name_does_not_connect(setting: Setting) -> None:
    with setting.host.channel(name="another-rig") as channel:
        codes = {code_of(channel, m, token=setting.tokens["admin"]) for m in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_a_method_that_does_not_exist_is_no_way_around_the_token(setting: Setting) -> None:
    method = "/rigmesh_proto.v1.ControlService/Nonsense"

    without = code_of(setting.channel, method)
    with_one = code_of(setting.channel, method, token=setting.tokens["viewer"])

    assert (without, with_one) == ("UNAUTHENTICATED", "UNIMPLEMENTED")


def test_a_viewer_may_not_have_all_node_types_read_anew(setting: Setting) -> None:
    method = "/rigmesh_proto.v1.ControlService/ListNodeTypes"
    request = pb.ListNodeTypesRequest(refresh=True).SerializeToString()

    code, said = outcome(setting.channel, method, request, token=setting.tokens["viewer"])

    assert code == grpc.StatusCode.PERMISSION_DENIED
    assert "operator" in said


def test_two_tokens_at_once_are_refused(setting: Setting) -> None:
    call: Any = setting.channel.unary_unary("/rigmesh_proto.v1.ControlService/GetStatus")
    roles = ("viewer", "admin")
    both = tuple(("authorization", f"Bearer {setting.tokens[role]}") for role in roles)

    with pytest.raises(grpc.RpcError) as refused:
        call(b"", metadata=both, timeout=10)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED

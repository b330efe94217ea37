"""Every RPC of a relay that a daemon keeps, with every kind of caller."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tests.system.security_host import SecuredHost, code_of, outcome

from rigmesh.client import Manager
from rigmesh_daemon.security.pki import Pki
from rigmesh_daemon.security.rules import RULES, Role, services
from rigmesh_proto.v1 import relay_pb2 as pb

SERVED = [service for service in services() if service.name == "RelayService"]
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVED
    for method in service.methods
}
ELSEWHERE = [
    f"/{service.full_name}/{method.name}"
    for service in services()
    if service not in SERVED
    for method in service.methods
]
NOT_GOOD = ["none", "garbage", "another secret", "expired", "revoked", "empty"]
OPENS = pb.CarryRequest(open=pb.OpenStream(stream="device.signal", reader="me", lossless=True))


@dataclass
class Setting:
    host: SecuredHost
    address: str
    channel: grpc.Channel
    tokens: dict[str, str]

    def channel_with(self, ca: bytes, name: str = "") -> grpc.Channel:
        # Or a channel to the same address would be the same connection.
        options: list[tuple[str, str | int]] = [("grpc.use_local_subchannel_pool", 1)]
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        credentials = grpc.ssl_channel_credentials(ca)
        return grpc.secure_channel(self.address, credentials, options=options)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(SecuredHost(tmp_path_factory.mktemp("s")))
        manager = stack.enter_context(Manager(socket=host.socket))
        device = manager.create_node("sim.Oscillators", name="device")
        manager.start_all()
        # A stream that has been read stays in its ring: none is to be made by a test.
        stream = device.output.open()
        stack.callback(stream.close)
        stream.read(timeout=40)
        good, revoked = host.token(Role.ADMIN), host.token(Role.ADMIN)
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
        made = Setting(host, f"127.0.0.1:{host.port + 1}", None, tokens)  # type: ignore[arg-type]
        made.channel = stack.enter_context(made.channel_with(host.ca))
        grpc.channel_ready_future(made.channel).result(timeout=40)
        yield made


def request_of(method: str) -> bytes:
    """Return something that the method would answer."""
    return OPENS.SerializeToString() if METHODS[method].server_streaming else b""


def test_there_is_a_rule_for_each_method() -> None:
    assert {"Carry", "GetClockKey", "ProbeClock"} <= {m.name for m in METHODS.values()}
    assert METHODS.keys() <= RULES.keys()


@pytest.mark.parametrize("caller", NOT_GOOD)
@pytest.mark.parametrize("method", METHODS)
def test_without_a_good_token_nothing_is_told(setting: Setting, method: str, caller: str) -> None:
    token = setting.tokens[caller]

    code, said = outcome(setting.channel, method, request_of(method), token=token)

    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert "rigmesh login" in said


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("method", METHODS)
def test_a_role_may_do_what_the_table_says(setting: Setting, method: str, role: Role) -> None:
    may = RULES[method] <= role
    is_stream = METHODS[method].server_streaming

    code, _ = outcome(
        setting.channel, method, request_of(method), token=setting.tokens[role.label],
        within=1 if may and is_stream else 20,
    )  # fmt: skip

    if may:
        # A stream goes on for as long as one listens.
        assert code.name == ("DEADLINE_EXCEEDED" if is_stream else "OK")
    else:
        assert code == grpc.StatusCode.PERMISSION_DENIED


def test_nobody_gets_in_in_plain_text(setting: Setting) -> None:
    with grpc.insecure_channel(setting.address) as channel:
        codes = {code_of(channel, m, request_of(m), token="") for m in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_a_client_that_trusts_another_authority_does_not_connect(
    setting: Setting, tmp_path: Path
) -> None:
    other = Pki(tmp_path)
    other.make_ca("elsewhere")

    with setting.channel_with(other.ca.read_bytes()) as channel:
        codes = {code_of(channel, m, token=setting.tokens["admin"]) for m in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_a_client_that_expects_another_name_does_not_connect(setting: Setting) -> None:
    with setting.channel_with(setting.host.ca, "another-rig") as channel:
        codes = {code_of(channel, m, token=setting.tokens["admin"]) for m in METHODS}

    assert codes == {"UNAVAILABLE"}


def test_the_relay_serves_nothing_of_the_daemon(setting: Setting) -> None:
    without = {code_of(setting.channel, method) for method in ELSEWHERE}
    with_one = {code_of(setting.channel, m, token=setting.tokens["admin"]) for m in ELSEWHERE}

    assert without == {"UNAUTHENTICATED"}
    assert with_one <= {"UNIMPLEMENTED", "PERMISSION_DENIED"}

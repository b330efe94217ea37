"""Every RPC has a rule, and the rules are those that were meant."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

from rigmesh.errors import DaemonError
from rigmesh_daemon.config import DaemonConfig
from rigmesh_daemon.rpc import server
from rigmesh_daemon.security.rules import (
    LOCAL_ONLY,
    RULES,
    Role,
    changes_something,
    check_rules,
    role_for,
    services,
)
from rigmesh_daemon.service import DaemonService
from rigmesh_proto.v1 import control_pb2 as pb

CONTROL = "/rigmesh_proto.v1.ControlService/"


def a_new_service(name: str) -> ServiceDescriptor:
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="later")
    file.message_type.add(name="Nothing")
    service = file.service.add(name=name)
    service.method.add(name="Erase", input_type=".later.Nothing", output_type=".later.Nothing")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: ServiceDescriptor = pool.FindServiceByName(f"later.{name}")
    return found


def test_every_rpc_has_a_rule_and_every_rule_an_rpc() -> None:
    check_rules()


def test_an_rpc_without_a_rule_is_found() -> None:
    with pytest.raises(DaemonError, match=r"no rule for /later.New/Erase"):
        check_rules([*services(), a_new_service("New")])


def test_a_rule_without_an_rpc_is_found() -> None:
    with pytest.raises(DaemonError, match=r"a rule for /a.B/C, which does not exist"):
        check_rules(rules={**RULES, "/a.B/C": Role.VIEWER})


async def _serve(service: DaemonService, socket: Path) -> None:
    await server.serve(service, socket, mode=0o600)


def test_a_daemon_with_an_rpc_without_a_rule_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking() -> None:
        check_rules(rules={m: r for m, r in RULES.items() if m != CONTROL + "Clear"})

    monkeypatch.setattr(server, "check_rules", lacking)
    service = DaemonService(DaemonConfig(run_dir=tmp_path))

    with pytest.raises(DaemonError, match=r"no rule for /rigmesh_proto.v1.ControlService/Clear"):
        asyncio.run(_serve(service, tmp_path / "s"))


def test_who_only_looks_changes_nothing() -> None:
    looking = {m.removeprefix(CONTROL) for m, r in RULES.items() if r is Role.VIEWER}

    assert {m for m in looking if "/" not in m} == {
        "GetStatus", "ListNodeTypes", "GetStates", "GetLatencies", "GetGraph", "Subscribe", "Watch",
    }  # fmt: skip
    assert not any(changes_something(CONTROL + m) for m in looking if "/" not in m)
    assert changes_something("/later.New/Erase")


def test_a_process_is_registered_on_the_machine_itself_only() -> None:
    assert {CONTROL + "RegisterGroup"} == LOCAL_ONLY
    assert RULES[CONTROL + "RegisterGroup"] is Role.ADMIN


def test_a_request_may_need_more_than_its_method() -> None:
    method = CONTROL + "ListNodeTypes"

    assert role_for(method, pb.ListNodeTypesRequest()) is Role.VIEWER
    assert role_for(method, pb.ListNodeTypesRequest(refresh=True)) is Role.OPERATOR


def test_an_unknown_role_is_told_with_those_there_are() -> None:
    with pytest.raises(DaemonError, match=r"viewer, operator, admin"):
        Role.named("root")

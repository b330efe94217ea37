"""Two rigs with the same graph: what is changed is changed where it is shown, or nowhere."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.system.security_host import SecuredHost
from tests.web.conftest import Visit
from tests.web.served import Served, Visitor

from rigmesh.client.connection import Connection
from rigmesh.client.fleet import Fleet, Member
from rigmesh.credentials import store_credentials
from rigmesh.errors import NameTaken, RigmeshError
from rigmesh_daemon.security.rules import Role
from rigmesh_proto.v1 import control_pb2 as pb

pytestmark = pytest.mark.timeout(120)

NAMES = ("rig-2", "rig-3")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, SecuredHost]]:
    """Two daemons."""
    with ExitStack() as stack:
        made = {}
        for name in NAMES:
            (tmp_path / name).mkdir()
            settings: dict[str, Any] = {"host": name}
            made[name] = stack.enter_context(SecuredHost(tmp_path / name, **settings))
        yield made


@pytest.fixture
def rigs(
    tmp_path: Path, hosts: dict[str, SecuredHost], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Member]]:
    """Two hosts that this user is logged in to, with nodes of the same names."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("RIGMESH_OPERATOR", "ada@desk")
    with ExitStack() as stack:
        members = {}
        for name, host in hosts.items():
            credentials = host.credentials(Role.OPERATOR)
            store_credentials(credentials)
            connection = Connection(credentials)
            stack.callback(connection.close)
            members[name] = Member(connection)
            _make(members[name], "amp", "sim.Oscillators", n_channels=2)
            _make(members[name], "alpha", "filters.BandPass", low=8, high=12)
            link = pb.ConnectRequest(stream="amp.signal", input="alpha.signal")
            members[name].call(members[name].stub.Connect, link)
        yield members


@pytest.fixture
def served(tmp_path: Path, rigs: dict[str, Member]) -> Iterator[Served]:
    """A page that shows both, on a machine without a daemon."""
    hosts = [argument for each in rigs.values() for argument in ("--host", each.address)]
    with Served(tmp_path, *hosts, socket=tmp_path / "none.sock") as made:
        yield made


@pytest.fixture
def visitor(served: Served) -> Iterator[Visitor]:
    """Who has logged in there."""
    with served.visitor() as made:
        yield made


def _make(member: Member, name: str, type_: str, **parameters: object) -> None:
    member.create(pb.NodeSpec(name=name, type=type_, params_json=json.dumps(parameters)))


def _low(member: Member) -> float:
    nodes = {node.spec.name: node for node in member.status().nodes}
    found: float = json.loads(nodes["alpha"].spec.params_json)["low"]
    return found


def test_a_name_that_two_hosts_have_is_refused_with_both(
    visitor: Visitor, rigs: dict[str, Member]
) -> None:
    before = [_low(member) for member in rigs.values()]

    answers = [
        visitor.get("/api/node?name=alpha"),
        visitor.post("/api/parameters", {"node": "alpha", "values": {"low": 9}}),
        visitor.post("/api/states", {"node": "alpha", "values": {"low": 9}}),
        visitor.post("/api/call", {"node": "alpha", "command": "reset"}),
    ]

    assert [answer.status_code for answer in answers] == [409] * 4
    assert {answer.json()["message"] for answer in answers} == {
        "the node 'alpha' is on rig-2 and rig-3; say which one: host=rig-2, or alpha@rig-2"
    }
    assert [_low(member) for member in rigs.values()] == before


@pytest.mark.parametrize(
    "said", [{"node": "alpha", "host": "rig-2"}, {"node": "alpha@rig-2"}], ids=["host", "name"]
)
def test_a_change_goes_to_the_host_that_was_said(
    visitor: Visitor, rigs: dict[str, Member], said: dict[str, str]
) -> None:
    answer = visitor.post("/api/parameters", {**said, "values": {"low": 9}})
    shown = [visitor.get(f"/api/node?name=alpha&host={name}").json() for name in NAMES]

    assert answer.status_code == 200, answer.text
    assert [_low(rigs[name]) for name in NAMES] == [9, 8]
    assert [node["parameters"]["low"] for node in shown] == [9, 8]
    assert [node["host"] for node in shown] == list(NAMES)


def test_a_start_goes_to_the_hosts_that_were_said(
    visitor: Visitor, rigs: dict[str, Member]
) -> None:
    visitor.post("/api/start", {"host": ["rig-3"]})
    started = [rigs[name].status().state for name in NAMES]
    visitor.post("/api/stop", {"host": "rig-3"})
    stopped = rigs["rig-3"].status().state
    refused = [visitor.post("/api/start", {"host": hosts}) for hosts in (["rig-4"], [])]

    assert started == ["idle", "running"]
    assert stopped == "idle"
    assert [answer.status_code for answer in refused] == [404, 503]


def test_the_page_shows_both_and_changes_the_one_that_is_chosen(
    served: Served, visit: Visit, rigs: dict[str, Member]
) -> None:
    page = visit(served, "/rigs")
    rig_3 = page.get_by_role("article", name="Host rig-3")
    rig_3.get_by_role("link", name="alpha").click()
    page.get_by_role("heading", name="alpha@rig-3").wait_for()
    page.get_by_role("button", name=re.compile("^alpha, ")).first.wait_for()
    cards = page.get_by_role("button", name=re.compile("^alpha, ")).count()
    page.get_by_label("low", exact=True).fill("9")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text(re.compile("^Applied")).wait_for()

    assert "host=rig-3" in page.url
    assert cards == 2
    assert [_low(rigs[name]) for name in NAMES] == [8, 9]


def test_a_stream_is_that_of_the_host_that_was_said(
    served: Served, visit: Visit, rigs: dict[str, Member]
) -> None:
    _make(rigs["rig-3"], "wide", "sim.Oscillators", n_channels=3)
    for member in rigs.values():
        member.start(30)
    page = visit(served, "/live?stream=amp.signal")
    page.get_by_text("the stream 'amp.signal' is on rig-2 and rig-3").wait_for()

    page.goto(f"{served.base}/live?stream=amp.signal&host=rig-3&seconds=1")
    page.evaluate('async () => { window.live = await import("/static/live.js"); }')
    page.wait_for_function(
        '() => live.streams.get("amp.signal@rig-3")?.columns?.stop > 10', timeout=60_000
    )
    page.locator("summary").click()
    names = page.get_by_role("checkbox").evaluate_all("(all) => all.map((each) => each.value)")

    amps = sorted(name for name in names if name.startswith("amp"))
    assert amps == ["amp.signal@rig-2", "amp.signal@rig-3"]
    assert "wide.signal" in names


def test_a_manager_of_both_refuses_a_name_that_two_have(rigs: dict[str, Member]) -> None:
    fleet = Fleet(rigs["rig-2"])
    fleet.add(rigs["rig-3"])

    with pytest.raises(NameTaken, match=r"'alpha' is on rig-2 and rig-3"):
        fleet.of("alpha")
    rigs["rig-3"].remove("alpha")
    assert fleet.of("alpha") is rigs["rig-2"]


def test_a_host_that_hangs_keeps_no_other_going(
    hosts: dict[str, SecuredHost], rigs: dict[str, Member]
) -> None:
    fleet = Fleet(rigs["rig-2"])
    fleet.add(rigs["rig-3"])
    for member in fleet:
        member.start(30)

    hosts["rig-3"].usage.suspend()
    try:
        stopping = threading.Thread(target=lambda: _stop(fleet))
        stopping.start()
        deadline = time.monotonic() + 90
        while rigs["rig-2"].status().state != "idle":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        hosts["rig-3"].usage.resume()
        stopping.join()


def _stop(fleet: Fleet) -> None:
    with suppress(RigmeshError):
        fleet.stop(10)

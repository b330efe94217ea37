"""The page of the graph: who may starts, stops and changes; who may not sees no control."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.web.conftest import Until, Visit
from tests.web.served import Served, tokens_in

from rigmesh.client import Manager
from rigmesh.errors import RigmeshError
from rigmesh_daemon.security.rules import Role


@pytest.fixture
def host(tmp_path: Path, daemon_socket: Path) -> Iterator[Served]:
    """The page of a host with tokens."""
    with Served(tmp_path, socket=daemon_socket, tokens=tokens_in(tmp_path)) as made:
        yield made


def _token(host: Served, role: Role) -> str:
    assert host.tokens is not None
    return host.tokens.add(role, note="Ada")[1]


def _graph(manager: Manager) -> None:
    source = manager.create_node("sim.Oscillators", name="amp", n_channels=2)
    low = manager.create_node("filters.BandPass", name="alpha", low=8, high=12)
    low.input.connect(source.output)


def test_the_picture_shows_nodes_links_and_states(
    manager: Manager, served: Served, visit: Visit
) -> None:
    _graph(manager)
    manager.start_all()

    page = visit(served, "/graph")

    page.get_by_role("button", name="alpha, filters.BandPass, running").wait_for()
    page.get_by_role("button", name="amp, sim.Oscillators, running").wait_for()
    titles = page.locator("path.wire title").all_text_contents()
    assert [title.partition(":")[0] for title in titles] == ["amp.signal → alpha.signal"]


def test_who_may_starts_and_stops(
    manager: Manager, served: Served, visit: Visit, until: Until
) -> None:
    _graph(manager)
    page = visit(served, "/graph")

    page.get_by_role("button", name="Start", exact=True).click()
    until(lambda: manager.status().state == "running")
    page.get_by_role("button", name="amp, sim.Oscillators, running").wait_for()
    page.locator("#stop:enabled").click()

    until(lambda: manager.status().state == "idle")
    page.get_by_role("button", name="amp, sim.Oscillators, stopped").wait_for()
    assert '"method":' in served.audit
    assert all(f'"web {what}"' in served.audit for what in ("login", "start", "stop"))


def test_a_graph_of_somebody_else_is_taken_over_first(
    manager: Manager, host: Served, visit: Visit, until: Until
) -> None:
    _graph(manager)
    token = _token(host, Role.OPERATOR)
    page = visit(host, "/graph", token)

    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Take over").click()

    until(lambda: manager.status().state == "running")
    assert manager.status().owner.startswith(f"{token[:8]} Ada")
    manager.take_over()


def test_who_only_looks_has_no_controls_and_is_refused(
    manager: Manager, host: Served, visit: Visit
) -> None:
    _graph(manager)
    token = _token(host, Role.VIEWER)
    page = visit(host, "/graph?node=alpha", token)
    page.get_by_role("heading", name="alpha").wait_for()

    names = page.get_by_role("button").all_inner_texts()
    fields = page.locator(".node-panel input:enabled, .node-panel select:enabled").count()
    with host.visitor(token) as visitor:
        answers = {
            path: visitor.post(f"/api/{path}", {"node": "alpha", "values": {"low": 9}})
            for path in ("start", "stop", "take-over", "annotate", "parameters", "states", "call")
        }

    assert not {"Start", "Stop", "Annotate", "Apply"} & set(names)
    assert fields == 0
    assert {path: a.status_code for path, a in answers.items()} == dict.fromkeys(answers, 403)
    assert {a.json()["error"] for a in answers.values()} == {"NotPermitted"}
    assert manager.status().state == "idle"
    assert manager["alpha"].parameters["low"] == 8


def test_a_parameter_is_changed_while_the_graph_runs(
    manager: Manager, served: Served, visit: Visit, until: Until
) -> None:
    _graph(manager)
    manager.start_all()
    page = visit(served, "/graph")

    page.get_by_role("button", name=re.compile("^alpha")).press("Enter")
    page.get_by_label("low", exact=True).fill("9")
    page.get_by_role("button", name="Apply").click()

    page.get_by_text(re.compile(r"Applied from sample \d+ of alpha.filtered on")).wait_for()
    assert manager["alpha"].parameters["low"] == 9
    page.get_by_label("high", exact=True).fill("5")
    page.get_by_role("button", name="Apply").click()
    page.locator(".notice.bad").wait_for()
    assert manager["alpha"].parameters["high"] == 12


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("annotate", {"text": "\ud800"}),
        ("call", {"node": "alpha", "command": "\ud800"}),
        ("parameters", {"node": "\ud800", "values": {"low": 9}}),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused_and_so_noted(
    manager: Manager, served: Served, path: str, body: dict[str, object]
) -> None:
    _graph(manager)
    headers = {"Content-Type": "application/json"}
    with served.visitor() as visitor:
        answer = visitor.client.post(
            f"/api/{path}", content=json.dumps(body), headers={**visitor.origin, **headers}
        )
    lines = [json.loads(line) for line in served.audit.splitlines()]

    assert answer.status_code in (404, 422)
    assert answer.json()["message"]
    assert [e["outcome"] for e in lines if e["method"] == f"web {path}"] != ["ok"]


def test_states_are_shown_and_commands_obeyed(
    manager: Manager, served: Served, visit: Visit, tmp_path: Path
) -> None:
    source = manager.create_node("sim.Oscillators", name="amp", n_channels=1)
    node = manager.create_node("record.HDF5Recorder", name="recorder", path=str(tmp_path / "r.h5"))
    node.input.connect(source.output)
    manager.start_all()

    page = visit(served, "/graph?node=recorder")
    page.get_by_text("recording", exact=True).wait_for()
    page.get_by_role("button", name="pause", exact=True).click()

    page.get_by_text("paused", exact=True).wait_for()
    assert node.states["phase"] == "paused"


def test_a_node_that_failed_is_an_alarm(
    manager: Manager, served: Served, visit: Visit, tmp_path: Path
) -> None:
    manager.create_node("sim.Oscillators", name="amp", n_channels=2)
    manager.create_node("replay.File", name="player", path=str(tmp_path / "none.h5"))
    page = visit(served, "/rigs")

    with pytest.raises(RigmeshError):
        manager.start_all()

    page.locator(".alarm.bad", has_text="player").wait_for()
    page.goto(f"{served.base}/graph?node=player")
    page.locator(".card.failed").wait_for()
    page.get_by_role("heading", name="Failure").wait_for()


def test_everything_is_reached_by_keyboard(manager: Manager, served: Served, visit: Visit) -> None:
    _graph(manager)
    page = visit(served, "/graph")
    page.get_by_role("button", name=re.compile("^alpha")).wait_for()

    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(document.activeElement.getAttribute('aria-label') "
                "|| document.activeElement.textContent)"
            )
        )

    text = "\n".join(seen)
    assert seen[0] == "Skip to the content"
    assert all(
        name in text for name in ("Rigs", "Live", "Graph", "Log out", "Start", "alpha, filters")
    )

"""When a group has too much to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from rigmesh.node import Input, Node
from rigmesh.streams import Signal
from rigmesh.transports import ShmTransport, process_token
from rigmesh_daemon.group import counters
from rigmesh_daemon.group.counters import GroupCounters
from rigmesh_daemon.group.nodes import GroupNodes
from rigmesh_daemon.group.runtime import RunFacts
from rigmesh_daemon.group.tuning import Quiet


class Busy(Node):
    """Works."""

    signal = Input(Signal)

    def process(self, chunk: Signal) -> None: ...


class Reports:
    """Takes no notice."""

    def __getattr__(self, name: str) -> object:
        return lambda *what: None


@pytest.fixture
def nodes() -> Iterator[GroupNodes]:
    reports: object = Reports()
    made = GroupNodes(
        ShmTransport(process_token()), RunFacts(), reports, own_types={"Busy": Busy}  # type: ignore[arg-type]
    )  # fmt: skip
    for name in ("light", "heavy"):
        made.add(name, "Busy", {}, first_epochs={})
        made.runners[name].handler("signal")
    yield made
    made.close()


def worked(nodes: GroupNodes, **nanoseconds: int) -> None:
    for name, work in nanoseconds.items():
        nodes.runners[name].meters["signal"].work += work


def test_a_group_with_too_much_work_says_which_node_to_move(
    nodes: GroupNodes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(counters, "local_clock", lambda: now)
    group = GroupCounters("loop", nodes, Quiet())
    nodes.runners["light"].join(nodes.runners["heavy"].lane)

    with caplog.at_level(logging.WARNING):
        for _ in range(12):
            now += 0.25
            worked(nodes, light=25_000_000, heavy=150_000_000)
            page = group.page()

    assert page.process.load == pytest.approx(0.7)
    assert page.process.busiest == "heavy"
    assert page.process.busiest_load == pytest.approx(0.6)
    warnings = [
        r.getMessage()
        for r in caplog.records
        if "too much" in r.getMessage() or "works" in r.getMessage()
    ]
    assert len(warnings) == 1
    assert "group loop works 70 % of the time, most of it (60 %) in heavy" in warnings[0]
    assert "Move heavy into a group of its own" in warnings[0]


def test_a_short_peak_is_no_reason_to_warn(
    nodes: GroupNodes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(counters, "local_clock", lambda: now)
    group = GroupCounters("loop", nodes, Quiet())

    with caplog.at_level(logging.WARNING):
        for number in range(12):
            now += 0.25
            worked(nodes, heavy=200_000_000 if number % 3 == 0 else 1_000_000)
            group.page()

    assert not caplog.records


def test_only_the_ends_of_chains_have_their_percentiles_in_the_page(nodes: GroupNodes) -> None:
    nodes.runners["heavy"].meters["signal"].latency.add(5_000_000)
    group = GroupCounters("loop", nodes, Quiet())

    page = group.page()

    found = {node.node: node for node in page.nodes}
    assert set(found) == {"light", "heavy"}
    assert 5e-3 <= found["heavy"].latency_p99 < 5.4e-3
    assert found["light"].chunks == 0

"""The audit log: who changed what, without secrets, in bounded space."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from rigmesh_daemon.security.audit import Audit, summary_of
from rigmesh_daemon.security.limits import RateLimit, Slots
from rigmesh_daemon.security.peers import connected_users
from rigmesh_proto.v1 import control_pb2 as pb


def record(audit: Audit, **values: str) -> None:
    entry = {"who": "1a2b3c4d bob", "peer": "ipv4:10.0.0.7:5", "method": "/p.S/Start",
             "summary": "", "outcome": "ok"}  # fmt: skip
    audit.record(**{**entry, **values})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_a_change_is_one_line_of_json_that_only_the_daemon_reads(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"

    record(Audit(path), summary="node=amp")

    (line,) = lines(path)
    assert line.pop("time") > 1.6e9
    assert line == {"who": "1a2b3c4d bob", "peer": "ipv4:10.0.0.7:5", "method": "Start",
                    "summary": "node=amp", "outcome": "ok"}  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_hostile_names_stay_on_their_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    record(Audit(path), summary='x\n{"who": "admin"}\x1b[2J\u2028\x00', outcome="\r\n")

    raw = path.read_bytes()
    assert raw.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in raw[:-1])
    assert len(lines(path)) == 1


def test_the_log_is_bounded_and_its_newest_lines_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path, max_bytes=2000, n_kept=2)

    for number in range(100):
        record(audit, summary=f"{number}")

    files = sorted(tmp_path.iterdir())
    assert {file.name for file in files} <= {"audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"}
    assert sum(file.stat().st_size for file in files) < 3 * 2200
    kept = sorted(int(line["summary"]) for file in files for line in lines(file))
    assert kept == list(range(kept[0], 100))


def test_a_log_that_cannot_be_written_keeps_nobody_from_working(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(tmp_path)  # a folder

    record(audit)
    record(audit)

    assert caplog.text.count("cannot write the audit log") == 1


def test_values_that_sound_like_secrets_are_hidden() -> None:
    request = pb.SetParametersRequest(
        node="amp",
        params_json=json.dumps(
            {"gain": 24, "password": "hunter2", "api_key": "k3y", "url": "rtsp://bob:pw@cam/1"}
        ),
    )

    summary = summary_of(request)

    assert summary.startswith("node=amp params={gain: 24, ")
    assert "rtsp://(hidden)@cam/1" in summary
    assert not {"hunter2", "k3y", "pw@"} & set(summary.replace(",", " ").split())
    assert "hunter2" not in summary
    assert "k3y" not in summary


@pytest.mark.parametrize("text", ["{", "[" * 10_000, '"' + "x" * 10_000 + '"', "{}" * 50_000, "7"])
def test_whatever_is_asked_the_summary_is_short(text: str) -> None:
    nodes = [pb.NodeSpec(name=f"n{i}" * 40, params_json=text) for i in range(200)]

    for request in (
        pb.SetStatesRequest(values_json=text),
        pb.LoadGraphRequest(graph=pb.GraphSpec(name="g" * 10_000, nodes=nodes)),
        pb.AnnotateRequest(text=text),
    ):
        assert len(summary_of(request)) <= 400


def test_a_graph_is_summed_up_by_its_nodes() -> None:
    graph = pb.GraphSpec(name="rig", nodes=[pb.NodeSpec(name="amp"), pb.NodeSpec(name="alpha")])

    assert summary_of(pb.LoadGraphRequest(graph=graph)) == "name=rig nodes[2]=amp,alpha"


def test_a_flood_is_counted_and_not_logged() -> None:
    limit = RateLimit(2, 3600.0)

    assert [limit.passes() for _ in range(4)] == [0, 0, None, None]


def test_what_was_held_back_is_told_in_the_next_period() -> None:
    limit = RateLimit(1, 0.0)
    limit._period = 3600.0
    assert [limit.passes() for _ in range(3)] == [0, None, None]

    limit._period = 0.0

    assert limit.passes() == 2


def test_a_name_takes_its_own_slots_only() -> None:
    slots = Slots(1)

    assert (slots.take("a"), slots.take("a"), slots.take("b")) == (True, False, True)
    slots.give_back("a")
    assert slots.take("a")


def test_the_users_at_the_other_ends_of_a_socket_are_known(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(path))
        listener.listen()
        assert connected_users(path) == set()

        client.connect(str(path))
        accepted, _ = listener.accept()
        with accepted:
            assert connected_users(path) == {Path("/proc/self").stat().st_uid}

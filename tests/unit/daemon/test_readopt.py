"""What a daemon writes down and how the next one finds it; processes without their parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from rigmesh.errors import DaemonError
from rigmesh.graph import AliasSpec, GroupSpec, NodeSpec
from rigmesh.node.registry import NodeType
from rigmesh.transports import process_token
from rigmesh_daemon.config import DaemonConfig
from rigmesh_daemon.group.framing import FrameReader, frame
from rigmesh_daemon.journal import Journal, JournalLock, KnownRing, Snapshot
from rigmesh_daemon.processes import Adopted, Printed
from rigmesh_daemon.service import DaemonService
from rigmesh_daemon.state import GraphState, NodeRecord
from rigmesh_daemon.supervisor import GroupProcess
from rigmesh_proto.v1 import control_pb2, group_pb2, stream_pb2


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


def make_process(run_dir: Path, name: str, group: GroupSpec) -> GroupProcess:
    async def on_exit(process: GroupProcess) -> None:
        """Nothing follows."""

    return GroupProcess(
        name, group, DaemonConfig(run_dir=run_dir), "1.2",
        on_event=lambda process, event: None, on_exit=on_exit,
        on_output=lambda name, line: None,
    )  # fmt: skip


def make_state(run_dir: Path) -> GraphState:
    state = GraphState(name="test", metadata={"subject": "S1"}, phase="running", run_id="abc")
    state.run_start, state.started = 12.5, 1e9
    state.groups["amp"] = GroupSpec("amp", restart="on-failure", cpus=(0, 1))
    state.aliases["level"] = AliasSpec(("a.level", "b.level"), "peers", "Both.")
    state.types["test.Node"] = NodeType("test.Node", "", (), (), {"properties": {}})
    spec = NodeSpec("a", "test.Node", "amp", {"rate": 2.5}, {"signal": ("b.out", "c.out")})
    state.nodes["a"] = NodeRecord(spec, "amp", control_pb2.NODE_STATE_RUNNING)
    state.processes["amp"] = make_process(run_dir, "amp", state.groups["amp"])
    state.published.add("a.out")
    state.over.add("c.out")
    state.epochs["a.out"] = 3
    state.rings["a.out"] = [stream_pb2.Ring(stream="a.out", epoch=3, segment="/rigmesh-1.2-a")]
    return state


def read(path: Path) -> Snapshot | None:
    return Journal(path, GraphState(), lambda: "").read()


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    state.processes["amp"].token, state.processes["amp"].restarts = "77.88", 2
    journal = Journal(tmp_path / "graph.json", state, lambda: "1.2")

    journal.begin()
    found = read(tmp_path / "graph.json")

    assert found is not None
    assert (found.session, found.phase, found.run_id) == ("1.2", "running", "abc")
    assert (found.run_start, found.started) == (12.5, 1e9)
    assert (found.name, found.metadata) == ("test", {"subject": "S1"})
    assert found.groups == state.groups
    assert found.aliases == state.aliases
    assert found.nodes["a"].spec == state.nodes["a"].spec
    assert found.nodes["a"].state == "NODE_STATE_RUNNING"
    assert NodeType.from_dict(json.loads(found.types["test.Node"])) == state.types["test.Node"]
    assert (found.processes["amp"].token, found.processes["amp"].restarts) == ("77.88", 2)
    assert found.processes["amp"].socket == str(tmp_path / "amp.group")
    assert (found.published, found.over, found.epochs) == (["a.out"], ["c.out"], {"a.out": 3})
    assert found.rings == {"a.out": [KnownRing(3, "/rigmesh-1.2-a")]}


def test_only_its_user_reads_the_journal_and_nothing_else_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "graph.json", make_state(tmp_path), lambda: "1.2")

    journal.begin()

    assert [path.name for path in tmp_path.iterdir()] == ["graph.json"]
    assert (tmp_path / "graph.json").stat().st_mode & 0o777 == 0o600
    journal.end()
    assert not list(tmp_path.iterdir())


def test_a_phase_is_written_at_once_and_a_log_record_never(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    journal = Journal(tmp_path / "graph.json", state, lambda: "1.2")
    journal.begin()
    written = (tmp_path / "graph.json").stat().st_ino

    state.tell(control_pb2.Event(log=control_pb2.LogRecord(message="x")))
    assert (tmp_path / "graph.json").stat().st_ino == written

    state.set_phase("stopping")
    found = read(tmp_path / "graph.json")
    assert found is not None
    assert found.phase == "stopping"


def test_a_wish_is_written_down_before_the_lock_is_free(tmp_path: Path) -> None:
    async def wish() -> None:
        state = make_state(tmp_path)
        journal = Journal(tmp_path / "graph.json", state, lambda: "1.2")
        journal.begin()

        async with JournalLock(journal) as _:
            state.groups["loop"] = GroupSpec("loop")

        found = read(tmp_path / "graph.json")
        assert found is not None
        assert found.groups.keys() == {"amp", "loop"}

    run(wish())


def test_without_a_journal_there_is_nothing_to_find(tmp_path: Path) -> None:
    assert read(tmp_path / "graph.json") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"rigmesh":1', '"rigmesh":2'),
        lambda text: text.replace('"process":"amp"', '"process":"gone"'),
        lambda text: text.replace("NODE_STATE_RUNNING", "NODE_STATE_FLYING"),
        lambda text: text.replace('"phase":"running"', '"phase":"flying"'),
        lambda text: text.replace('"test.Node":"{', '"test.Node":"'),
    ],
)  # fmt: skip
def test_a_damaged_journal_is_refused_by_name(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "graph.json"
    journal = Journal(path, make_state(tmp_path), lambda: "1.2")
    journal.begin()
    path.write_text(damage(path.read_text()))

    with pytest.raises(DaemonError, match=r"graph\.json is not what a daemon writes"):
        journal.read()


def test_a_daemon_that_finds_a_damaged_journal_is_idle_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "graph.json").write_bytes(b"\xff\x00 not a journal")

    async def start() -> None:
        service = DaemonService(DaemonConfig(run_dir=tmp_path))
        await service.open()
        assert service.status().state == "idle"
        await service.close()

    run(start())

    assert "cannot read" in caplog.text
    assert not (tmp_path / "graph.json").exists()


def test_the_end_of_somebody_elses_child_is_noticed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    async def adopt() -> None:
        adopted = Adopted(process_token(child.pid))
        waiting = asyncio.create_task(adopted.wait())
        await asyncio.sleep(0)
        assert not waiting.done()

        adopted.kill()
        await waiting

        adopted.kill()  # harmless

    run(adopt())

    child.communicate()
    assert child.returncode == -signal.SIGKILL


def test_another_process_of_the_same_pid_is_not_adopted() -> None:
    async def adopt() -> None:
        with pytest.raises(ProcessLookupError):
            Adopted(f"{os.getpid()}.1")

    run(adopt())


def test_a_process_prints_on_without_its_reader_and_the_next_one_reads_it(tmp_path: Path) -> None:
    lines: list[str] = []
    program = "import sys; print('one'); sys.stdin.readline(); print('two')"

    def start(output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-u", "-c", program], stdin=subprocess.PIPE, stdout=output
        )

    async def print_on() -> None:
        output = Printed(tmp_path / "amp.out", lines.append).make()  # forgotten, as by a kill
        child = start(output)
        os.close(output)
        next_reader = Printed(tmp_path / "amp.out", lines.append)
        next_reader.listen()
        following = asyncio.create_task(next_reader.follow())
        await asyncio.to_thread(child.communicate, b"\n")
        await following
        assert child.returncode == 0

    run(print_on())

    assert lines == ["one", "two"]


class Connected:
    """A daemon that a group takes for one."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._frames = FrameReader(self._socket)
        assert self.event().HasField("hello")

    def event(self) -> group_pb2.GroupEvent:
        raw = self._frames.read()
        assert raw is not None
        return group_pb2.GroupEvent.FromString(raw)

    def ask(self, number: int, **what: Any) -> None:
        self.say(group_pb2.GroupRequest(id=number, **what).SerializeToString())

    def say(self, raw: bytes) -> None:
        self._socket.sendall(frame(raw))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def group(tmp_path: Path) -> Any:
    path = tmp_path / "g.group"
    process = subprocess.Popen([sys.executable, "-m", "rigmesh_daemon.group", "g", str(path)])
    while not path.exists() and process.poll() is None:
        os.sched_yield()
    yield path
    assert process.wait(20) == 0
    assert not path.exists()


def configuration() -> group_pb2.Configure:
    return group_pb2.Configure(
        session=process_token(), grace=20, shm_share=0.5, shm_mode=0o600, shm_gid=-1,
        group=group_pb2.Configure().group.__class__(name="g", wait="block", buffer_seconds=10),
    )  # fmt: skip


def test_a_group_tells_the_next_daemon_how_everything_stands(group: Path) -> None:
    first = Connected(group)
    first.ask(1, configure=configuration())
    assert first.event().reply.id == 1
    first.ask(2, add_node=group_pb2.AddNode(name="source", type="sim.Oscillators"))
    assert not first.event().reply.HasField("failure")
    first.close()

    second = Connected(group)
    second.ask(1, configure=configuration())
    assert not second.event().reply.HasField("failure")
    second.ask(2, describe=group_pb2.Describe())
    found = second.event().reply.description

    assert [(node.node, node.state) for node in found.nodes] == [
        ("source", control_pb2.NODE_STATE_CREATED)
    ]
    second.ask(3, shutdown=group_pb2.Shutdown())
    second.close()


def test_a_group_does_not_end_of_nonsense_on_its_socket(group: Path) -> None:
    stranger = Connected(group)
    stranger.say(b"\xff\xff\xff nonsense")
    stranger.close()

    daemon = Connected(group)
    daemon.ask(1, shutdown=group_pb2.Shutdown())
    daemon.close()


def test_what_a_group_has_to_say_meanwhile_waits_for_the_next_daemon(group: Path) -> None:
    first = Connected(group)
    first.ask(1, configure=configuration())
    assert first.event().reply.id == 1
    first.close()
    stranger = Connected(group)
    stranger.say(b"\xff\xff\xff nonsense")
    stranger.close()

    second = Connected(group)
    second.ask(1, configure=configuration())
    second.ask(2, describe=group_pb2.Describe())

    assert [second.event().reply.id for _ in range(2)] == [1, 2]
    assert "not a daemon" in second.event().log.message
    second.ask(3, shutdown=group_pb2.Shutdown())
    second.close()

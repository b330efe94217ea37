"""States, aliases, commands, group options and latencies of a graph that runs."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.system.conftest import Until

from rigmesh.client import Manager
from rigmesh.errors import NotPermitted, ParameterError, StateError, UnknownName

GRAPH = """
rigmesh: 1
groups:
  one: {deadline: 60 s}
nodes:
  source: {type: sim.Oscillators, group: one}
  low: {type: filters.LowPass, group: one, inputs: {signal: source}}
  marks: {type: events.Threshold, group: two, inputs: {signal: low}, params: {level: 40}}
  more: {type: events.Threshold, group: one, inputs: {signal: low}, params: {level: 40}}
aliases:
  level: {states: [marks.level, more.level], doc: The level of both.}
  cutoff: low.cutoff
  shown: {states: [low.cutoff], write: none}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH)
    return path


def test_states_are_read_and_written_by_name_and_alias(manager: Manager, graph: Path) -> None:
    manager.load(graph)
    with manager.running():
        assert manager.states["low.cutoff"] == manager.states["cutoff"] == 40.0

        manager.states["cutoff"] = 30
        effective = manager.states.write({"level": 41.0, "more.hysteresis": 1})

        assert manager["low"].states["cutoff"] == 30.0
        assert manager["marks"].states["level"] == manager["more"].states["level"] == 41.0
        assert set(effective) == {"marks.events", "more.events"}
        assert manager["more"].parameters["level"] == 41.0


def test_what_cannot_be_written_is_named(manager: Manager, graph: Path) -> None:
    manager.load(graph)
    with manager.running():
        with pytest.raises(NotPermitted, match="alias 'shown': only nodes may write it"):
            manager.states["shown"] = 1
        with pytest.raises(UnknownName, match=r"alias 'levle'.*did you mean level"):
            manager.states["levle"] = 1
        with pytest.raises(ParameterError, match="cutoff"):
            manager.states["cutoff"] = 1e6
        with pytest.raises(UnknownName, match="command of low 'explode'"):
            manager["low"].call("explode")
        assert manager.states["cutoff"] == 40.0


def test_members_of_an_alias_follow_each_other_over_processes(
    manager: Manager, graph: Path, until: Until
) -> None:
    manager.load(graph)
    with manager.running():
        manager["marks"].update(level=42.0)
        until(lambda: manager["more"].states["level"] == 42.0)

        manager["more"].update(level=43.0)
        until(lambda: manager["marks"].states["level"] == 43.0)


def test_changes_are_in_the_journal_of_a_recording(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    import h5py

    source = manager.create_node("sim.Oscillators", name="source")
    marks = manager.create_node("events.Threshold", name="marks", level=40)
    recorder = manager.create_node("record.HDF5Recorder", path=str(tmp_path / "x.h5"))
    marks.input.connect(source.output)
    recorder.input.connect(source.output, marks.output)
    with manager.running():
        until(lambda: manager.status().stream_counters[0].written > 100)
        manager.states["marks.level"] = 0.5

    with h5py.File(tmp_path / "x.h5") as file:
        said = json.dumps([str(item) for item in _texts(file)])
    assert "marks" in said
    assert "level" in said
    assert "effective" in said


def _texts(file: object) -> list[object]:
    import h5py

    found: list[object] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "journal" in name:
            found.extend(item[...].tolist())

    file.visititems(visit)  # type: ignore[attr-defined]
    return found


def test_latencies_are_counted_for_every_node_and_ring(
    manager: Manager, graph: Path, until: Until
) -> None:
    manager.load(graph)
    with manager.running():
        until(lambda: all(x.histogram.total > 5 for x in manager.latencies()))
        found = {(x.reader, x.stream): x for x in manager.latencies()}

        assert set(found) == {
            ("low.signal", ""),
            ("marks.signal", ""),
            ("marks.signal", "low.filtered"),
            ("more.signal", ""),
        }
        assert [name for (name, ring), x in found.items() if x.is_last and not ring] == [
            "more.signal", "marks.signal",
        ]  # fmt: skip
        assert found["low.signal", ""].work > 0
        assert 0 < found["marks.signal", ""].histogram.percentile(50) < 60
        until(lambda: len(manager.status().node_counters) == 2)
        assert not any(process.counters.deadline_misses for process in manager.status().processes)


def test_a_missed_deadline_is_counted(manager: Manager, until: Until) -> None:
    group = manager.create_nodegroup("tight", deadline=1e-9)
    source = manager.create_node("sim.Oscillators", host=group)
    low = manager.create_node("filters.LowPass", host=group)
    low.input.connect(source.output)
    with manager.running():
        until(lambda: any(p.counters.deadline_misses > 3 for p in manager.status().processes))
        assert all(x.late == x.histogram.total for x in manager.latencies() if x.is_last)


def test_a_group_keeps_to_its_cpus_and_waits_as_told(manager: Manager, until: Until) -> None:
    cpu = min(os.sched_getaffinity(0))
    group = manager.create_nodegroup("loop", cpus=[cpu], wait="spin(100)")
    source = manager.create_node("sim.Oscillators")
    low = manager.create_node("filters.LowPass", host=group)
    low.input.connect(source.output)
    with manager.running():
        (pid,) = [p.pid for p in manager.status().processes if p.name == "loop"]
        until(lambda: any(x.histogram.total > 5 for x in manager.latencies() if x.stream))

        threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {frozenset({cpu})}


def test_a_cpu_that_is_not_there_is_refused(manager: Manager) -> None:
    group = manager.create_nodegroup("far", cpus=[4000])

    with pytest.raises(ParameterError, match=r"groups\.far\.cpus: asked for 4000; this"):
        manager.create_node("sim.Oscillators", host=group)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise its own limits")
def test_a_group_gets_a_real_time_priority(manager: Manager) -> None:
    group = manager.create_nodegroup("fast", priority=10, lock_memory=True)
    try:
        manager.create_node("sim.Oscillators", host=group)
    except NotPermitted as error:
        pytest.skip(f"this container does not allow it: {error}")

    (pid,) = [p.pid for p in manager.status().processes if p.name == "fast"]
    for path in Path(f"/proc/{pid}/task").iterdir():
        assert os.sched_getscheduler(int(path.name)) == os.SCHED_FIFO


def test_commands_wait_for_the_start(manager: Manager) -> None:
    manager.create_node("sim.Oscillators", name="source")

    with pytest.raises((StateError, UnknownName)):
        manager["source"].call("reset")


def test_a_stalled_recorder_changes_nothing_for_the_loop(
    manager: Manager, tmp_path: Path, until: Until
) -> None:
    loop = manager.create_nodegroup("loop", buffer_seconds=0.2)
    source = manager.create_node(
        "sim.Oscillators", host=loop, sampling_rate=1000, chunk_duration="5 ms"
    )
    low = manager.create_node("filters.LowPass", host=loop)
    recorder = manager.create_node("record.HDF5Recorder", path=str(tmp_path / "x.h5"), host=loop)
    low.input.connect(source.output)
    recorder.input.connect(source.output, low.output)

    def delivered(reader: str) -> int:
        return sum(r.delivered for r in manager.status().reader_counters if r.reader == reader)

    with manager.running():
        until(lambda: delivered(f"{recorder.name}.streams") > 100)
        (pid,) = [p.pid for p in manager.status().processes if p.name == "loop.record"]
        os.kill(pid, signal.SIGSTOP)
        try:
            goal = delivered("lowpass.signal") + 1500
            until(lambda: delivered("lowpass.signal") > goal)
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: any(sum(r.lost.values()) for r in manager.status().reader_counters))
        lost: Counter[str] = Counter()
        for each in manager.status().reader_counters:  # the recorder reads two streams
            lost[each.reader] += sum(each.lost.values())

    assert lost["lowpass.signal"] == 0
    assert lost[f"{recorder.name}.streams"] > 0

"""A graph over a recording: the same results, with everything where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.nodes.replay_live import (
    BAND,
    EEG,
    EVENTS,
    Live,
    Types,
    assert_same,
    eeg,
    graph,
    in_pieces,
    live,
    obeying,
    record,
    replayed,
    setting,
    state,
)

from rigmesh.errors import NodeError, RecordingError, UnknownName
from rigmesh.graph import GraphSpec, NodeSpec, check_graph
from rigmesh.node.registry import NodeType, describe_all
from rigmesh.recording import Capture
from rigmesh.streams import Cause, Gap, Markers, StreamInfo
from rigmesh_nodes.event_logic import EventDelay
from rigmesh_nodes.events import Threshold
from rigmesh_nodes.resampling import Decimate
from rigmesh_nodes.statistics import RunningStats


@pytest.fixture(scope="module")
def types() -> Types:
    return {found.name: found for found in describe_all() if isinstance(found, NodeType)}


def test_a_chain_gives_what_was_recorded(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 2000))))[0])

    done, found = replayed(path, graph(types, BAND, EVENTS), types)

    assert_same(found)
    assert found["bp.filtered"].n_recorded == 2000
    assert found["thr.events"].n_recorded > 20
    assert done.plan.played == ["eeg.signal"]


@pytest.mark.parametrize("with_taken", [True, False])
def test_a_change_is_made_again_at_its_sample(
    tmp_path: Path, types: Types, with_taken: bool
) -> None:
    band = {700: [setting(low=9)], 1001: [setting(high=14), setting(low=8)]}
    streams, notes = live(list(in_pieces(eeg(0, 2000))), band, with_taken=with_taken)

    done, found = replayed(
        record(tmp_path / "a.h5", streams, notes), graph(types, BAND, EVENTS), types
    )

    assert_same(found)
    assert (done.n_changes, done.n_by_time) == (3, 0)


def test_a_change_of_what_only_gives_events_is_made_at_its_sample(
    tmp_path: Path, types: Types
) -> None:
    events = {504: [setting(level=1.5)], 1204: [state(level=0.1)]}
    streams, notes = live(list(in_pieces(eeg(0, 2000))), events=events)

    done, found = replayed(
        record(tmp_path / "a.h5", streams, notes), graph(types, BAND, EVENTS), types
    )

    assert_same(found)
    assert (done.n_changes, done.n_by_time) == (2, 0)


def test_a_command_is_obeyed_again(tmp_path: Path, types: Types) -> None:
    chunks = list(in_pieces(eeg(0, 2000)))
    stats = Live("stats", RunningStats(time_constant=0.5, burn_in=0.1))
    both = stats.feed(chunks, {1001: [obeying("reset")]})
    params = {"time_constant": 0.5, "burn_in": 0.1}
    spec = NodeSpec("stats", "statistics.RunningStats", params=params,
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    done, found = replayed(
        record(tmp_path / "a.h5", [chunks, both], stats.notes), graph(types, spec), types
    )

    assert_same(found)
    assert set(found) == {"stats.mean", "stats.deviation"}
    assert done.n_changes == 1


def test_without_its_sample_such_a_change_is_made_at_its_time(tmp_path: Path, types: Types) -> None:
    streams, notes = live(
        list(in_pieces(eeg(0, 2000))), events={504: [setting(level=1.5)]}, with_taken=False
    )

    done, found = replayed(
        record(tmp_path / "a.h5", streams, notes), graph(types, BAND, EVENTS), types
    )

    assert_same(found)  # the clock of the test stands at the last sample that the node has had
    assert (done.n_changes, done.n_by_time) == (1, 1)


def test_the_time_of_a_note_does_not_matter_where_its_sample_is_known(
    tmp_path: Path, types: Types
) -> None:
    events = {504: [setting(level=1.5)], 1204: [state(level=0.1)]}
    streams, notes = live(list(in_pieces(eeg(0, 2000))), events=events)
    late = [{**note, "time": note["time"] + 0.4} for note in notes]

    done, found = replayed(
        record(tmp_path / "a.h5", streams, late), graph(types, BAND, EVENTS), types
    )

    assert_same(found)
    assert (done.n_changes, done.n_by_time) == (2, 0)


@pytest.mark.parametrize(("n_before", "n_by_time"), [(0, 0), (3000, 2)])
def test_in_the_middle_of_a_run_a_sample_is_believed_if_its_time_agrees(
    tmp_path: Path, types: Types, n_before: int, n_by_time: int
) -> None:
    chunks = list(in_pieces(eeg(5000, 2000, epoch=3)))
    finding = Live("thr", Threshold(level=0.5, direction="both"))
    found_live = finding.feed(chunks, {504: [setting(level=1.5)], 1204: [state(level=0.1)]})
    notes = [
        # The node had taken samples of earlier epochs, or none of them.
        {**note, "taken": {"signal": note["taken"]["signal"] + 5000 + n_before}}
        for note in finding.notes
    ]
    path = record(tmp_path / "a.h5", [chunks, found_live], notes)
    spec = NodeSpec("thr", "events.Threshold", params={"level": 0.5, "direction": "both"},
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    done, found = replayed(path, graph(types, spec), types)

    assert_same(found)
    assert (done.n_changes, done.n_by_time) == (2, n_by_time)


def test_what_only_the_recorder_has_lost_moves_no_change(tmp_path: Path, types: Types) -> None:
    chunks = list(in_pieces(eeg(0, 2000)))
    finding = Live("thr", Threshold(level=0.5, direction="both"))
    found_live = finding.feed(chunks, {1204: [setting(level=1.5)]})
    kept = [chunk for chunk in chunks if not 700 <= chunk.index < 1050]
    after = next(chunk for chunk in kept if chunk.index >= 1050)
    after.gaps = (Gap(Cause.OVERRUN, 0, after.index, 350, 0.7),)
    path = record(tmp_path / "a.h5", [kept, found_live], finding.notes)
    spec = NodeSpec("thr", "events.Threshold", params={"level": 0.5, "direction": "both"},
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    done, found = replayed(path, graph(types, spec), types)

    events = found["thr.events"]
    assert done.n_by_time == 0
    assert events.extra == 0
    assert events.missing == sum(
        100 + 700 / 500 <= time - 0.5 < 100 + 1050 / 500
        for chunk in found_live for time in chunk.timestamps
    )  # fmt: skip


def test_gaps_and_epochs_are_played_as_they_were(tmp_path: Path, types: Types) -> None:
    gap = Gap(Cause.DEVICE, 0, 600, 40, 0.08)
    restart = Gap(Cause.RESTART, 1, 0, 500, 1.0)
    chunks = list(
        in_pieces(
            eeg(0, 600),
            eeg(600, 400, gaps=[gap], at=101.28),
            eeg(0, 700, epoch=1, gaps=[restart], at=104.0),
        )
    )
    streams, notes = live(chunks, {700: [setting(low=9)]})

    _, found = replayed(
        record(tmp_path / "a.h5", streams, notes), graph(types, BAND, EVENTS), types
    )

    assert_same(found)
    assert found["bp.filtered"].n_recorded == 1700


def test_a_recording_that_begins_in_the_middle_is_counted_as_it_was(
    tmp_path: Path, types: Types
) -> None:
    chunks = list(in_pieces(eeg(5000, 2000, epoch=3)))
    filtered = [chunk.with_data(chunk.data.copy()) for chunk in chunks]
    for made, chunk in zip(filtered, chunks, strict=True):
        made.info = EEG.renamed("pick.selected")
        made.index, made.epoch, made.clock = chunk.index, chunk.epoch, chunk.clock
    path = record(tmp_path / "a.h5", [chunks, filtered])
    pick = NodeSpec("pick", "channels.Select", params={"channels": ["Cz", "Pz"]},
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    _, found = replayed(path, graph(types, pick), types)

    assert_same(found)


def test_a_pause_of_the_recording_is_a_gap(tmp_path: Path, types: Types) -> None:
    capture = Capture.create(tmp_path / "a.h5", "run", {})
    for first in (0, 700):
        if first:
            capture.pause({"kind": "pause", "time": 101.0})
            capture.unpause({"kind": "resume", "time": 101.4})
        chunk = eeg(first, 500)
        picked = chunk.with_data(chunk.data)
        picked.info, picked.index = EEG.renamed("pick.selected"), first
        capture.append(chunk)
        capture.append(picked)
    capture.finish()
    pick = NodeSpec("pick", "channels.Select", params={"channels": ["Cz", "Pz"]},
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    done, found = replayed(tmp_path / "a.h5", graph(types, pick), types)

    assert_same(found)
    assert found["pick.selected"].n_recorded == 1000
    assert done.n_pauses == 1


def test_fewer_samples_than_came_in_are_found(tmp_path: Path, types: Types) -> None:
    chunks = list(in_pieces(eeg(0, 2000)))
    less = Live("less", Decimate(factor=5)).feed(chunks, {})
    path = record(tmp_path / "a.h5", [chunks, less])
    spec = NodeSpec("less", "resampling.Decimate", params={"factor": 5},
                    inputs={"signal": ("eeg.signal",)})  # fmt: skip

    _, found = replayed(path, graph(types, spec), types)

    assert_same(found)
    assert found["less.decimated"].n_recorded == 400


def test_timers_run_on_the_time_of_the_recording(tmp_path: Path, types: Types) -> None:
    info = StreamInfo.markers("marks.markers")
    marks = [Markers(["go"], np.array([100.0 + n]), index=n, info=info) for n in range(5)]
    delayed = Live("late", EventDelay(delay=0.25), port="events").feed(marks, {})
    path = record(tmp_path / "a.h5", [marks, delayed])
    late = NodeSpec("late", "event_logic.EventDelay", params={"delay": 0.25},
                    inputs={"events": ("marks.markers",)})  # fmt: skip
    spec = check_graph(
        GraphSpec(nodes={"marks": NodeSpec("marks", "sim.Markers"), "late": late}), types
    )

    done, found = replayed(path, spec, types)

    assert_same(found)
    assert found["late.delayed"].n_recorded >= 4
    assert done.timed == ["late"]


def test_another_parameter_gives_other_results(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 2000))))[0])
    other = NodeSpec("thr", "events.Threshold", params={"level": 0.6, "direction": "both"},
                     inputs={"signal": ("bp.filtered",)})  # fmt: skip

    _, found = replayed(path, graph(types, BAND, other), types)

    assert found["bp.filtered"].is_same
    assert found["thr.events"].missing > 0
    assert found["thr.events"].events[0].is_recorded in (True, False)


def test_what_reaches_the_world_outside_is_left_out(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 500))))[0])
    outlet = NodeSpec("out", "lsl.Outlet", inputs={"stream": ("bp.filtered",)})
    pulse = NodeSpec("ttl", "serial_ttl.SerialTTL", params={"device": "/dev/ttyNONE"},
                     inputs={"events": ("thr.events",)})  # fmt: skip

    done, found = replayed(path, graph(types, BAND, EVENTS, outlet, pulse), types)

    assert_same(found)
    assert set(done.plan.left_out) == {"eeg", "out", "ttl"}


def test_a_node_that_is_not_to_run_is_replaced_by_what_it_gave(
    tmp_path: Path, types: Types
) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 500))))[0])

    done, found = replayed(path, graph(types, BAND, EVENTS), types, without=["bp"])

    assert_same(found)
    assert done.plan.played == ["bp.filtered"]
    assert list(found) == ["thr.events"]


def test_the_stream_that_is_asked_for_is_all_that_is_computed(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 500))))[0])

    done, found = replayed(path, graph(types, BAND, EVENTS), types, streams=["bp.filtered"])

    assert [node.name for node in done.plan.computed] == ["bp"]
    assert list(found) == ["bp.filtered"]


def test_a_change_that_the_graph_does_not_take_is_told(tmp_path: Path, types: Types) -> None:
    streams, notes = live(list(in_pieces(eeg(0, 1000))), {504: [setting(low=9)]})
    notes.append({**notes[0], "values": {"lower": 3}})

    done, found = replayed(
        record(tmp_path / "a.h5", streams, notes), graph(types, BAND, EVENTS), types
    )

    assert_same(found)
    assert len(done.refused) == 1
    assert "lower" in done.refused[0]


def test_samples_that_only_the_recorder_lost_are_named(tmp_path: Path, types: Types) -> None:
    chunks = list(in_pieces(eeg(0, 2000)))
    streams, _ = live(chunks)
    kept = [chunk for chunk in chunks if not 700 <= chunk.index < 1050]
    after = next(chunk for chunk in kept if chunk.index >= 1050)
    after.gaps = (Gap(Cause.OVERRUN, 0, after.index, 350, 0.7),)
    path = record(tmp_path / "a.h5", [kept, *streams[1:]])

    done, found = replayed(path, graph(types, BAND, EVENTS), types)

    assert done.gaps == {"eeg.signal": 350}
    assert found["bp.filtered"].missing == 350
    assert found["bp.filtered"].first == (0, 1050)


def test_a_graph_that_computes_nothing_recorded_is_refused(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", [list(in_pieces(eeg(0, 100)))])

    with pytest.raises(RecordingError, match=r"nothing to compare.*Recorded: eeg.signal"):
        replayed(path, graph(types, BAND), types)


def test_a_source_that_is_not_recorded_is_named(tmp_path: Path, types: Types) -> None:
    streams, _ = live(list(in_pieces(eeg(0, 100))))
    path = record(tmp_path / "a.h5", [streams[1]])

    with pytest.raises(RecordingError, match=r"bp is left out: it takes eeg\.signal, which is not"):
        replayed(path, graph(types, BAND), types)


@pytest.mark.parametrize("wrong", [{"streams": ["bp.out"]}, {"without": ["pb"]}])
def test_a_wrong_name_is_refused(tmp_path: Path, types: Types, wrong: dict[str, Any]) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 100))))[0])

    with pytest.raises(UnknownName, match="known"):
        replayed(path, graph(types, BAND, EVENTS), types, **wrong)


def test_a_node_that_fails_ends_the_replay(tmp_path: Path, types: Types) -> None:
    path = record(tmp_path / "a.h5", live(list(in_pieces(eeg(0, 100))))[0])
    beyond = NodeSpec("bp", "filters.BandPass", params={"low": 8, "high": 400},
                      inputs={"signal": ("eeg.signal",)})  # fmt: skip

    with pytest.raises(NodeError, match=r"bp\.prepare"):
        replayed(path, graph(types, beyond), types)

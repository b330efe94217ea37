"""What is told of a recording afterwards, whatever its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from tests.unit.nodes.recorder_rig import RecorderRig

from rigmesh.cli.files import info, recover
from rigmesh.recording import Capture, open_recording, read_info, seal
from rigmesh.recording.summary import record_file
from rigmesh.streams import Signal, StreamInfo

AMP = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)


def test_info_shows_notes_changes_and_counters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rigmesh.cli.files.OUT.width", 200, raising=False)
    context = {"host": "rec-pc", "versions": {"rigmesh": "0.1"}}
    rig = RecorderRig(tmp_path, metadata={"subject": "s07"}, context=context).start()
    rig.feed(0, 100)
    rig.node.on_journal({"kind": "note", "time": 0.1, "text": "a [blink]"})
    rig.node.on_journal(
        {"kind": "parameters", "time": 0.1, "node": "low", "values": {"cutoff": 30},
         "effective": {"low.filtered": {"epoch": 0, "index": 50}}}
    )  # fmt: skip
    rig.finish()

    with pytest.raises(typer.Exit):
        info(tmp_path / "session.h5")

    said = capsys.readouterr().out
    assert "on rec-pc" in said
    assert "subject: s07" in said
    assert "note: a [blink]" in said
    assert "parameters: low.cutoff = 30, from low.filtered[50] on" in said
    assert "fill_95 0" in said


def test_what_is_recovered_has_its_record_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = RecorderRig(tmp_path, seal="later").start()
    rig.feed(0, 100)
    rig.finish()

    with pytest.raises(typer.Exit) as end:
        recover(tmp_path / "session.h5")

    assert end.value.exit_code == 0
    assert record_file(tmp_path / "session.h5").exists()
    assert "recovered" in capsys.readouterr().out


@pytest.mark.parametrize("fmt", ["hdf5", "nwb", "xdf"])
def test_every_format_holds_a_pause(tmp_path: Path, fmt: str) -> None:
    capture = Capture.create(tmp_path / f"session.{fmt}", "run-1", {}, fmt)
    pause, resume = {"kind": "pause", "time": 1.0}, {"kind": "resume", "time": 2.0}
    capture.append(_samples(0, 100))
    capture.pause(pause, {"amp.signal": {0: (0, 100)}})
    capture.unpause(resume)
    capture.append(_samples(250, 300))
    capture.finish({"amp.signal": {0: (250, 300)}})

    path = seal(capture)

    assert read_info(path).verdict == "OK"
    with open_recording(path) as recording:
        stream = recording.streams["amp.signal"]
        assert [int(n) for n in stream.data[:][:, 0]] == [*range(100), *range(250, 300)]
        assert [(e.epoch, e.first_index, e.n) for e in stream.epochs] == [(0, 0, 100), (0, 250, 50)]
        assert recording.notes == [pause, resume]


def _samples(start: int, stop: int) -> Signal:
    numbers = np.arange(float(start), stop).reshape(-1, 1)
    return Signal(numbers, numbers[:, 0] / 1000, index=start, info=AMP)

"""What a recording is while it grows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from rigmesh.errors import RecordingError, StreamFormatError
from rigmesh.recording import Capture, capture_folder, open_recording, read_info
from rigmesh.streams import Cause, ChannelInfo, Chunk, ClockModel, Gap, StreamInfo

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]


def _rows(path: Path) -> list[int]:
    """Return channel 0, which carries the sample numbers."""
    with open_recording(path) as recording:
        numbers: list[int] = recording.streams["amp.signal"].data[:][:, 0].tolist()
        return numbers


# --- readable at any moment ----------------------------------------------------------------


def test_numpy_reads_a_signal_while_it_is_recorded(
    capture: Capture, chunk: MakeChunk, amp: StreamInfo
) -> None:
    capture.append(chunk(0, 300))
    folder = capture.folder / "streams" / "amp.signal"

    told = json.loads((folder / "0.json").read_text())
    data = np.fromfile(folder / told["data"]["file"], told["data"]["dtype"])
    stamps = np.fromfile(folder / "0.stamps", told["raw_timestamps"]["dtype"])

    assert data.reshape(told["data"]["shape"])[:, 0].tolist() == list(range(300))
    np.testing.assert_array_equal(stamps, chunk(0, 300).raw_timestamps)
    assert told["channel_names"] == ["n", "Cz"]
    assert told["units"] == ["uV", "uV"]
    assert StreamInfo.from_dict(told["info"]) == amp


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_mne_reads_a_signal_while_it_is_recorded(
    capture: Capture, chunk: MakeChunk, dtype: str
) -> None:
    channels = [ChannelInfo("Cz, left", "uV", "EEG"), ChannelInfo("Pz", "microvolts", "EEG"),
                ChannelInfo("temp", "°C"), ChannelInfo("count")]  # fmt: skip
    info = StreamInfo.signal("amp/1", channels=channels, sampling_rate=256, dtype=dtype)
    capture.append(chunk(0, 512, info))

    raw = mne.io.read_raw_brainvision(
        capture.folder / "streams" / "amp%2F1" / "0.vhdr", preload=True, verbose="error"
    )

    assert raw.ch_names == ["Cz, left", "Pz", "temp", "count"]
    assert raw.get_channel_types() == ["eeg", "eeg", "misc", "misc"]
    assert raw.info["sfreq"] == 256
    assert raw.n_times == 512
    np.testing.assert_allclose(raw.get_data()[0] * 1e6, np.arange(512))
    np.testing.assert_allclose(raw.get_data()[3], np.arange(512))


def test_a_recording_in_progress_tells_what_is_on_the_disk(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 100))
    capture.commit()
    capture.append(chunk(100, 150))

    info = read_info(target)

    assert (info.state, info.verdict) == ("recording", "OK")
    assert info.streams[0].n_samples == 100
    assert _rows(target) == list(range(100))


# --- what is kept --------------------------------------------------------------------------


def test_a_stream_without_samples_is_in_the_recording(
    capture: Capture, target: Path, amp: StreamInfo
) -> None:
    capture.describe(amp)
    capture.finish()

    info = read_info(target)

    assert [(s.name, s.n_samples, s.epochs) for s in info.streams] == [("amp.signal", 0, ())]
    assert info.verdict == "OK"


def test_a_change_of_format_begins_another_part(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    wider = StreamInfo.signal("amp.signal", channels=3, sampling_rate=500, dtype="int32")
    capture.append(chunk(0, 10))
    capture.append(chunk(0, 20, wider, epoch=1))
    capture.append(chunk(0, 30, epoch=2))
    capture.append(chunk(0, 40, epoch=3))
    capture.finish()

    with open_recording(target) as recording:
        parts = {key: (s.part, s.info.n_channels, len(s)) for key, s in recording.streams.items()}

    assert parts == {
        "amp.signal": (1, 2, 10),
        "amp.signal@2": (2, 3, 20),
        "amp.signal@3": (3, 2, 70),
    }


def test_another_format_within_an_epoch_is_refused(capture: Capture, chunk: MakeChunk) -> None:
    wider = StreamInfo.signal("amp.signal", channels=3, sampling_rate=500, dtype="int32")
    capture.append(chunk(0, 10))

    with pytest.raises(StreamFormatError, match="described as int32 samples of shape"):
        capture.append(chunk(10, 20, wider))


@pytest.mark.parametrize("late", [{"start": 5, "stop": 15}, {"start": 0, "stop": 5, "epoch": 0}])
def test_samples_that_come_twice_are_refused(
    capture: Capture, chunk: MakeChunk, late: dict[str, Any]
) -> None:
    capture.append(chunk(0, 10))
    capture.append(chunk(0, 10, epoch=1))

    with pytest.raises(
        RecordingError, match=r"sample \d of epoch \d came when sample 10 of epoch 1"
    ):
        capture.append(chunk(**{"epoch": 1, **late}))


def test_what_a_late_reader_missed_first_counts_from_where_it_began(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(300, 400, gaps=(Gap(Cause.OVERRUN, 0, 300, 250),)))
    capture.finish({"amp.signal": {0: (50, 400)}})

    (epoch,) = read_info(target).streams[0].epochs

    assert (epoch.first_index, epoch.produced, epoch.delivered, epoch.missing) == (
        50,
        400,
        100,
        250,
    )
    assert read_info(target).verdict == "OK with gaps (1, 250.0 ms)"


def test_a_chunk_of_nothing_tells_of_a_gap_at_the_end(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10))
    capture.append(chunk(10, 10, gaps=(Gap(Cause.DEVICE, 0, 10, 5),)))
    capture.finish({"amp.signal": {0: (0, 15)}})

    assert read_info(target).verdict == "OK with gaps (1, 5.0 ms)"


# --- names are never taken twice -----------------------------------------------------------


def test_a_capture_of_another_run_is_not_touched(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10))
    capture.close()

    with pytest.raises(RecordingError, match=r"run `rigmesh recover .*session\.h5` first"):
        Capture.create(target, "run-2", {})
    with pytest.raises(RecordingError, match="not sealed"):
        Capture.resume(target, "run-2")


def test_a_capture_has_one_writer(capture: Capture, target: Path) -> None:
    with pytest.raises(RecordingError, match="in use"):
        Capture.resume(target, "run-1")


def test_a_capture_is_made_whole_or_not_at_all(
    tmp_path: Path,
    target: Path,
    in_child: InChild,
    die_at: Callable[[int, Path], None],
) -> None:
    step, status = 0, -9
    while status:
        step += 1

        def begin(step: int = step) -> None:
            die_at(step, tmp_path)
            Capture.create(target, "run-1", {})

        status = in_child(begin)
        if capture_folder(target).exists():
            Capture.resume(target, "run-1").close()
            for file in capture_folder(target).iterdir():
                file.rmdir() if file.is_dir() else file.unlink()
            capture_folder(target).rmdir()

    assert step > 8


# --- going on after a crash ----------------------------------------------------------------


def test_a_restarted_recorder_goes_on_where_the_samples_end(
    capture: Capture, target: Path, chunk: MakeChunk, events: StreamInfo
) -> None:
    overrun = Gap(Cause.OVERRUN, 2, 150, 50)
    capture.append(chunk(0, 50, epoch=1))
    capture.append(chunk(30, 100, epoch=2))
    capture.append(chunk(150, 200, epoch=2, gaps=(overrun,)))
    capture.append(chunk(0, 3, events))
    capture.commit()
    capture.close()

    resumed = Capture.resume(target, "run-1")

    assert resumed.positions == {"amp.signal": (2, 200), "box.events": (0, 3)}
    resumed.append(chunk(200, 300, epoch=2))
    resumed.append(chunk(3, 6, events))
    resumed.finish({"amp.signal": {2: (200, 300)}, "box.events": {0: (3, 6)}})
    assert read_info(target).verdict == "OK with gaps (1, 50.0 ms)"
    assert _rows(target) == [*range(50), *range(30, 100), *range(150, 300)]
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == [f"text {n}" for n in range(6)]
        assert recording.streams["amp.signal"].epochs[1].produced == 300


def test_a_gap_that_is_told_again_after_a_restart_counts_once(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    gap = Gap(Cause.DEVICE, 0, 10, 7)
    capture.append(chunk(0, 10))
    capture.append(chunk(10, 10, gaps=(gap,)))
    capture.commit()
    capture.close()

    resumed = Capture.resume(target, "run-1")
    resumed.append(chunk(10, 20, gaps=(gap,)))
    resumed.finish({"amp.signal": {0: (10, 27)}})

    assert read_info(target).verdict == "OK with gaps (1, 7.0 ms)"


def test_samples_left_by_a_killed_recorder_are_brought_to_the_disk(
    capture: Capture, target: Path, chunk: MakeChunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in range(2):
        capture.append(chunk(0, 10, epoch=epoch))
    capture.close()
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )

    Capture.resume(target, "run-1").close()

    names = [Path(name).name for name in synced]
    assert sorted(names[:-1]) == ["1.dat", "1.stamps"]
    assert names[-1] == "journal.bin"


def test_half_samples_and_half_records_are_cut_off(
    capture: Capture, target: Path, chunk: MakeChunk, events: StreamInfo
) -> None:
    capture.append(chunk(0, 10))
    capture.append(chunk(0, 4, events))
    capture.commit()
    capture.close()
    for name, rest in {
        "streams/amp.signal/0.dat": b"abc",
        "streams/amp.signal/0.stamps": b"x",
        "streams/box.events/0.text": b"rmr1\4",
        "journal.bin": b"rmr1\0\0",
    }.items():
        with (capture.folder / name).open("ab") as file:
            file.write(rest)

    resumed = Capture.resume(target, "run-1")
    resumed.append(chunk(10, 20))
    resumed.append(chunk(4, 5, events))
    resumed.finish({"amp.signal": {0: (10, 20)}})

    assert read_info(target).verdict == "OK"
    assert _rows(target) == list(range(20))
    with open_recording(target) as recording:
        assert recording.streams["box.events"].data[:] == [f"text {n}" for n in range(5)]


def test_after_a_reboot_only_what_was_committed_counts(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10))
    capture.commit()
    capture.append(chunk(10, 20))
    capture.close()
    manifest = capture.folder / "recording.json"
    text = manifest.read_text()
    assert _rows(target) == list(range(20))

    manifest.write_text(text.replace('"clock_id": "', '"clock_id": "before-'))

    assert _rows(target) == list(range(10))


def test_the_clock_that_held_before_a_restart_is_not_lost(
    capture: Capture, target: Path, chunk: MakeChunk
) -> None:
    capture.append(chunk(0, 10, clock=ClockModel(offset=5.0)))
    capture.close()
    resumed = Capture.resume(target, "run-1")
    resumed.append(chunk(10, 20, clock=ClockModel(offset=5.0)))
    resumed.append(chunk(20, 30))
    resumed.finish()

    with open_recording(target) as recording:
        stream = recording.streams["amp.signal"]
        shift = stream.timestamps[:] - stream.raw_timestamps[:]

    np.testing.assert_allclose(shift, [5.0] * 20 + [0.0] * 10)
    assert [clock.row for clock in stream.clocks] == [0, 20]

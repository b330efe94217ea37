"""Recordings as videos that are interrupted: killed while they grow or are sealed, cut, damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import random
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recording.killed import (
    ATTEMPTS,
    killed_writer,
    sealing_dies_at_byte,
    sealing_dies_at_share,
)

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, Recording, open_recording, read_info, recover, seal, video
from rigmesh.streams import Frames, StreamInfo

InChild = Callable[[Callable[[], None]], int]

SHAPE = (24, 32)
CAMERA = StreamInfo.frames("camera.frames", shape=SHAPE, sampling_rate=100)
N = 600

_WRITER = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from rigmesh.recording import Capture
from rigmesh.streams import Cause, Frames, Gap, StreamInfo

path, limit = Path(sys.argv[1]), int(sys.argv[2])
camera = StreamInfo.frames("camera.frames", shape=(24, 32), sampling_rate=100)
capture = Capture.create(path, "run-1", {}, "video")
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
index = written = 0
while written < 20_000:
    for _ in range(5):
        numbers = np.arange(index, index + 4)
        data = np.broadcast_to(numbers[:, None, None], (4, 24, 32)).astype("uint8")
        gaps = (Gap(Cause.OVERRUN, 0, index, 2),) if index else ()
        capture.append(Frames(data, numbers / 100, index=index, gaps=gaps, info=camera))
        index, written = index + 6, written + 4
    capture.commit()
    print(written, flush=True)
"""


@pytest.fixture(params=[".mkv", ".mp4"])
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / f"session{request.param}"


@pytest.fixture
def mkv(tmp_path: Path) -> Path:
    return tmp_path / "session.mkv"


def pictures(n: int) -> npt.NDArray[np.uint8]:
    """Return frames that are noise, each with its number in it."""
    found = np.random.default_rng(7).integers(0, 256, (n, *SHAPE), np.uint8)
    found[:, 0, :4] = np.arange(n, dtype="<u4")[:, None].view(np.uint8)
    return found


def finished(target: Path, n: int = N, **options: Any) -> Path:
    """Make a finished capture of so many frames."""
    container = video.CONTAINERS[target.suffix]
    capture = Capture.create(target, "run-1", {}, "video", {"container": container, **options})
    capture.append(Frames(pictures(n), 5 + np.arange(n) / 100, info=CAMERA))
    capture.finish({"camera.frames": {0: (0, n)}})
    return capture.folder


def killed_recorder(path: Path, *, n_commits: int = 10**9, limit: int = 0) -> int:
    """Kill a recorder of frames after some commits, or within a write; return what it reported."""
    return killed_writer([_WRITER, str(path), str(limit)], n_commits)


def check_recovered(path: Path, promised: int) -> None:
    """See that a video holds all frames that were reported, in order, and that PyAV agrees."""
    recover(path)

    assert read_info(path).verdict.startswith("FAILED (it was interrupted")
    with open_recording(path) as recording:
        (stream,) = recording.streams.values()
        assert len(stream) >= promised
        numbers = [n + 2 * (n // 4) for n in range(len(stream))]
        assert (stream.raw_timestamps[:] * 100).round().astype(int).tolist() == numbers
    if not numbers:
        return
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert [int(picture[0, 0]) for picture in shown] == [number % 256 for number in numbers]
    lines = video.frames_file(path).read_text().splitlines()[1:]
    assert [int(line.split(",")[3]) for line in lines] == numbers


def check_whole(target: Path, n: int = N) -> None:
    """See that nothing but the video and its table is there, and that they hold everything."""
    table = video.frames_file(target)
    assert sorted(target.parent.iterdir()) == sorted([target, table])
    assert len(table.read_text().splitlines()) == n + 1
    assert read_info(target).verdict == "OK"
    with open_recording(target) as recording:
        assert np.array_equal(recording.streams["camera.frames"].data[:], pictures(n))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_killed_recorder_loses_nothing_it_had_reported(mkv: Path, attempt: int) -> None:
    promised = killed_recorder(mkv, n_commits=random.Random(attempt).randint(1, 40))

    check_recovered(mkv, promised)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_recorder_killed_within_a_write_loses_nothing_it_had_reported(
    mkv: Path, attempt: int
) -> None:
    promised = killed_recorder(mkv, limit=random.Random(attempt).randint(5_000, 500_000))

    check_recovered(mkv, promised)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_within_a_write_loses_nothing(
    target: Path, in_child: InChild, attempt: int
) -> None:
    folder = finished(target)
    limit = random.Random(attempt).randint(1, N * SHAPE[0] * SHAPE[1])

    status = in_child(sealing_dies_at_byte(folder, limit))
    recover(target)

    assert status == -signal.SIGXFSZ
    check_whole(target)


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_sealer_killed_at_any_time_loses_nothing(
    target: Path, in_child: InChild, attempt: int
) -> None:
    folder = finished(target)

    status = in_child(sealing_dies_at_share(folder, random.Random(attempt).uniform(0, 0.9)))
    recover(target)

    assert status == -signal.SIGKILL
    check_whole(target)


def test_a_sealer_killed_at_any_step_loses_nothing(
    mkv: Path, in_child: InChild, die_at: Callable[[int, Path], None]
) -> None:
    step = 0
    statuses: list[int] = []
    while not statuses or statuses[-1] == -signal.SIGKILL:
        step += 1
        folder = finished(mkv, 5)

        def seal_and_die(step: int = step, folder: Path = folder) -> None:
            import av.codec  # noqa: F401 - its files are not what is watched

            die_at(step, mkv.parent)
            seal(folder)

        statuses.append(in_child(seal_and_die))
        recover(mkv)

        check_whole(mkv, 5)
        for path in mkv.parent.iterdir():
            path.unlink()

    assert statuses[-1] == 0
    assert step > 15


# --- what is in the way --------------------------------------------------------------------------


def test_a_table_of_that_name_is_not_overwritten(mkv: Path) -> None:
    folder = finished(mkv, 5)
    video.frames_file(mkv).write_text("precious")

    with pytest.raises(RecordingError, match=r"frames\.csv exists, and nothing is overwritten"):
        seal(folder)

    assert video.frames_file(mkv).read_text() == "precious"
    assert sorted(mkv.parent.iterdir()) == [folder, video.frames_file(mkv)]
    video.frames_file(mkv).unlink()
    recover(mkv)
    check_whole(mkv, 5)


def test_a_link_in_the_place_of_the_table_is_not_followed(mkv: Path, tmp_path: Path) -> None:
    folder = finished(mkv, 5)
    video.frames_file(mkv).symlink_to(tmp_path / "nowhere")

    with pytest.raises(RecordingError, match="nothing is overwritten"):
        seal(folder)

    assert not (tmp_path / "nowhere").exists()


def test_a_video_that_differs_from_the_capture_is_not_published(
    mkv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(mkv, 5)
    write = video.write

    def write_wrongly(recording: Recording, path: Path, *rest: Any) -> None:
        (stream,) = recording.streams.values()
        other = stream.data[:].copy()
        other[3, 0, 0] += 1
        streams = {stream.key: dataclasses.replace(stream, data=other)}
        write(dataclasses.replace(recording, streams=streams), path, *rest)

    monkeypatch.setattr(video, "write", write_wrongly)

    with pytest.raises(RecordingError, match=r"camera\.frames: data 0 to 5 differ"):
        seal(folder)

    assert list(mkv.parent.iterdir()) == [folder]


def test_a_disk_that_fills_up_while_sealing_loses_nothing(target: Path, in_child: InChild) -> None:
    folder = finished(target)

    def seal_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (1, 4000, 100_000, 400_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with pytest.raises(RecordingError, match=os.strerror(errno.EFBIG)):
                seal(folder)
            assert list(target.parent.iterdir()) == [folder]

    assert in_child(seal_with_little_room) == 0
    recover(target)
    check_whole(target)


# --- what becomes of files later -----------------------------------------------------------------


@pytest.fixture(scope="module", params=[".mkv", ".mp4"])
def whole(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> bytes:
    path = tmp_path_factory.mktemp("whole") / f"session{request.param}"
    return seal(finished(path, 50)).read_bytes()


@given(share=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None)
def test_a_file_that_was_cut_is_refused(whole: bytes, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.mkv"
        path.write_bytes(whole[: int(share * len(whole))])

        with pytest.raises(RecordingError, match=r"cut\.mkv"):
            read_info(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    content = bytearray(whole)
    # Half of the places in what is not pictures, of which most of the file consists.
    ends = [*range(6000), *range(len(content) - 6000, len(content))]
    places = st.one_of(st.sampled_from(ends), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(places)] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.mkv"
        path.write_bytes(content)

        with contextlib.suppress(RecordingError):
            read_info(path)
            with open_recording(path) as recording:
                (stream,) = recording.streams.values()
                assert np.array_equal(stream.data[:], pictures(50))


def test_a_damaged_picture_is_refused_not_made_up(mkv: Path) -> None:
    seal(finished(mkv, 50))
    content = bytearray(mkv.read_bytes())
    content[len(content) // 2] ^= 1
    mkv.write_bytes(content)

    with open_recording(mkv) as recording:
        data = recording.streams["camera.frames"].data
        refused = []
        for row in range(50):
            try:
                assert np.array_equal(data[row : row + 1], pictures(50)[row : row + 1])
            except RecordingError as error:
                refused.append(str(error))
    (why,) = refused
    assert "is damaged: frame" in why


def test_a_video_of_others_is_no_recording(mkv: Path) -> None:
    with av.open(str(mkv), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures(1)[0], "gray")))
        container.mux(stream.encode(None))

    with pytest.raises(RecordingError, match="is no recording"):
        read_info(mkv)


def test_a_video_without_its_table_is_whole(mkv: Path, tmp_path: Path) -> None:
    path = seal(finished(mkv, 5))
    moved = tmp_path / "other name"
    shutil.move(path, moved)
    video.frames_file(mkv).unlink()

    with open_recording(moved) as recording:
        assert np.array_equal(recording.streams["camera.frames"].data[:], pictures(5))

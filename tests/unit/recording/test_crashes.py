"""Recorders and sealers that are killed, and captures that are cut."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.recording.killed import (
    ATTEMPTS,
    check_gone_on_with,
    check_recovered,
    killed_recorder,
)

from rigmesh.recording import Capture, open_recording, read_info, recover, seal
from rigmesh.streams import Chunk

MakeChunk = Callable[..., Chunk]
InChild = Callable[[Callable[[], None]], int]
ReadEpochs = Callable[[Path], dict[tuple[str, int], list[Any]]]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_killed_recorder_loses_nothing_it_had_reported(target: Path, attempt: int) -> None:
    promised = killed_recorder(target, "hdf5", n_commits=random.Random(attempt).randint(1, 60))

    check_recovered(target, promised)


def test_a_killed_recorder_is_gone_on_with(target: Path, chunk: MakeChunk) -> None:
    check_gone_on_with(target, "hdf5", chunk)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.45, 0.6, 0.99])
def test_a_killed_sealer_loses_nothing(
    capture: Capture, target: Path, chunk: MakeChunk, in_child: InChild, share: float
) -> None:
    for start in range(0, 3_000_000, 250_000):
        capture.append(chunk(start, start + 250_000))
    capture.finish({"amp.signal": {0: (0, 3_000_000)}})

    def die_on_the_way() -> None:
        def progress(done: int, total: int) -> None:
            if done > share * total:
                os.kill(os.getpid(), signal.SIGKILL)

        seal(capture.folder, progress)

    status = in_child(die_on_the_way)
    recover(target)

    assert status == -signal.SIGKILL
    assert read_info(target).verdict == "OK"
    with open_recording(target) as recording:
        numbers = recording.streams["amp.signal"].data[:][:, 0]
    assert (numbers == range(3_000_000)).all()
    assert list(target.parent.iterdir()) == [target]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_finished: Callable[[Path], Path]
) -> Path:
    """A finished capture."""
    return make_finished(tmp_path_factory.mktemp("whole") / "session.h5")


FILES = (
    "journal.bin",
    "streams/amp.signal/0.dat",
    "streams/amp.signal/0.stamps",
    "streams/amp.signal/1.dat",
    "streams/box.events/0.text",
)


WHOLE = {
    ("amp.signal", 0): [*range(10), *range(15, 20)],
    ("amp.signal", 1): [*range(15)],
    ("box.events", 0): [f"text {n}" for n in range(5)],
}


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_a_capture_cut_anywhere_keeps_what_is_whole(
    finished: Path, read_epochs: ReadEpochs, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(FILES))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "session.h5.capture"
        shutil.copytree(finished, copy)
        size = (copy / name).stat().st_size
        os.truncate(copy / name, data.draw(st.integers(0, size - 1)))

        path = recover(copy)

        assert read_info(path).verdict.startswith("FAILED")
        found = read_epochs(path)
        assert all(rows == WHOLE[key][: len(rows)] for key, rows in found.items())
        if name != "journal.bin":
            assert sum(found[key] != rows for key, rows in WHOLE.items()) == 1


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_journal_never_makes_up_samples(
    finished: Path, read_epochs: ReadEpochs, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "session.h5.capture"
        shutil.copytree(finished, copy)
        content = bytearray((copy / "journal.bin").read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        (copy / "journal.bin").write_bytes(content)

        path = recover(copy)

        assert read_info(path).verdict.startswith("FAILED")
        assert all(rows == WHOLE[key] for key, rows in read_epochs(path).items())

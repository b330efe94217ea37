"""What the shell offers where a recording is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmesh.cli.completion import complete_recording, complete_recording_or_stream


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.h5", "b.xdf", "notes.txt", ".hidden.h5"):
        (tmp_path / name).touch()
    (tmp_path / "c.nwb.capture").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "d.h5").touch()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["a.h5", "b.xdf", "c.nwb", "data/"]),
        ("a", ["a.h5"]),
        ("da", []),
        ("data/", ["data/d.h5"]),
        ("./data/d", ["./data/d.h5"]),
        ("none/", []),
        ("x", []),
    ],
)
def test_recordings_and_folders_are_offered(typed: str, offered: list[str]) -> None:
    assert complete_recording(typed) == offered


def test_those_of_a_whole_path_are_offered(tmp_path: Path) -> None:
    assert complete_recording(f"{tmp_path}/c") == [f"{tmp_path}/c.nwb"]


def test_where_no_graph_runs_only_recordings_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIGMESH_SOCKET", str(tmp_path / "none.sock"))

    assert complete_recording_or_stream("a") == ["a.h5"]
    assert complete_recording_or_stream("eeg") == []

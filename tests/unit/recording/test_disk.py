"""Files that survive a crash."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from rigmesh.recording.disk import AppendFile, Lock, publish


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without hard links, such as FAT."""

    def refuse(*args: Any, **more: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "a.part"
    path.write_text("whole")
    return path


def test_a_finished_file_gets_its_name(part: Path, tmp_path: Path) -> None:
    publish(part, tmp_path / "a")

    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "whole")]


@pytest.mark.usefixtures("no_links")
def test_a_finished_file_gets_its_name_without_hard_links(part: Path, tmp_path: Path) -> None:
    publish(part, tmp_path / "a")

    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "whole")]


def test_a_name_that_is_taken_stays_with_its_file(part: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("precious")

    with pytest.raises(FileExistsError):
        publish(part, tmp_path / "a")

    assert (tmp_path / "a").read_text() == "precious"


@pytest.mark.usefixtures("no_links")
def test_a_name_that_is_taken_stays_with_its_file_without_hard_links(
    part: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("precious")

    with pytest.raises(FileExistsError):
        publish(part, tmp_path / "a")

    assert (tmp_path / "a").read_text() == "precious"


def test_what_is_behind_the_known_size_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"known, rest")

    file = AppendFile(tmp_path / "file", 5)
    file.append(b"!")
    file.close()

    assert (tmp_path / "file").read_bytes() == b"known!"


def test_a_lock_is_held_once_and_given_up(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    lock = Lock(path)

    assert Lock.is_held(path)
    with pytest.raises(BlockingIOError):
        Lock(path)
    lock.release()
    assert not Lock.is_held(path)

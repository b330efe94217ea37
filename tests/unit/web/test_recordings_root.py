"""Which recordings are in a folder, and that nothing outside of it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmesh.errors import NotPermitted, RecordingError
from rigmesh.web.recordings_root import Root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "s01").mkdir(parents=True)
    for name in ("s01/a.h5", "b.nwb", "c.txt", ".d.h5", "e.vhdr"):
        (folder / name).touch()
    for name in ("s01/f.xdf", "s01/cam.mkv", "s01/rest"):
        capture = folder / f"{name}.capture"
        capture.mkdir()
        for part in ("recording.json", "journal.bin"):
            (capture / part).touch()
    (folder / "no.h5.capture").mkdir()
    (tmp_path / "secret.h5").touch()
    (folder / "link.h5").symlink_to(tmp_path / "secret.h5")
    (folder / "up").symlink_to(tmp_path)
    return folder


def test_files_and_captures_are_listed(root: Path) -> None:
    found = {entry.name: entry.is_capture for entry in Root(root).entries()}

    assert found == {"s01/a.h5": False, "b.nwb": False, "s01/f.xdf": True}


def test_those_that_are_listed_are_found(root: Path) -> None:
    checked = Root(root)

    assert {checked.file(entry.name) for entry in checked.entries()} == {
        root / "s01/a.h5", root / "b.nwb", root / "s01/f.xdf"
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../secret.h5", "/b.nwb", "s01/../../secret.h5", "s01//a.h5", ".d.h5", "a\0.h5",
     "s01/./a.h5", "x\n.h5", "a/b/c/d/e/f/g/h/i/j.h5", "x" * 5000],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(root: Path, name: str) -> None:
    with pytest.raises(NotPermitted):
        Root(root).file(name)


@pytest.mark.parametrize(
    "name",
    ["link.h5", "up/secret.h5", "up/root/b.nwb", "c.txt", "e.vhdr", "no.h5", "none.h5", "s01"],
)
def test_links_and_what_is_no_recording_are_not_found(root: Path, name: str) -> None:
    with pytest.raises(RecordingError):
        Root(root).file(name)


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(root)

    assert Root(tmp_path / "linked").file("b.nwb") == root / "b.nwb"


def test_a_recording_that_changes_has_another_signature(root: Path) -> None:
    checked = Root(root)
    before = checked.signature(checked.file("s01/f.xdf"))
    with (root / "s01/f.xdf.capture/journal.bin").open("ab") as journal:
        journal.write(b"x")
    grown = checked.signature(checked.file("s01/f.xdf"))
    (root / "s01/f.xdf").touch()

    assert len({before, grown, checked.signature(checked.file("s01/f.xdf"))}) == 3

"""Where recordings may lie, and what their folders are called."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import RecordingError
from rigmesh.recording.paths import check_target, resolve_path, stream_key

CONTEXT = {
    "run_id": "4f2a",
    "started": time.mktime((2026, 11, 21, 9, 5, 7, 0, 0, -1)),
    "metadata": {"subject": "s01", "session": 3, "up": "..", "slash": "a/b", "empty": ""},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a.h5", "a.h5"),
        ("{date}_{time}.h5", "2026-11-21_09-05-07.h5"),
        ("{run}.h5", "4f2a.h5"),
        ("{subject}/ses-{session}/{subject}.h5", "s01/ses-3/s01.h5"),
        ("./a/./b.h5", "a/b.h5"),
        ("..a/b..h5", "..a/b..h5"),
        ("tiré à part.h5", "tiré à part.h5"),
    ],
)
def test_a_template_is_filled_in(template: str, expected: str, tmp_path: Path) -> None:
    assert resolve_path(template, str(tmp_path), CONTEXT) == tmp_path / expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("../a.h5", "leads outside"),
        ("a/../../b.h5", "leads outside"),
        ("a/../b.h5", "leads outside"),
        ("/etc/a.h5", "leads outside"),
        ("//etc/a.h5", "leads outside"),
        ("..", "leads outside"),
        (".", "leads outside"),
        ("link/a.h5", "leads outside"),
        ("link/deeper/a.h5", "leads outside"),
        ("{up}/a.h5", "is no part of a name"),
        ("{slash}.h5", "is no part of a name"),
        ("{empty}.h5", "is no part of a name"),
        ("", "names no file"),
        ("a/", "names no file"),
        ("a\0.h5", "control characters"),
        ("a\nb/c.h5", "control characters"),
        ("x" * 256 + "/a.h5", "at most"),
        ("x" * 250 + ".h5", "at most"),
        ("/".join(["xxxxxxxx"] * 500) + ".h5", "at most"),
        ("a.h5.capture", "not possible"),
        ("a.h5.part", "not possible"),
        ("{subjekt}.h5", "nothing is known as 'subjekt'; known: date"),
        ("{subject.__class__}.h5", "nothing is known"),
        ("{subject!r}.h5", "nothing is known"),
        ("{}.h5", "nothing is known"),
        ("{subject.h5", "brace"),
        ("subject}.h5", "brace"),
    ],
)
def test_an_unacceptable_path_is_refused_by_name(
    template: str, message: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)

    with pytest.raises(RecordingError, match=message):
        resolve_path(template, str(root), CONTEXT)


def test_an_absolute_path_inside_the_root_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.h5"

    assert resolve_path(str(path), str(tmp_path), {}) == path


def test_a_link_that_stays_inside_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "day1").mkdir()
    (tmp_path / "today").symlink_to(tmp_path / "day1")

    assert resolve_path("today/a.h5", str(tmp_path), {}) == tmp_path / "day1" / "a.h5"


def test_without_a_root_any_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert resolve_path("a.h5", "", {}) == tmp_path / "a.h5"
    assert resolve_path("/elsewhere/a.h5", "", {}) == Path("/elsewhere/a.h5")


@given(st.text(max_size=40))
def test_no_text_leads_outside_of_the_root(text: str) -> None:
    try:
        path = resolve_path(text, "/no/such/root", {})
    except RecordingError:
        return

    assert path.resolve().is_relative_to("/no/such/root")


@given(st.text(max_size=300))
def test_any_stream_name_gives_one_folder(name: str) -> None:
    key = stream_key(name)

    assert key not in ("", ".", "..")
    assert "/" not in key
    assert len(key.encode()) < 220


def test_different_names_give_different_folders() -> None:
    names = ["a@2", "a", "a/b", "a%2Fb", "a.b", ".a", "", "x" * 300, "x" * 301, "µ", "\udcb5"]

    assert len({stream_key(name) for name in names}) == len(names)


def test_an_existing_file_is_not_a_target(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()

    with pytest.raises(RecordingError, match=r"a\.h5 exists, and recordings are never overwritten"):
        check_target(tmp_path / "a.h5")


def test_a_link_to_nowhere_is_not_a_target(tmp_path: Path) -> None:
    (tmp_path / "a.h5").symlink_to(tmp_path / "nowhere")

    with pytest.raises(RecordingError, match="exists"):
        check_target(tmp_path / "a.h5")


def test_folders_are_made_for_a_target(tmp_path: Path) -> None:
    check_target(tmp_path / "s01" / "day1" / "a.h5")

    assert list((tmp_path / "s01" / "day1").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RecordingError, match=r"cannot record into .*file"):
        check_target(tmp_path / "file" / "a.h5")


def test_a_folder_that_takes_no_file_is_named() -> None:
    with pytest.raises(RecordingError, match="cannot record into /proc"):
        check_target(Path("/proc/a.h5"))

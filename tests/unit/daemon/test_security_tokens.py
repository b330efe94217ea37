"""Tokens: made once, stored as hashes, gone at once when revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rigmesh.errors import DaemonError, UnknownName
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import TokenFile, duration


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "tokens.json")


def test_a_token_that_was_made_is_good(tokens: TokenFile) -> None:
    made, text = tokens.add(Role.OPERATOR, note="bob")

    found = tokens.check(text)

    assert found == made
    assert found is not None
    assert (found.role, found.note, found.expires) == (Role.OPERATOR, "bob", None)


def test_nothing_that_could_be_used_is_stored_or_shown(tokens: TokenFile) -> None:
    made, text = tokens.add(Role.ADMIN)
    secret = text.partition(".")[2]

    assert len(secret) == 43
    assert secret not in tokens.path.read_text()
    assert secret not in repr(made)
    assert made.hash not in repr(made)
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert [path.name for path in tokens.path.parent.iterdir()] == ["tokens.json"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(max_size=60) | st.from_regex(r"[0-9a-f]{8}\.[A-Za-z0-9_-]{43}"))
def test_what_was_not_made_is_not_good(tokens: TokenFile, text: str) -> None:
    if not tokens.path.exists():
        tokens.add(Role.ADMIN)

    assert tokens.check(text) is None


def test_nearly_right_is_not_good(tokens: TokenFile) -> None:
    _, text = tokens.add(Role.ADMIN)
    _, other = tokens.add(Role.VIEWER)
    swapped = text.partition(".")[0] + "." + other.partition(".")[2]

    for wrong in (text[:-1], text + "A", text + "\n", text.upper(), f" {text}", swapped):
        assert tokens.check(wrong) is None


def test_a_token_that_was_revoked_by_another_process_is_refused_at_once(tokens: TokenFile) -> None:
    made, text = tokens.add(Role.VIEWER)
    assert tokens.check(text) is not None

    TokenFile(tokens.path).revoke(made.id)

    assert tokens.check(text) is None
    assert not tokens.is_good(made)


def test_a_token_that_was_added_by_another_process_is_good_at_once(tokens: TokenFile) -> None:
    tokens.add(Role.VIEWER)
    tokens.check("")

    _, text = TokenFile(tokens.path).add(Role.VIEWER)

    assert tokens.check(text) is not None


def test_a_token_is_good_until_it_expires(tokens: TokenFile) -> None:
    made, text = tokens.add(Role.VIEWER, expires=3600.0)
    _, old = tokens.add(Role.VIEWER, expires=0.0)

    assert tokens.check(text) == made
    assert tokens.check(old) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 2, "tokens": []}', '{"version": 1, "tokens": [{}]}',
     '{"version": 1, "tokens": 3}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_lets_nobody_in(tokens: TokenFile, content: str) -> None:
    _, text = tokens.add(Role.ADMIN)
    tokens.path.write_text(content)

    assert tokens.check(text) is None
    with pytest.raises(DaemonError, match="rigmeshd init"):
        tokens.all()


def test_a_missing_file_lets_nobody_in(tokens: TokenFile) -> None:
    _, text = tokens.add(Role.ADMIN)
    tokens.check(text)
    tokens.path.unlink()

    assert tokens.check(text) is None
    with pytest.raises(DaemonError, match="rigmeshd init"):
        tokens.all()


def test_a_file_that_others_can_write_lets_nobody_in(tokens: TokenFile) -> None:
    _, text = tokens.add(Role.ADMIN)
    tokens.path.chmod(0o606)
    tokens.path.write_text(tokens.path.read_text() + " ")

    assert tokens.check(text) is None
    with pytest.raises(DaemonError, match="chmod 600"):
        tokens.all()


def test_who_holds_a_token_can_be_told_from_the_list(tokens: TokenFile) -> None:
    tokens.add(Role.VIEWER, note="first\x1b[31m\n")
    tokens.add(Role.ADMIN, note="second")

    assert [(t.role, t.note) for t in tokens.all()] == [
        (Role.VIEWER, "first[31m"),
        (Role.ADMIN, "second"),
    ]


def test_a_token_can_be_revoked_by_all_of_it_and_is_named_when_it_is_not_there(
    tokens: TokenFile,
) -> None:
    made, text = tokens.add(Role.VIEWER)

    assert tokens.revoke(text) == made
    with pytest.raises(UnknownName, match="no token"):
        tokens.revoke(made.id)
    assert json.loads(tokens.path.read_text())["tokens"] == []


def test_durations_are_whole_numbers_with_a_unit() -> None:
    assert [duration(t) for t in ("90m", "12h", "30d", "4w")] == [5400, 43200, 2592000, 2419200]
    for wrong in ("", "30", "d", "0d", "-1d", "1.5d", "1y", "³d", "99999999d"):
        with pytest.raises(DaemonError, match="no duration"):
            duration(wrong)

"""The commands together: each is found, and none is imported before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from rigmesh.cli.app import app

NAMES = get_command(app).list_commands(None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_help(name: str) -> None:
    said = CliRunner().invoke(app, [name, "--help"])

    assert said.exit_code == 0
    assert f"Usage: rigmesh {name} " in said.stdout


def test_the_help_names_them_all() -> None:
    said = CliRunner().invoke(app, ["--help"]).stdout

    assert all(f"│ {name} " in said for name in NAMES)


def test_a_misspelt_command_is_told_the_right_one() -> None:
    said = CliRunner().invoke(app, ["recrod"])

    assert said.exit_code == 2
    assert "Did you mean 'record'" in said.stderr


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    code = "import sys, rigmesh.cli; print({'numpy', 'grpc', 'yaml', 'pydantic'} & {*sys.modules})"

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert said.strip() == "set()"

"""The service unit: does systemd accept it, and does it promise what its README says."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "rigmeshd.service"


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    """The unit's sections; of a key that is given twice the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser


def _with_a_program_that_exists(folder: Path) -> Path:
    """systemd looks for the program; rigmesh need not be installed where the unit expects it."""
    text = UNIT.read_text(encoding="utf-8")
    copy = folder / UNIT.name
    copy.write_text(text.replace("/opt/rigmesh/bin/rigmeshd", sys.executable), encoding="utf-8")
    return copy


def test_systemd_finds_no_fault_in_the_unit(
    tmp_path: Path, unit: configparser.ConfigParser
) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        assert unit.sections() == ["Unit", "Service", "Install"]
        return

    verified = subprocess.run(
        [systemd, "verify", str(_with_a_program_that_exists(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("Restart", "on-failure"),
        ("KillMode", "process"),
        ("RemoveIPC", "no"),
        ("RuntimeDirectoryPreserve", "restart"),
    ],
)
def test_groups_outlive_a_crash_of_the_daemon(
    unit: configparser.ConfigParser, key: str, value: str
) -> None:
    found = unit["Service"][key]

    assert found == value


def test_only_members_of_the_group_get_in(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]

    modes = [int(service[key], 8) for key in ("RuntimeDirectoryMode", "StateDirectoryMode")]

    assert service["Group"] == "rigmesh"
    assert int(service["UMask"], 8) & 0o007 == 0o007
    assert all(mode & 0o007 == 0 for mode in modes)


def test_a_daemon_that_hangs_is_noticed(unit: configparser.ConfigParser) -> None:
    seconds = int(unit["Service"]["WatchdogSec"])

    assert 0 < seconds <= 60

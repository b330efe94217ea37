"""The service unit of the page: does systemd accept it, and is it shut in?"""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd" / "rigmesh-web.service"


def _service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, encoding="utf-8")
    return parser["Service"]


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        assert "ExecStart" in _service()
        return
    text = UNIT.read_text(encoding="utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/rigmesh/bin/rigmesh", sys.executable), encoding="utf-8")

    verified = subprocess.run(
        [systemd, "verify", str(copy)], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


def test_it_listens_on_this_machine_only_unless_told_otherwise() -> None:
    text = UNIT.read_text(encoding="utf-8")

    assert 'Environment="OPTIONS=--listen 127.0.0.1:' in text


def test_it_is_shut_in() -> None:
    service = _service()

    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""

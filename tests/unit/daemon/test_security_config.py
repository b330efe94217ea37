"""Where a daemon keeps certificates and its audit log, and that it listens only if told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmesh.errors import GraphError
from rigmesh_daemon import config
from rigmesh_daemon.config import DaemonConfig, load_config


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "none.toml")


def test_by_default_nobody_else_is_let_in_and_nothing_is_noted() -> None:
    found = load_config(None)

    assert (found.listen, found.audit_log) == ("", None)


def test_who_lets_others_in_has_an_audit_log(tmp_path: Path) -> None:
    found = load_config(None, listen="0.0.0.0:5678")

    assert found.audit_log == tmp_path / "state/rigmesh/audit.jsonl"
    assert found.tls_dir == tmp_path / "config/rigmesh/tls"


def test_a_system_daemon_keeps_its_files_where_the_unit_lets_it() -> None:
    found = load_config(None, system=True)

    assert found.tls_dir == Path("/etc/rigmesh/tls")
    assert found.audit_log == Path("/var/log/rigmesh/audit.jsonl")


def test_what_the_file_says_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "rigmeshd.toml"
    file.write_text('listen = "10.0.0.1:7000"\naudit_log = "/a.jsonl"\nmax_connections = 20\n')

    found = load_config(file, tls_dir=tmp_path)

    assert found == DaemonConfig(
        listen="10.0.0.1:7000", audit_log=Path("/a.jsonl"), max_connections=20, tls_dir=tmp_path
    )


def test_a_cap_of_nothing_is_refused() -> None:
    with pytest.raises(GraphError, match="max_rpcs"):
        load_config(None, max_rpcs=0)

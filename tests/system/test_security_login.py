"""From `rigmeshd init` to a client on another machine: what people do, and what they do wrong."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.system.security_host import SecuredHost, rigmeshd

from rigmesh.client.connection import Connection
from rigmesh.credentials import (
    Credentials,
    fingerprint,
    full_address,
    load_credentials,
    store_credentials,
)
from rigmesh.errors import DaemonUnavailable, NotPermitted
from rigmesh_daemon.security.pki import Pki
from rigmesh_daemon.security.rules import Role
from rigmesh_proto.v1 import control_pb2 as pb

Until = Callable[[Callable[[], object]], None]

RIGMESH = Path(sys.executable).with_name("rigmesh")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredHost]:
    with SecuredHost(tmp_path_factory.mktemp("s")) as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, in which one is logged in nowhere."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "config"


def rigmesh(*arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RIGMESH, *arguments],
        input=token + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "1000"},
    )


def login(host: SecuredHost, token: str, *more: str) -> subprocess.CompletedProcess[str]:
    return rigmesh("login", host.address, "--ca", fingerprint(host.ca), *more, token=token)


# --- logging in ------------------------------------------------------------------------------


def test_who_logged_in_gets_in(host: SecuredHost) -> None:
    said = login(host, host.token(Role.VIEWER))

    assert said.returncode == 0, said.stderr
    assert "logged in to rig-1" in said.stdout
    connection = Connection(load_credentials(host.address))
    assert connection.status().host == "rig-1"
    connection.close()


def test_what_is_kept_is_for_its_user_only(host: SecuredHost, home: Path) -> None:
    login(host, host.token(Role.VIEWER))

    (kept,) = (home / "rigmesh/hosts").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_token_that_is_not_good_is_not_kept(host: SecuredHost, home: Path) -> None:
    said = login(host, "1a2b3c4d." + "A" * 43)

    assert said.returncode == 1
    assert "wrong, expired or revoked" in said.stderr
    assert not (home / "rigmesh/hosts").exists()


def test_another_authority_gets_no_token(host: SecuredHost, tmp_path: Path) -> None:
    other = Pki(tmp_path)
    other.make_ca("elsewhere")

    said = rigmesh(
        "login", host.address, "--ca", fingerprint(other.ca.read_bytes()), token="secret"
    )

    assert said.returncode == 1
    assert "does not show the authority" in said.stderr
    assert "nothing was sent" in said.stderr


def test_a_host_in_between_that_shows_the_right_authority_gets_no_token(
    host: SecuredHost, tmp_path: Path
) -> None:
    impostor = Pki(tmp_path / "tls")
    impostor.folder.mkdir()
    impostor.make_ca("impostor")
    impostor.make_host(["localhost"], ["127.0.0.1"])
    # It can show the certificate of the true authority, which is no secret; but not use it.
    chain = impostor.host.read_bytes() + host.ca
    impostor.host.write_bytes(chain)
    (impostor.folder / "tokens.json").write_bytes(host.tokens.path.read_bytes())
    (impostor.folder / "tokens.json").chmod(0o600)
    with SecuredHost(tmp_path) as false_host:
        said = rigmesh(
            "login", false_host.address, "--ca", fingerprint(host.ca), token=host.token(Role.ADMIN)
        )

        assert said.returncode == 1
        assert "is not the host that you logged in to" in said.stderr
        assert "refused" not in false_host.said  # no call came through


def test_a_host_of_another_name_is_told_with_the_way_out(host: SecuredHost) -> None:
    said = login(host, host.token(Role.VIEWER), "--name", "rig-9")

    assert said.returncode == 1
    assert "is not for 'rig-9'" in said.stderr
    assert "rigmeshd init --renew" in said.stderr


def test_a_host_can_be_reached_by_a_name_that_its_certificate_has(host: SecuredHost) -> None:
    said = login(host, host.token(Role.VIEWER), "--name", "localhost")

    assert said.returncode == 0, said.stderr
    assert load_credentials(host.address).name == "localhost"


@pytest.mark.parametrize("wrong", ["", "12", "g" * 64])
def test_a_fingerprint_that_is_none_is_refused(host: SecuredHost, wrong: str) -> None:
    said = rigmesh("login", host.address, "--ca", wrong)

    assert said.returncode == 1
    assert "64 hexadecimal digits" in said.stderr


def test_where_nothing_listens_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        said = rigmesh("login", address, "--ca", "a" * 64, token="x")

    assert said.returncode == 1
    assert "cannot reach" in said.stderr


def test_logging_out_forgets_the_token(host: SecuredHost) -> None:
    login(host, host.token(Role.VIEWER))

    said = rigmesh("logout", host.address)

    assert said.returncode == 0
    with pytest.raises(NotPermitted, match="rigmesh login"):
        load_credentials(host.address)
    assert rigmesh("logout", host.address).returncode == 1


def test_who_is_not_logged_in_is_told_how() -> None:
    with pytest.raises(NotPermitted, match="rigmesh login rig-7 --ca"):
        load_credentials("rig-7")


def test_kept_credentials_that_others_can_read_are_refused(host: SecuredHost) -> None:
    path = store_credentials(host.credentials(Role.VIEWER))
    path.chmod(0o644)

    with pytest.raises(NotPermitted, match="chmod 600"):
        load_credentials(host.address)


@pytest.mark.parametrize("wrong", ["", "a b", "http://x", "x:0", "x:99999", "../x", "x:65535"])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(DaemonUnavailable, match="no address"):
        full_address(wrong)


def test_a_window_cannot_be_put_on_another_machine(host: SecuredHost) -> None:
    connection = Connection(host.credentials(Role.ADMIN))

    with pytest.raises(NotPermitted, match="another machine"):
        _ = connection.socket

    connection.close()


def test_a_connection_to_a_replaced_host_fails_at_once_and_says_why(
    host: SecuredHost, tmp_path: Path
) -> None:
    other = Pki(tmp_path)
    other.make_ca("elsewhere")
    credentials = Credentials(host.address, other.ca.read_bytes(), host.token(Role.ADMIN))

    with pytest.raises(NotPermitted, match="is not the host that you logged in to"):
        Connection(credentials)


# --- secrets ---------------------------------------------------------------------------------


def test_a_token_is_in_no_process_list_log_or_repr(host: SecuredHost) -> None:
    token = host.token(Role.OPERATOR)
    secret = token.partition(".")[2]
    process = subprocess.Popen(
        [RIGMESH, "login", host.address, "--ca", fingerprint(host.ca)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(token + "\n")
    process.stdin.flush()
    seen = ""
    while process.poll() is None:
        seen += "".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    credentials = load_credentials(host.address)
    connection = Connection(credentials)
    group = pb.CreateGroupRequest(group=pb.GroupSpec(name=f"token {secret[:2]}"))
    connection.call(connection.stub.CreateGroup, group)
    with pytest.raises(NotPermitted) as refused:
        connection.call(connection.stub.RegisterGroup, pb.RegisterGroupRequest(name="x"))
    connection.close()

    assert credentials.token == token
    assert f"login {host.address}" in seen
    for text in (seen, said, repr(credentials), repr(connection), str(refused.value), host.said):
        assert secret not in text
    for path in (host.audit_log, host.tokens.path, host.config):
        assert secret not in path.read_text()


def test_who_changed_what_is_in_the_audit_log(host: SecuredHost) -> None:
    made, text = host.tokens.add(Role.OPERATOR, note="bob's laptop")
    remote = Connection(Credentials(host.address, host.ca, text))
    local = Connection(host.socket)

    for connection, name in ((remote, "here\x1b[2J"), (local, "there")):
        request = pb.CreateGroupRequest(group=pb.GroupSpec(name=name))
        connection.call(connection.stub.CreateGroup, request)
        connection.close()

    entries = [json.loads(line) for line in host.audit_log.read_text("ascii").splitlines()]
    by_name = {entry["summary"]: entry for entry in entries}
    assert by_name["name=here\x1b[2J"]["who"] == f"{made.id} bob's laptop"
    assert by_name["name=here\x1b[2J"]["peer"].startswith("ipv4:127.0.0.1:")
    assert by_name["name=there"]["who"] == f"uid {os.getuid()}"
    assert "\x1b" not in host.audit_log.read_text("ascii")


# --- rigmeshd --------------------------------------------------------------------------------


def test_init_prints_all_that_a_client_needs_and_does_not_overwrite(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    first = rigmeshd("init", "--tls-dir", tls, "--name", "rig-1.lab", "--address", "10.9.8.7")
    before = {path.name: path.read_bytes() for path in tls.iterdir()}
    second = rigmeshd("init", "--tls-dir", tls)

    ca = fingerprint(Pki(tls).ca.read_bytes())
    assert f"rigmesh login 10.9.8.7 --ca {ca}" in first.stdout
    assert all(role.label in first.stdout for role in Role)
    assert "rig-1.lab" in Pki(tls).alternatives()[0]
    assert stat.S_IMODE(tls.stat().st_mode) == 0o700
    assert second.returncode == 1
    assert "--force" in second.stderr
    assert {path.name: path.read_bytes() for path in tls.iterdir()} == before


def test_renewing_keeps_names_log_ins_and_tokens(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    rigmeshd("init", "--tls-dir", tls, "--name", "rig-1.lab")
    before = {name: (tls / name).read_bytes() for name in ("ca.pem", "ca.key", "tokens.json")}

    done = rigmeshd("init", "--tls-dir", tls, "--renew", "--address", "10.1.1.1")

    names, addresses = Pki(tls).alternatives()
    assert done.returncode == 0, done.stderr
    assert "rig-1.lab" in names
    assert "10.1.1.1" in addresses
    assert {name: (tls / name).read_bytes() for name in before} == before


def test_force_replaces_all(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    rigmeshd("init", "--tls-dir", tls)
    before = {path.name: path.read_bytes() for path in tls.iterdir()}

    done = rigmeshd("init", "--tls-dir", tls, "--force")

    assert done.returncode == 0, done.stderr
    assert not {(p.name, p.read_bytes()) for p in tls.iterdir()} & set(before.items())
    assert len(json.loads((tls / "tokens.json").read_text())["tokens"]) == 3


def test_tokens_are_added_listed_and_revoked(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    rigmeshd("init", "--tls-dir", tls)

    added = rigmeshd(
        "token", "add", "--tls-dir", tls, "--role", "viewer", "--expires", "30d", "--note", "bob"
    ).stdout.strip()
    listed = rigmeshd("token", "list", "--tls-dir", tls).stdout
    revoked = rigmeshd("token", "revoke", "--tls-dir", tls, added.partition(".")[0])
    after = rigmeshd("token", "list", "--tls-dir", tls).stdout

    assert added.partition(".")[0] in listed
    assert added.partition(".")[2] not in listed
    assert "bob" in listed
    assert revoked.returncode == 0
    assert "bob" not in after


def test_tokens_without_init_are_told_of_it(tmp_path: Path) -> None:
    said = rigmeshd("token", "list", "--tls-dir", tmp_path)

    assert said.returncode == 1
    assert "rigmeshd init" in said.stderr


def test_a_daemon_that_shall_listen_without_certificates_does_not_start(tmp_path: Path) -> None:
    said = rigmeshd("--run-dir", tmp_path / "r", "--listen", "127.0.0.1:0", "--tls-dir", tmp_path)

    assert said.returncode == 1
    assert "rigmeshd init" in said.stderr
    assert not (tmp_path / "r/rigmeshd.sock").exists()


def test_a_port_that_is_taken_is_not_shared(host: SecuredHost, tmp_path: Path) -> None:
    said = rigmeshd("--run-dir", tmp_path / "r", "--listen", host.address, "--tls-dir", host.tls)

    assert said.returncode == 1
    assert f"cannot listen on {host.address}" in said.stderr


def test_nothing_listens_on_the_network_unless_it_is_said(tmp_path: Path, until: Until) -> None:
    run_dir = tmp_path / "r"
    process = subprocess.Popen(
        [sys.executable, "-m", "rigmesh_daemon", "--run-dir", run_dir],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until((run_dir / "rigmeshd.sock").exists)

    connections = psutil.Process(process.pid).net_connections("inet")

    process.terminate()
    process.wait(60)
    assert connections == []

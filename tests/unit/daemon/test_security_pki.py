"""Certificates: right names, right permissions, refused when they do not fit."""

from __future__ import annotations

import ipaddress
import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rigmesh import credentials
from rigmesh.errors import DaemonError
from rigmesh_daemon.security.listen import Listen
from rigmesh_daemon.security.pki import Pki, fingerprint, names_of_this_machine
from rigmesh_daemon.security.tls import server_credentials


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.make_ca("rig-1")
    made.make_host(["rig-1", "localhost"], ["127.0.0.1", "::1"])
    return made


def test_the_host_is_certified_by_the_authority_for_its_names(pki: Pki) -> None:
    authority = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    host, shown = x509.load_pem_x509_certificates(pki.host.read_bytes())

    host.verify_directly_issued_by(authority)
    names = host.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert shown == authority
    assert names.get_values_for_type(x509.DNSName) == ["rig-1", "localhost"]
    assert ipaddress.ip_address("::1") in names.get_values_for_type(x509.IPAddress)
    assert pki.alternatives() == (["rig-1", "localhost"], ["127.0.0.1", "::1"])


def test_the_keys_are_p256_and_for_nobody_else(pki: Pki) -> None:
    for path in (pki.ca_key, pki.host_key):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_host_cannot_certify_others_and_the_authority_no_authorities(pki: Pki) -> None:
    limits = [
        c.extensions.get_extension_for_class(x509.BasicConstraints).value
        for c in x509.load_pem_x509_certificates(pki.host.read_bytes())
    ]

    assert [(limit.ca, limit.path_length) for limit in limits] == [(False, None), (True, 0)]


def test_client_and_daemon_take_the_same_fingerprint(pki: Pki) -> None:
    ca = pki.ca.read_bytes()

    assert credentials.fingerprint(ca) == fingerprint(ca)


def test_a_renewed_certificate_is_of_the_same_authority(pki: Pki) -> None:
    before, ca = pki.host.read_bytes(), pki.ca.read_bytes()

    pki.make_host(["rig-1"], ["10.0.0.103"])

    assert pki.ca.read_bytes() == ca
    assert pki.host.read_bytes() != before
    pki.load_host()


@pytest.mark.parametrize("missing", ["host.pem", "host.key"])
def test_missing_certificates_are_told_with_the_way_to_make_them(pki: Pki, missing: str) -> None:
    (pki.folder / missing).unlink()

    with pytest.raises(DaemonError, match=rf"{missing} does not exist.*rigmeshd init"):
        server_credentials(pki.folder)


def test_a_key_that_others_can_read_is_refused(pki: Pki) -> None:
    pki.host_key.chmod(0o640)

    with pytest.raises(DaemonError, match=r"open to others \(mode 0640\).*chmod 600"):
        server_credentials(pki.folder)


def test_a_key_of_another_certificate_is_refused(pki: Pki) -> None:
    pki.host_key.write_bytes(pki.ca_key.read_bytes())

    with pytest.raises(DaemonError, match=r"does not belong to .*rigmeshd init --renew"):
        server_credentials(pki.folder)


def test_damaged_certificates_are_refused(pki: Pki) -> None:
    pki.host.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")

    with pytest.raises(DaemonError, match="damaged"):
        server_credentials(pki.folder)


def test_an_expired_certificate_is_refused(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rigmesh_daemon.security.pki._HOST_DAYS", 0)
    pki.make_host(["rig-1"], [])

    with pytest.raises(DaemonError, match="has expired; rigmeshd init --renew"):
        server_credentials(pki.folder)


def test_a_certificate_that_ends_soon_is_told(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rigmesh_daemon.security.pki._HOST_DAYS", 10)
    pki.make_host(["rig-1"], [])

    server_credentials(pki.folder)

    assert "rigmeshd init --renew" in caplog.text


@pytest.mark.parametrize(("name", "address"), [("rig 1", "::1"), ("*", "::1"), ("rig", "1.2.3")])
def test_what_is_no_name_or_address_is_refused(pki: Pki, name: str, address: str) -> None:
    with pytest.raises(DaemonError, match="is no"):
        pki.make_host([name], [address])


def test_this_machine_knows_itself_as_localhost() -> None:
    names, addresses = names_of_this_machine()

    assert "localhost" in names
    assert {"127.0.0.1", "::1"} <= set(addresses)


@pytest.mark.parametrize(
    "text", ["", "5678", ":5678", "rig", "rig:", "rig:x", "::1:5678", "a:65535"]
)
def test_what_cannot_be_listened_on_is_told_with_what_can(text: str) -> None:
    with pytest.raises(DaemonError, match="cannot listen on"):
        Listen.parse(text)


def test_an_address_to_listen_on_is_written_as_it_was_read() -> None:
    assert [str(Listen.parse(t)) for t in ("0.0.0.0:5678", "[::]:1")] == ["0.0.0.0:5678", "[::]:1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_any_port_is_one_that_is_kept_with_the_next(host: str) -> None:
    any_port = Listen.parse(f"{host}:0")

    with any_port.kept() as first, any_port.kept() as second:
        for kept in (first, second):
            for port in (kept.port, kept.port + 1):
                with socket.create_server(("127.0.0.1", port)):  # which says SO_REUSEADDR
                    pass
                with socket.socket() as other, pytest.raises(OSError, match="in use"):
                    other.bind(("127.0.0.1", port))

        assert len({first.port, first.port + 1, second.port, second.port + 1}) == 4


def test_a_port_that_was_named_is_left_as_it_is() -> None:
    named = Listen.parse("0.0.0.0:5678")

    with named.kept() as kept:
        assert kept == named


def test_an_address_of_no_machine_is_left_to_who_listens() -> None:
    with Listen.parse("192.0.2.1:0").kept() as kept:
        assert kept == Listen("192.0.2.1", 0)

"""The certificate authority of one host, and the certificate that it shows to clients."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rigmesh.errors import DaemonError
from rigmesh_daemon.security.files import check_secret, write_secret

__all__ = ["Pki", "fingerprint", "names_of_this_machine"]

_CA_DAYS = 20 * 365
_HOST_DAYS = 5 * 365
_BACK = datetime.timedelta(days=1)
"""Certificates begin a day early: clocks of rigs without a network are wrong."""
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate, in hex."""
    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def names_of_this_machine() -> tuple[list[str], list[str]]:
    """Return the names and the addresses under which others may know this machine."""
    names = [socket.gethostname(), socket.getfqdn(), "localhost"]
    addresses = ["127.0.0.1", "::1"]
    for interface in psutil.net_if_addrs().values():
        addresses += [
            found.address.partition("%")[0]
            for found in interface
            if found.family in (socket.AF_INET, socket.AF_INET6)
        ]
    return _unique(n for n in names if _NAME.fullmatch(n)), _unique(addresses)


@dataclass(frozen=True, slots=True)
class Pki:
    """The files of a host's certificates, in one folder."""

    folder: Path
    ca: Path = field(init=False)
    ca_key: Path = field(init=False)
    host: Path = field(init=False)
    host_key: Path = field(init=False)

    def __post_init__(self) -> None:
        for name, file in (
            ("ca", "ca.pem"),
            ("ca_key", "ca.key"),
            ("host", "host.pem"),
            ("host_key", "host.key"),
        ):
            object.__setattr__(self, name, self.folder / file)

    @property
    def exists(self) -> bool:
        """Whether there are certificates, or a part of them."""
        return any(p.exists() for p in (self.ca, self.ca_key, self.host, self.host_key))

    def make_ca(self, name: str) -> None:
        """Make the authority: clients trust it, and the key never leaves the host."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"rigmesh {name}"[:64])])
        usage = _usage(key_cert_sign=True, crl_sign=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = (
            _dated(_CA_DAYS)
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        write_secret(self.ca_key, _pem_of_key(key))
        write_secret(self.ca, made.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def make_host(self, names: Iterable[str], addresses: Iterable[str]) -> list[str]:
        """Make the host's certificate.

        Parameters
        ----------
        names, addresses : iterable of str
            Under which clients may reach the host.

        Returns
        -------
        list of str
            All of them.

        Raises
        ------
        DaemonError
            If one is not a name or not an address, or the authority cannot be read.
        """
        alternatives: list[x509.GeneralName] = []
        for name in _unique(names):
            if not _NAME.fullmatch(name):
                raise DaemonError(f"{name!r} is no host name")
            alternatives.append(x509.DNSName(name))
        for address in _unique(addresses):
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(address)))
            except ValueError as error:
                raise DaemonError(f"{address!r} is no IP address") from error
        authority, authority_key = self._load_ca()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rigmesh host")])
        issuer_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = (
            _dated(_HOST_DAYS)
            .subject_name(subject)
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
                critical=False,
            )
            .sign(authority_key, hashes.SHA256())
        )
        # The authority is part of what a client is shown: `rigmesh login` takes it from there.
        chain = made.public_bytes(serialization.Encoding.PEM) + self.ca.read_bytes()
        write_secret(self.host_key, _pem_of_key(key))
        write_secret(self.host, chain, mode=0o644)
        return [str(alternative.value) for alternative in alternatives]

    def load_host(self) -> tuple[bytes, bytes]:
        """Return the host's private key and certificate chain, as PEM.

        Raises
        ------
        DaemonError
            If they are missing, open to others, or damaged.
        """
        try:
            check_secret(self.host_key)
            key, chain = self.host_key.read_bytes(), self.host.read_bytes()
        except FileNotFoundError as error:
            raise DaemonError(
                f"listening on the network needs certificates, and {error.filename} does not "
                "exist; make them: rigmeshd init"
            ) from error
        except OSError as error:
            raise DaemonError(f"cannot read the certificates: {error}") from error
        try:
            loaded = serialization.load_pem_private_key(key, None)
            fits = loaded.public_key() == x509.load_pem_x509_certificate(chain).public_key()
        except (ValueError, TypeError) as error:
            raise DaemonError(
                f"the certificates in {self.folder} are damaged ({error}); make them anew: "
                "rigmeshd init --renew"
            ) from error
        if not fits:
            raise DaemonError(
                f"{self.host_key} does not belong to {self.host}; make them anew: "
                "rigmeshd init --renew"
            )
        return key, chain

    def alternatives(self) -> tuple[list[str], list[str]]:
        """Return the names and addresses that the host's certificate is good for."""
        certificate = x509.load_pem_x509_certificate(self.host.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        addresses = found.get_values_for_type(x509.IPAddress)
        return found.get_values_for_type(x509.DNSName), [str(address) for address in addresses]

    def days_left(self) -> float:
        """Return for how many days the host's certificate is still good."""
        ends = x509.load_pem_x509_certificate(self.host.read_bytes()).not_valid_after_utc
        return (ends - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)

    def _load_ca(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            check_secret(self.ca_key)
            certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())
            key = serialization.load_pem_private_key(self.ca_key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise DaemonError(
                f"cannot read the authority in {self.folder}: {error}; make all anew: "
                "rigmeshd init --force"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise DaemonError(f"{self.ca_key} is no key of rigmesh's; rigmeshd init --force")
        return certificate, key


def _dated(days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACK)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))

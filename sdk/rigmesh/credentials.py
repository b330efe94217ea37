"""What lets a client into the daemon of another machine: an authority to trust, and a token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import re
import socket
import ssl
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import grpc

from rigmesh.errors import DaemonUnavailable, NotPermitted
from rigmesh.names import DEFAULT_PORT
from rigmesh.rpc import CHANNEL_OPTIONS

__all__ = [
    "REMOTE_OPTIONS",
    "Credentials",
    "authority_of",
    "fingerprint",
    "forget_credentials",
    "full_address",
    "known_addresses",
    "load_credentials",
    "store_credentials",
]

REMOTE_OPTIONS: list[tuple[str, int]] = [
    *CHANNEL_OPTIONS,
    # A link that is cut without a word is noticed within 4.5 s, and so is a daemon that hangs,
    # for which it takes the time-out of pings (60 s by default): TCP still answers for it.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_500),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # and a daemon that is back within 1 s; an attempt that hangs is given up after 3 s.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]

_PROBE_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """A host, and what is needed to get in.

    Parameters
    ----------
    address : str
        ``host:port``; IPv6 addresses in brackets.
    ca : bytes
        The certificate of the host's authority, as PEM.
    token : str
        As ``rigmeshd token add`` printed it.
    name : str
        What the host's certificate is checked for; by default the host of the address.
    """

    address: str
    ca: bytes = field(repr=False)
    token: str = field(repr=False)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", full_address(self.address))
        if not self.name:
            object.__setattr__(self, "name", split_address(self.address)[0])

    def channel(self, port_offset: int = 0) -> grpc.Channel:
        """Return a channel that is encrypted, checked, and shows the token with each call.

        Parameters
        ----------
        port_offset : int
            1 for the relay of the host.
        """
        host, port = split_address(self.address)
        options: list[tuple[str, Any]] = list(REMOTE_OPTIONS)
        if self.name != host:
            options.append(("grpc.ssl_target_name_override", self.name))
        credentials = grpc.composite_channel_credentials(
            grpc.ssl_channel_credentials(self.ca), grpc.access_token_call_credentials(self.token)
        )
        target = _joined(host, port + port_offset)
        return grpc.secure_channel(target, credentials, options=options)

    def fault(self) -> tuple[str, bool]:
        """Find out why nobody answers, which gRPC does not tell.

        Returns
        -------
        str
            A sentence; empty if a handshake succeeds.
        bool
            Whether trying again is of no use.
        """
        context = ssl.create_default_context(cadata=self.ca.decode("ascii"))
        host, port = split_address(self.address)
        try:
            with (
                socket.create_connection((host, port), _PROBE_WITHIN) as plain,
                context.wrap_socket(plain, server_hostname=self.name),
            ):
                return "", False
        except ssl.SSLCertVerificationError as error:
            return _fault_of_certificate(self, error), True
        except ssl.SSLError as error:
            return f"what answers at {self.address} is no daemon of rigmesh ({error.reason})", False
        except ConnectionRefusedError:
            return (
                f"nothing listens at {self.address}; does rigmeshd run, with `listen` set?",
                False,
            )
        except TimeoutError:
            return f"no answer from {self.address} within {_PROBE_WITHIN:.0f} s", False
        except OSError as error:
            return f"{self.address} cannot be reached: {error.strerror or error}", False


def _fault_of_certificate(credentials: Credentials, error: ssl.SSLCertVerificationError) -> str:
    address = credentials.address
    if error.verify_code in (62, 64):  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
        return (
            f"the certificate of {address} is not for {credentials.name!r}; on the host: rigmeshd "
            f"init --renew --address {credentials.name}, or name it: rigmesh login --name"
        )
    if error.verify_code == 10:  # X509_V_ERR_CERT_HAS_EXPIRED
        return f"the certificate of {address} has expired; on the host: rigmeshd init --renew"
    return (
        f"{address} is not the host that you logged in to ({error.verify_message}); if its "
        f"certificates were replaced, log in anew: rigmesh login {address}"
    )


def full_address(address: str) -> str:
    """Return an address with a port.

    Raises
    ------
    DaemonUnavailable
        If it is none.

    Examples
    --------
    >>> full_address("rig-1"), full_address("tcp://10.0.0.103:5678"), full_address("::1")
    ('rig-1:5678', '10.0.0.103:5678', '[::1]:5678')
    """
    bare = address.removeprefix("tcp://").strip()
    if bare.count(":") > 1 and not bare.startswith("["):
        bare = f"[{bare}]"
    if bare.endswith("]") or ":" not in bare:
        bare = f"{bare}:{DEFAULT_PORT}"
    host, port = split_address(bare)
    return _joined(host, port)


def split_address(address: str) -> tuple[str, int]:
    """Return host and port.

    Raises
    ------
    DaemonUnavailable
        If it is no address.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):(\d{1,5})", address, re.ASCII)
    if match is None or not 0 < int(match[2]) < 65535:
        raise DaemonUnavailable(f"{address!r} is no address of a host; write rig-1 or rig-1:5678")
    return match[1].strip("[]").lower(), int(match[2])


def _joined(host: str, port: int) -> str:
    with suppress(ValueError):
        if ipaddress.ip_address(host).version == 6:
            return f"[{host}]:{port}"
    return f"{host}:{port}"


# --- the authority ---------------------------------------------------------------------------


def fingerprint(ca: bytes) -> str:
    """Return the SHA-256 of a PEM certificate, in hex."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.decode("ascii"))).hexdigest()


def authority_of(address: str, wanted: str) -> bytes:
    """Fetch the certificate of a host's authority, if it has the right fingerprint.

    Nothing is told to the host by that, least of all a token.

    Parameters
    ----------
    address : str
        The host.
    wanted : str
        SHA-256, in hex, as ``rigmeshd init`` printed it.

    Returns
    -------
    bytes
        PEM.

    Raises
    ------
    NotPermitted
        If it shows another one: it is not the host, or somebody sits in between.
    DaemonUnavailable
        If it does not answer.
    """
    plain = wanted.replace(":", "").strip().lower().removeprefix("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", plain, re.ASCII):
        raise NotPermitted(
            "the fingerprint of an authority has 64 hexadecimal digits; rigmeshd init prints it"
        )
    address = full_address(address)
    for certificate in _chain(address):
        found = hashlib.sha256(certificate).hexdigest()
        if hmac.compare_digest(found, plain):
            return ssl.DER_cert_to_PEM_cert(certificate).encode("ascii")
    raise NotPermitted(
        f"{address} does not show the authority {plain[:16]}…: it is another machine, or its "
        "certificates were replaced (rigmeshd init on it prints the fingerprint), or somebody "
        "is in between; nothing was sent to it"
    )


def _chain(address: str) -> list[bytes]:
    """Return the certificates that a server shows, unchecked, as DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is shown is compared with the fingerprint
    host, port = split_address(address)
    try:
        with (
            socket.create_connection((host, port), _PROBE_WITHIN) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            # Public since Python 3.13; before, only the object beneath has it.
            public = getattr(secured, "get_unverified_chain", None)
            if public is not None:
                return list(public())
            beneath: Any = getattr(secured, "_sslobj")  # noqa: B009
            return [_der(shown.public_bytes()) for shown in beneath.get_unverified_chain()]
    except ssl.SSLError as error:
        raise DaemonUnavailable(
            f"what answers at {address} is no daemon of rigmesh ({error.reason})"
        ) from error
    except OSError as error:
        raise DaemonUnavailable(
            f"cannot reach {address}: {error.strerror or error}; does rigmeshd run there, with "
            "`listen` set?"
        ) from error


def _der(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


# --- what is kept ----------------------------------------------------------------------------


def store_credentials(credentials: Credentials) -> Path:
    """Keep credentials for `load_credentials`, readable by their owner only.

    Returns
    -------
    Path
        The file.
    """
    path = _path(credentials.address)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    content = {
        "address": credentials.address,
        "name": credentials.name,
        "ca": credentials.ca.decode("ascii"),
        "token": credentials.token,
    }
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".host.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def load_credentials(address: str) -> Credentials:
    """Return what ``rigmesh login`` has stored for a host.

    Raises
    ------
    NotPermitted
        If there is nothing, or others can read it.
    """
    address = full_address(address)
    path = _path(address)
    login = f"rigmesh login {address.removesuffix(f':{DEFAULT_PORT}')} --ca FINGERPRINT"
    try:
        if path.stat().st_mode & 0o077:
            raise NotPermitted(f"{path} is open to others: chmod 600 {path}, or log in anew")
        content = json.loads(path.read_text(encoding="utf-8"))
        return Credentials(
            address=str(content["address"]),
            ca=str(content["ca"]).encode("ascii"),
            token=str(content["token"]),
            name=str(content["name"]),
        )
    except FileNotFoundError:
        raise NotPermitted(f"you are not logged in to {address}: {login}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NotPermitted(f"{path} cannot be read ({error}); log in anew: {login}") from error


def known_addresses() -> list[str]:
    """Return the addresses of all hosts that this user is logged in to."""
    found = (unquote(path.stem) for path in _folder().glob("*.json"))
    return sorted(found)


def forget_credentials(address: str) -> None:
    """Remove what is stored for a host.

    Raises
    ------
    NotPermitted
        If there is nothing.
    """
    address = full_address(address)
    try:
        _path(address).unlink()
    except FileNotFoundError:
        raise NotPermitted(f"you are not logged in to {address}") from None


def _path(address: str) -> Path:
    return _folder() / f"{quote(address, safe='[]:')}.json"


def _folder() -> Path:
    configured = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(configured) if configured else Path.home() / ".config"
    return folder / "rigmesh" / "hosts"

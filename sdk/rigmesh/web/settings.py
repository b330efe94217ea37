"""What the page is told when it begins."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from rigmesh.errors import DaemonError, NotPermitted

__all__ = ["Address", "Settings"]

DEFAULT_PORT = 8765


@dataclass(frozen=True, slots=True)
class Address:
    """Where the page is served.

    Parameters
    ----------
    host : str
        Name or address of this machine.
    port : int
        0 for a free one.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Take ``127.0.0.1:8765``, ``[::1]:8765`` or ``localhost`` apart.

        Raises
        ------
        DaemonError
            If it is none of these.

        Examples
        --------
        >>> Address.parse("[::1]:80")
        Address(host='::1', port=80)
        """
        bare = text.removeprefix("[")
        if bare != text:
            host, _, rest = bare.partition("]")
            port = rest.removeprefix(":") if rest else str(DEFAULT_PORT)
        else:
            host, _, port = text.partition(":")
            port = port or str(DEFAULT_PORT)
        if not host or not port.isdecimal() or int(port) > 65535:
            raise DaemonError(
                f"cannot listen on {text!r}; write an address of this machine and a port, such as "
                f"127.0.0.1:{DEFAULT_PORT} or [::1]:{DEFAULT_PORT}"
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a page is served, and what it shows.

    Parameters
    ----------
    listen : Address
        Where.
    hosts : tuple of str
        Other machines to show, that this user is logged in to.
    socket : Path, optional
        The daemon of this machine; found by itself if not given.
    recordings : Path, optional
        The folder of the recordings that can be looked at; no page for them without.
    tls_dir : Path, optional
        Certificate and key of this host; then it is served by HTTPS.
    tokens : Path, optional
        The host's tokens, which people log in with. Without, a token is made at the start.
    role : str
        That of the token which is made.
    audit_log : Path, optional
        Where log-ins and changes are noted.
    names : tuple of str
        Names and addresses, beside those of the loopback, by which browsers may ask for it.
    session_seconds : float
        After so long a person has to log in again.
    live_seconds : float
        So much of a stream is kept at most, while somebody looks at it.
    """

    listen: Address = Address("127.0.0.1", DEFAULT_PORT)
    hosts: tuple[str, ...] = ()
    socket: Path | None = None
    recordings: Path | None = None
    tls_dir: Path | None = None
    tokens: Path | None = None
    role: str = "operator"
    audit_log: Path | None = None
    names: tuple[str, ...] = ()
    session_seconds: float = 12 * 3600.0
    live_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not self.listen.is_loopback and (self.tls_dir is None or self.tokens is None):
            raise NotPermitted(
                f"{self.listen} can be reached from other machines, so the page has to be served "
                "by HTTPS and with tokens; make certificates and tokens: rigmeshd init"
            )

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return "http" if self.tls_dir is None else "https"

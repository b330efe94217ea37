"""Where a daemon listens for other machines."""

from __future__ import annotations

from dataclasses import dataclass

from rigmesh.errors import DaemonError
from rigmesh.names import DEFAULT_PORT

__all__ = ["Listen"]


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Take ``0.0.0.0:5678`` or ``[::]:5678`` apart.

        Raises
        ------
        DaemonError
            If it is neither.

        Examples
        --------
        >>> Listen.parse("[::]:5678")
        Listen(host='::', port=5678)
        """
        host, separator, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not (separator and bare and port.isdecimal() and int(port) < 65535):
            raise DaemonError(
                f"cannot listen on {text!r}; write an address of this machine and a port, "
                f"such as 0.0.0.0:{DEFAULT_PORT}"
            )
        if ":" in bare and bare == host:
            raise DaemonError(f"cannot listen on {text!r}; an IPv6 address needs brackets")
        return cls(bare, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

"""Where a daemon listens for other machines."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from rigmesh.errors import DaemonError
from rigmesh.names import DEFAULT_PORT

__all__ = ["Listen"]

_MOST_TRIES = 100
_LAST_PORT = 2**16 - 1


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
        if not (separator and bare and port.isdecimal() and int(port) < _LAST_PORT):
            raise DaemonError(
                f"cannot listen on {text!r}; write an address of this machine and a port, "
                f"such as 0.0.0.0:{DEFAULT_PORT}; the next port is that of the relay"
            )
        if ":" in bare and bare == host:
            raise DaemonError(f"cannot listen on {text!r}; an IPv6 address needs brackets")
        return cls(bare, int(port))

    @contextlib.contextmanager
    def kept(self) -> Iterator[Listen]:
        """Settle on a port if any will do; keep it, and the next one, for us and our relay.

        Whoever says ``SO_REUSEADDR``, as gRPC does, can listen on both; connections that need some
        port are given neither.
        """
        with contextlib.ExitStack() as held:
            yield self if self.port else Listen(self.host, self._pair(held))

    def _pair(self, held: contextlib.ExitStack) -> int:
        for _ in range(_MOST_TRIES):
            with contextlib.ExitStack() as pair:
                try:
                    port: int = pair.enter_context(_bound(self.host, 0)).getsockname()[1]
                except OSError:
                    break
                if port == _LAST_PORT:
                    continue
                with contextlib.suppress(OSError):
                    pair.enter_context(_bound(self.host, port + 1))
                    held.enter_context(pair.pop_all())
                    return port
        return 0  # whoever listens there will be told why it cannot be

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _bound(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind)
    try:
        made.bind(address)
    except OSError:
        made.close()
        raise
    # Not before: it would be bound also where somebody else keeps a port like this.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made

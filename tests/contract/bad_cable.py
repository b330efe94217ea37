"""A cable between a relay and who reads from it, that breaks when it is told to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

__all__ = ["Cable"]


_WITHIN = 15.0


class Cable:
    """Passes bytes on between a socket of its own and another one, as long as it is whole.

    Parameters
    ----------
    listen, target : str or (str, int)
        Paths of Unix sockets, or addresses.
    """

    def __init__(self, listen: Any, target: Any) -> None:
        self._family = socket.AF_INET if isinstance(target, tuple) else socket.AF_UNIX
        self._target = target
        self._server = socket.socket(self._family)
        if self._family == socket.AF_INET:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind(listen)
        self._server.listen()
        self.address = self._server.getsockname()
        self._whole = threading.Event()
        self._whole.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if not self._whole.is_set():
                near.close()
                continue
            far = socket.socket(self._family)
            try:
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            self._pairs.append((near, far))
            self._start(self._pass_on, near, far)
            self._start(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._whole.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Pass nothing on; nobody is told."""
        self._whole.clear()

    def heal(self) -> None:
        """Pass on again; what was connected before stays dead, as after a long time."""
        self.drop()
        self._whole.set()

    def resume(self) -> None:
        """Pass on what came meanwhile, too."""
        self._whole.set()

    def drop(self) -> None:
        """Break all connections."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        self.drop()
        self._whole.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

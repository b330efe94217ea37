"""The clock responder beside the relay: a process of its own, and the key that it answers to."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import select
import subprocess
import sys
import time

from rigmesh.errors import DaemonError

__all__ = ["ClockResponder"]

_log = logging.getLogger(__name__)

_START_WITHIN = 10.0
_END_WITHIN = 2.0
_PAUSE = 5.0


class ClockResponder:
    """Starts the responder, and starts it again should it die.

    Parameters
    ----------
    address : str
        Where it listens.
    port : int
        On which UDP port; 0 for any.

    Attributes
    ----------
    port : int
        The real one, once it has been started.
    """

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._wanted = port
        self._key = secrets.token_bytes(32)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._tried = 0.0

    def start(self) -> None:
        """Start it; without it, hosts measure our clock by calls.

        Raises
        ------
        DaemonError
            If it cannot listen.
        """
        self._tried = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable, "-m", "rigmesh.clocks.responder",
                "--address", self._address, "--port", str(self.port or self._wanted),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise DaemonError("the clock responder has no pipes")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(self._key.hex().encode("ascii") + b"\n")
            process.stdin.flush()
        ready = select.select([process.stdout], [], [], _START_WITHIN)[0]
        line = process.stdout.readline() if ready else b""
        if not line:
            self.close()
            raise DaemonError(
                f"the clock responder on {self._address}:{self._wanted} did not start"
            )
        self.port = int(json.loads(line)["port"])

    def key(self) -> tuple[bytes, int]:
        """Return the key and the port; port 0 if nothing answers there."""
        process = self._process
        if process is None or process.poll() is not None:
            if time.monotonic() - self._tried < _PAUSE:
                return self._key, 0
            try:
                self.close()
                self.start()
            except DaemonError as error:
                _log.warning("%s", error)
                return self._key, 0
        return self._key, self.port

    def close(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

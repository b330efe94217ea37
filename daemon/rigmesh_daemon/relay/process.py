"""The relay process, as the daemon starts, watches and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rigmesh.errors import DaemonError
from rigmesh.transports import process_token

__all__ = ["RelayProcess"]

_log = logging.getLogger(__name__)

_START_WITHIN = 30.0
_END_WITHIN = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_STEADY_AFTER = 60.0


class RelayProcess:
    """Keeps a relay process running until `stop`.

    Parameters
    ----------
    socket : Path
        The daemon's, from which the relay learns where rings lie.
    listen : str
        Address and TCP port of the relay; for tests also ``unix:`` and a path.
    tls_dir : Path or None
        Certificates and tokens; not for a Unix socket.
    host : str
        Name of this machine.
    clock_port : int or None
        UDP port of the clock responder; None: the number of the TCP port.
    on_output : callable
        Called with each line it prints to its standard error.
    on_exit : callable
        Called with the token of each process that ended, to remove its doorbells.
    """

    def __init__(
        self,
        socket: Path,
        listen: str,
        tls_dir: Path | None,
        *,
        host: str,
        clock_port: int | None = None,
        on_output: Callable[[str], None] = lambda line: None,
        on_exit: Callable[[str], None] = lambda token: None,
    ) -> None:
        self._arguments = ["--socket", str(socket), "--listen", listen, "--host", host]
        if tls_dir is not None:
            self._arguments += ["--tls-dir", str(tls_dir)]
        if clock_port is not None:
            self._arguments += ["--clock-port", str(clock_port)]
        self._on_output = on_output
        self._on_exit = on_exit
        self._process: asyncio.subprocess.Process | None = None
        self._token = ""
        self._watch: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE
        self.port = 0
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Of the present process; 0 if there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def start(self) -> None:
        """Start it, and start it again whenever it ends by itself.

        Raises
        ------
        DaemonError
            If it does not come up: its port is taken, say.
        """
        await self._spawn()
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._end()

    # --- inside ------------------------------------------------------------------------------

    async def _spawn(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rigmesh_daemon.relay",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Its own process group: Ctrl-C in a terminal is not for it.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._process = process
        with contextlib.suppress(FileNotFoundError):  # it ended at once
            self._token = process_token(process.pid)
        said: list[str] = []
        listener = asyncio.create_task(self._listen(process, said))
        line = b""
        if process.stdout is not None:
            with contextlib.suppress(TimeoutError):
                line = await asyncio.wait_for(process.stdout.readline(), _START_WITHIN)
        if not line:
            await self._end()
            await listener
            why = said[-1] if said else "it says nothing"
            raise DaemonError(f"the relay did not start: {why}")
        self.port = int(json.loads(line)["port"])

    async def _listen(self, process: asyncio.subprocess.Process, said: list[str]) -> None:
        if process.stderr is None:
            return
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than the buffer; what follows is readable again
                continue
            if not line:
                return
            said[:] = [line.decode(errors="replace").rstrip()]
            self._on_output(said[0])

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            if self._process is not None:
                code = await self._process.wait()
                self._ended()
                _log.error("the relay ended with code %d; it is started again", code)
            if loop.time() - begin > _STEADY_AFTER:
                self._pause = _FIRST_PAUSE
            while True:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                try:
                    await self._spawn()
                except (DaemonError, OSError) as error:
                    _log.error("%s", error)
                else:
                    self.restarts += 1
                    break

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_WITHIN)
        except TimeoutError:
            _log.warning("the relay does not end; it is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        self._ended()

    def _ended(self) -> None:
        self._process = None
        token, self._token = self._token, ""
        if token:
            self._on_exit(token)

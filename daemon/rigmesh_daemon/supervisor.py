"""The processes of groups: started, watched, spoken to, restarted and ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from rigmesh.errors import DaemonError, WaitTimeout
from rigmesh.graph import GroupSpec
from rigmesh.graph.wire import group_to_wire
from rigmesh.rpc import error_of
from rigmesh.streams import local_clock
from rigmesh.transports import sweep, unlink
from rigmesh_daemon.config import DaemonConfig
from rigmesh_daemon.group.framing import LENGTH, frame
from rigmesh_daemon.group.page import PageReader, page_name
from rigmesh_proto.v1 import group_pb2

__all__ = ["Backoff", "GroupProcess"]

_log = logging.getLogger(__name__)

_START_WITHIN = 30.0
_TERMINATE_AFTER = 15.0
_KILL_AFTER = 5.0


class Backoff:
    """Says when to restart something that fails: soon, later, and at last not any more."""

    def __init__(self, *, most: int = 5, within: float = 60.0, longest: float = 30.0) -> None:
        self._most = most
        self._within = within
        self._longest = longest
        self._failures: deque[float] = deque()

    def delay(self, now: float) -> float | None:
        """Return how long to wait after a failure at `now`, in seconds; None to give up."""
        while self._failures and now - self._failures[0] > self._within:
            self._failures.popleft()
        self._failures.append(now)
        n = len(self._failures)
        if n > self._most:
            return None
        return 0.0 if n == 1 else min(self._longest, 0.5 * 2.0 ** (n - 1))


class GroupProcess:
    """One process that runs nodes, as the daemon sees it.

    Parameters
    ----------
    name : str
        Its name: that of its group, and of the companion.
    group : GroupSpec
        The group it belongs to.
    config : DaemonConfig
        The daemon's.
    session : str
        The daemon's token.
    on_event : callable
        Called with this and each event but replies.
    on_exit : coroutine function
        Called with this once it is gone, asked to or not.
    socket : Path
        Of a process that somebody else started; None to start one.
    """

    def __init__(
        self,
        name: str,
        group: GroupSpec,
        config: DaemonConfig,
        session: str,
        *,
        on_event: Callable[[GroupProcess, group_pb2.GroupEvent], None],
        on_exit: Callable[[GroupProcess], Awaitable[None]],
        on_output: Callable[[str, str], None],
        socket: Path | None = None,
    ) -> None:
        self.name = name
        self.group = group
        self.restarts = 0
        self.backoff = Backoff()
        self.pid = 0
        self.types: list[str] = []
        self.is_ending = False
        self.is_alive = False
        self._token = ""
        self._config = config
        self._session = session
        self._on_event = on_event
        self._on_exit = on_exit
        self._on_output = on_output
        self._foreign = socket is not None
        self._socket = socket or config.run_dir / f"{name}.group"
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._page: PageReader | None = None
        self._usage: psutil.Process | None = None
        self._hello: asyncio.Future[group_pb2.Hello] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether a client started it."""
        return self._foreign

    async def start(self) -> None:
        """Start it (or connect to it) and configure it.

        Raises
        ------
        DaemonError, WaitTimeout
            If it does not come up.
        """
        self.is_ending = False
        if not self._foreign:
            await self._spawn()
        self._hello = asyncio.get_running_loop().create_future()
        reader, self._writer = await self._connect()
        self._keep(self._read(reader))
        hello = await asyncio.wait_for(self._hello, _START_WITHIN)
        self.pid, self._token, self.types = hello.pid, hello.token, list(hello.types_json)
        self.is_alive = True
        self._usage = psutil.Process(self.pid)
        await self.request(
            configure=group_pb2.Configure(
                session=self._session,
                grace=0.0 if self._config.private else self._config.grace,
                shm_share=self._config.shm_share,
                shm_mode=self._config.shm_mode,
                shm_gid=self._config.shm_gid,
                recording_root=self._config.recording_root,
                group=group_to_wire(self.group),
                is_companion=self.name != self.group.name,
            )
        )
        self._page = PageReader(self._session, self.name)

    async def request(self, *, timeout: float | None = 30.0, **what: Any) -> Any:
        """Ask for something and wait for the answer.

        Raises
        ------
        RigmeshError
            What the process answered, by its class.
        WaitTimeout
            If it does not answer.
        DaemonError
            If it is gone.
        """
        writer = self._writer
        if writer is None or writer.is_closing():
            raise DaemonError(f"the process of group {self.name!r} is not running")
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        request = group_pb2.GroupRequest(id=number, **what)
        try:
            writer.write(frame(request.SerializeToString()))
            await writer.drain()
            return await asyncio.wait_for(future, timeout)
        except TimeoutError as error:
            asked = request.WhichOneof("what")
            raise WaitTimeout(
                f"group {self.name!r} did not answer {asked} within {timeout} s"
            ) from error
        except ConnectionError as error:
            raise DaemonError(f"the process of group {self.name!r} is gone") from error
        finally:
            self._waiting.pop(number, None)

    def counters(self) -> group_pb2.GroupPage | None:
        """Return its counters, without asking it; None if there are none."""
        return self._page.read() if self._page is not None else None

    @property
    def heartbeat_age(self) -> float:
        """Seconds since it last wrote its counters."""
        page = self.counters()
        return local_clock() - page.heartbeat if page is not None and page.heartbeat else 0.0

    def usage(self) -> tuple[float, int]:
        """Return its CPU use since the last call, in % of a core, and its memory in bytes."""
        if self._usage is not None:
            with contextlib.suppress(psutil.Error):
                return self._usage.cpu_percent(), self._usage.memory_info().rss
        return 0.0, 0

    async def stop(self) -> None:
        """End it: ask, then insist, then kill."""
        self.is_ending = True
        if not self.is_alive:
            return
        with contextlib.suppress(DaemonError, WaitTimeout):
            await self.request(shutdown=group_pb2.Shutdown(), timeout=2.0)
        process = self._process
        if process is None:
            self._close()
            return
        for signal_it, patience in (
            (None, _TERMINATE_AFTER),
            (process.terminate, _KILL_AFTER),
            (process.kill, _KILL_AFTER),
        ):
            if signal_it is not None:
                _log.warning("group %s does not end; %s", self.name, signal_it.__name__)
                with contextlib.suppress(ProcessLookupError):
                    signal_it()
            try:
                await asyncio.wait_for(process.wait(), patience)
                break
            except TimeoutError:
                continue
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close()

    # --- inside ------------------------------------------------------------------------------

    async def _spawn(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rigmesh_daemon.group",
            self.name,
            str(self._socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Its own process group: Ctrl-C in a terminal is not for it.
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._keep(self._collect_output(self._process))
        self._keep(self._watch(self._process))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = time.monotonic() + _START_WITHIN
        while True:
            try:
                return await asyncio.open_unix_connection(str(self._socket))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if self._process is not None and self._process.returncode is not None:
                    raise DaemonError(
                        f"the process of group {self.name!r} ended at once, with code "
                        f"{self._process.returncode}; see its log"
                    ) from error
                if time.monotonic() > deadline:
                    raise WaitTimeout(
                        f"the process of group {self.name!r} did not come up within "
                        f"{_START_WITHIN:.0f} s"
                    ) from error
                await asyncio.sleep(0.01)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                event = group_pb2.GroupEvent.FromString(await reader.readexactly(length))
                self._handle(event)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        if self._foreign:
            await self._gone()

    def _handle(self, event: group_pb2.GroupEvent) -> None:
        kind = event.WhichOneof("what")
        if kind == "reply":
            future = self._waiting.get(event.reply.id)
            if future is None or future.done():
                return
            if event.reply.HasField("failure"):
                future.set_exception(error_of(event.reply.failure))
            elif event.reply.HasField("latencies"):
                future.set_result(event.reply.latencies)
            else:
                text = event.reply.result_json
                future.set_result(json.loads(text) if text else None)
        elif kind == "hello":
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(event.hello)
        else:
            self._on_event(self, event)

    async def _collect_output(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line longer than the buffer; what follows is readable again
                continue
            if not line:
                return
            self._on_output(self.name, line.decode(errors="replace").rstrip())

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        await self._gone()

    async def _gone(self) -> None:
        was_alive, self.is_alive = self.is_alive, False
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    DaemonError(f"the process of group {self.name!r} died ({self.exit_text})")
                )
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(
                DaemonError(f"the process of group {self.name!r} died ({self.exit_text})")
            )
        self._close()
        sweep(owner=self._token)
        unlink(page_name(self._session, self.name))
        self._socket.unlink(missing_ok=True)
        if was_alive:
            await self._on_exit(self)

    @property
    def exit_text(self) -> str:
        """How it ended."""
        code = self._process.returncode if self._process is not None else None
        if code is None:
            return "connection lost"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._page is not None:
            self._page.close()
            self._page = None

    def _keep(self, coroutine: Any) -> None:
        # The loop keeps only weak references to tasks.
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""The processes of groups: started or adopted, watched, spoken to, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from rigmesh.errors import DaemonError, RigmeshError, WaitTimeout
from rigmesh.graph import GroupSpec
from rigmesh.graph.wire import group_to_wire
from rigmesh.rpc import error_of
from rigmesh.streams import local_clock
from rigmesh.transports import process_token, unlink
from rigmesh_daemon.backoff import Backoff
from rigmesh_daemon.config import DaemonConfig
from rigmesh_daemon.group.framing import LENGTH, frame
from rigmesh_daemon.group.page import PageReader, page_name
from rigmesh_daemon.processes import Adopted, Printed, check_socket, remove_bells, spawn
from rigmesh_proto.v1 import group_pb2

__all__ = ["Backoff", "GroupProcess"]

_log = logging.getLogger(__name__)

_START_WITHIN = 30.0
_ANSWER_WITHIN = 10.0
"""A process that runs already and says nothing for so long hangs, in seconds."""
_TERMINATE_AFTER = 15.0
_KILL_AFTER = 5.0


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
    on_output : callable
        Called with the name and each line it prints.
    on_spawn : callable
        Called once there is a process to be remembered.
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
        on_spawn: Callable[[], None] = lambda: None,
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
        self.is_mending = False
        self.token = ""
        self._config = config
        self._session = session
        self._on_event = on_event
        self._on_exit = on_exit
        self._on_spawn = on_spawn
        self._foreign = socket is not None
        self.socket = socket or config.run_dir / f"{name}.group"
        self._printed = Printed(
            config.run_dir / f"{name}.out", lambda line: on_output(self.name, line)
        )
        self._process: asyncio.subprocess.Process | Adopted | None = None
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
            check_socket(self.socket)
            await self._spawn()
        await self._meet(await self._connect(), _START_WITHIN)
        await self._configure()

    async def adopt(self, token: str) -> bool:
        """Take over the process that a daemon before this one had started, as it runs.

        Returns
        -------
        bool
            Whether it is ours now. If not, it is gone, or about to be: see :meth:`bury`.
        """
        self.token, self.pid = token, int(token.partition(".")[0])
        try:
            if not self._foreign:
                self._process = Adopted(token)
            streams = await asyncio.open_unix_connection(str(self.socket))
            await self._meet(streams, _ANSWER_WITHIN)
            if self.token != token:
                raise DaemonError(f"{self.socket} is that of another process than it was")
            await self._configure()
            if isinstance(self._process, Adopted):
                self._printed.listen()
                self._follow(self._process)
        except TimeoutError:
            _log.error("group %s does not answer; it is killed", self.name)
            self.kill()
        except (OSError, RigmeshError) as error:
            _log.info("group %s: %s", self.name, error)
        else:
            return True
        self.is_alive = False
        self._close()
        return False

    def kill(self) -> None:
        """End it, as if it had died."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def bury(self, token: str = "") -> None:
        """Wait for the end of one that was not adopted, killed if given its token; tidy up."""
        if token:
            with contextlib.suppress(ProcessLookupError):
                self._process = Adopted(token)
                self._process.kill()
        if self._process is not None:
            await self._process.wait()
        self._clean_up()

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
        self.socket.unlink(missing_ok=True)
        output = self._printed.make()
        try:
            self._process = await spawn(self.name, self.socket, output)
        finally:
            os.close(output)
        self.pid = self._process.pid
        with contextlib.suppress(FileNotFoundError):  # it ended at once; `_connect` will say so
            self.token = process_token(self.pid)
        self._on_spawn()
        self._follow(self._process)

    def _follow(self, process: asyncio.subprocess.Process | Adopted) -> None:
        self._keep(self._printed.follow())
        self._keep(self._watch(process))

    async def _meet(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], within: float
    ) -> None:
        self._hello = asyncio.get_running_loop().create_future()
        reader, self._writer = streams
        self._keep(self._read(reader))
        hello = await asyncio.wait_for(self._hello, within)
        self.pid, self.token, self.types = hello.pid, hello.token, list(hello.types_json)
        self.is_alive = True
        self._usage = psutil.Process(self.pid)

    async def _configure(self) -> None:
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

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = time.monotonic() + _START_WITHIN
        while True:
            try:
                return await asyncio.open_unix_connection(str(self.socket))
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
        elif self._hello is not None and not self._hello.done():
            self._hello.set_exception(DaemonError("the process has hung up"))

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
            elif event.reply.HasField("description"):
                future.set_result(event.reply.description)
            else:
                text = event.reply.result_json
                future.set_result(json.loads(text) if text else None)
        elif kind == "hello":
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(event.hello)
        else:
            self._on_event(self, event)

    async def _watch(self, process: asyncio.subprocess.Process | Adopted) -> None:
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
        self._clean_up()
        if was_alive:
            await self._on_exit(self)

    def _clean_up(self) -> None:
        remove_bells(self._session, self.token)
        unlink(page_name(self._session, self.name))
        self.socket.unlink(missing_ok=True)
        self._printed.remove()

    @property
    def exit_text(self) -> str:
        """How it ended."""
        code = self._process.returncode if self._process is not None else None
        if code is None and not self._foreign:
            return "it was another daemon's child, so that nobody knows how"
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

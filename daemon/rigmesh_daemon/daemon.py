"""The daemon of a machine, from its arguments to its end."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from rigmesh.errors import DaemonError, RigmeshError
from rigmesh.transports import check_platform
from rigmesh.transports.lslconfig import lsl_config
from rigmesh_daemon.config import DaemonConfig, load_config
from rigmesh_daemon.notify import keep_watchdog_quiet, notify
from rigmesh_daemon.processes import remove_bells
from rigmesh_daemon.relay.process import RelayProcess
from rigmesh_daemon.security.commands import add_commands
from rigmesh_daemon.security.listen import Listen
from rigmesh_daemon.service import DaemonService

__all__ = ["run_daemon"]

_log = logging.getLogger("rigmeshd")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rigmeshd", description="The daemon of a machine.")
    parser.add_argument("--version", action="version", version=version("rigmesh"))
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings, as TOML")
    parser.add_argument(
        "--system", action="store_true", default=None, help="serve the group rigmesh from /run"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the sockets")
    parser.add_argument(
        "--recording-root", metavar="DIR", help="folder that recordings stay inside of"
    )
    parser.add_argument(
        "--grace", type=float, metavar="S", help="how long groups go on without the daemon"
    )
    parser.add_argument(
        "--private",
        action="store_true",
        default=None,
        help="serve the process at the other end of standard input, and end with it",
    )
    parser.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="serve other machines, such as 0.0.0.0:5678"
    )
    parser.add_argument("--tls-dir", type=Path, metavar="DIR", help="certificates and tokens")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    add_commands(parser)
    return parser


def run_daemon() -> None:
    """Run until SIGTERM, SIGINT, or (private) until the client is gone; or obey a command."""
    arguments = vars(_parser().parse_args())
    command = arguments.pop("command", None)
    if command is not None:
        try:
            command(arguments)
        except RigmeshError as error:
            sys.exit(f"rigmeshd: {error}")
        return
    verbose, file = arguments.pop("verbose"), arguments.pop("config")
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        check_platform()
        config = load_config(file, **arguments)
        config.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_one(config.run_dir), _kept_ports(config) as config:
            _make_session_dir(config)
            _configure_lsl(config)
            asyncio.run(_run(config))
    except RigmeshError as error:
        sys.exit(f"rigmeshd: {error}")


@contextlib.contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    """Hold the run directory; the kernel gives it back however this process ends."""
    with (run_dir / "rigmeshd.lock").open("a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DaemonError(
                f"a daemon runs in {run_dir} already; use it, or give another --run-dir"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def _kept_ports(config: DaemonConfig) -> Iterator[DaemonConfig]:
    if not config.listen:
        yield config
        return
    with Listen.parse(config.listen).kept() as listen:
        yield config.model_copy(update={"listen": str(listen)})


def _make_session_dir(config: DaemonConfig) -> None:
    """Make the folder for session groups; those of a system daemon come from its group."""
    config.session_dir.mkdir(exist_ok=True)
    config.session_dir.chmod(0o770 if config.system else 0o700)


def _configure_lsl(config: DaemonConfig) -> None:
    """Hand the session id and the known peers to the processes that use LSL."""
    if not (config.lsl_session or config.lsl_peers):
        return
    path = config.run_dir / "lsl_api.cfg"
    text = lsl_config(config.lsl_session, config.lsl_peers)
    path.write_text(text, encoding="utf-8")
    os.environ["LSLAPICFG"] = str(path)


async def _run(config: DaemonConfig) -> None:
    # gRPC prints a line for each handshake that fails, so whoever reaches the port could fill a
    # disk. It looks at this when it is imported, and takes the processes that follow with it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from rigmesh_daemon.rpc.server import serve

    service = DaemonService(config)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.private:
        loop.add_reader(sys.stdin.fileno(), _on_input, stop)
    await service.open()
    server = await serve(service, config.socket, mode=0o660 if config.system else 0o600)
    relay = _relay(config, service, server.address)
    if relay is not None:
        try:
            await relay.start()
        except RigmeshError:
            await service.close()
            await server.stop(0.0)
            raise
    watchdog = asyncio.create_task(keep_watchdog_quiet())
    notify(f"READY=1\nSTATUS=serving on {config.socket}")
    _log.info("serving on %s", config.socket)
    if server.address is not None:
        _log.info("serving other machines on %s", server.address)
    try:
        await stop.wait()
    finally:
        notify("STOPPING=1")
        # What is sent elsewhere ends before the relay does, so that all of it arrives.
        await service.close()
        if relay is not None:
            await relay.stop()
        await server.stop(1.0)
        watchdog.cancel()
        config.socket.unlink(missing_ok=True)
        if config.private:  # the client that would remove it may have been killed
            shutil.rmtree(config.run_dir, ignore_errors=True)


def _relay(
    config: DaemonConfig, service: DaemonService, address: Listen | None
) -> RelayProcess | None:
    """Return the process that hands streams to other machines, if there is to be one."""
    if address is None:
        return None
    return RelayProcess(
        config.socket,
        str(Listen(address.host, address.port + 1)),
        config.tls_dir,
        host=config.host,
        on_output=lambda line: service.logs.add_output("relay", line),
        on_exit=lambda token: remove_bells(service.session, token),
    )


def _on_input(stop: asyncio.Event) -> None:
    """End when the client closes our standard input: it ended, in whatever way."""
    if not os.read(0, 1024):
        asyncio.get_running_loop().remove_reader(0)
        stop.set()

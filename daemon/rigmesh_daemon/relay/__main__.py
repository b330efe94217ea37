"""``python -m rigmesh_daemon.relay``: the relay process of a daemon.

It ends when its standard input is closed: the daemon that started it ended, in whatever way.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from rigmesh.errors import DaemonError, RigmeshError
from rigmesh.relay.memory import keep_memory
from rigmesh_daemon.relay.consumer import Limits
from rigmesh_daemon.relay.lease import DaemonLink
from rigmesh_daemon.relay.responder import ClockResponder
from rigmesh_daemon.relay.server import serve_socket, serve_tls
from rigmesh_daemon.relay.service import Relay
from rigmesh_daemon.security.listen import Listen

__all__ = ["main"]

_log = logging.getLogger("rigmesh_daemon.relay")

_UNIX = "unix:"
_MIB = 2**20
_SWITCH_INTERVAL = 0.0005
"""A thread that was woken gets its turn after so long, in seconds; Python's own 5 ms show."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rigmesh_daemon.relay", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="of the daemon")
    parser.add_argument(
        "--listen", required=True, help="address and TCP port, or unix: and a path for tests"
    )
    parser.add_argument("--tls-dir", type=Path, help="certificates and tokens")
    parser.add_argument("--host", default=socket.gethostname(), help="name of this machine")
    parser.add_argument(
        "--clock-port", type=int, help="UDP port of the clock responder; the TCP port by default"
    )
    defaults = Limits()
    parser.add_argument(
        "--spool-seconds", type=float, default=defaults.seconds, help="longest that may be asked"
    )
    parser.add_argument("--spool-mib", type=int, default=defaults.n_bytes // _MIB)
    parser.add_argument(
        "--total-mib", type=int, default=defaults.total_bytes // _MIB, help="of all spools"
    )
    parser.add_argument("--max-connections", type=int, default=64)
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser


def main() -> None:
    """Serve until the standard input is closed."""
    options = _parser().parse_args()
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us
    sys.setswitchinterval(_SWITCH_INTERVAL)
    keep_memory()
    try:
        _run(options)
    except RigmeshError as error:
        sys.exit(f"rigmesh relay: {error}")


def _run(options: argparse.Namespace) -> None:
    is_local = options.listen.startswith(_UNIX)
    if not is_local and options.tls_dir is None:
        raise DaemonError("the relay listens on TCP with certificates only: give --tls-dir")
    over = threading.Event()
    threading.Thread(target=_watch_input, args=(over,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    limits = Limits(options.spool_seconds, options.spool_mib * _MIB, options.total_mib * _MIB)
    link = DaemonLink(options.socket)
    responder = None if is_local else _responder(options)
    key = responder.key if responder is not None else (lambda: (b"", 0))
    relay = Relay(link, key, limits=limits, host=options.host)
    try:
        if is_local:
            server = serve_socket(relay, Path(options.listen.removeprefix(_UNIX)))
            port = 0
        else:
            server, port = serve_tls(
                relay, options.listen, options.tls_dir, host=options.host,
                max_connections=options.max_connections,
            )  # fmt: skip
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()
        over.wait()
        relay.stop()
        server.stop(0.2).wait()
    finally:
        if responder is not None:
            responder.close()
        relay.close()
        link.close()


def _responder(options: argparse.Namespace) -> ClockResponder:
    listen = Listen.parse(options.listen)
    port = listen.port if options.clock_port is None else options.clock_port
    responder = ClockResponder(listen.host, port)
    try:
        responder.start()
    except DaemonError as error:
        _log.warning("%s; hosts measure this clock less exactly, by calls", error)
    return responder


def _watch_input(over: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    over.set()


if __name__ == "__main__":
    main()

"""The relay's gRPC server: on TCP with TLS and tokens, or on a Unix socket."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from rigmesh.errors import DaemonError
from rigmesh.rpc import SERVER_OPTIONS
from rigmesh_daemon.relay.service import Relay, handler
from rigmesh_daemon.security.blocking import BlockingGuard
from rigmesh_daemon.security.gate import Gate
from rigmesh_daemon.security.listen import Listen
from rigmesh_daemon.security.rules import check_rules
from rigmesh_daemon.security.tls import remote_options, server_credentials
from rigmesh_daemon.security.tokens import TokenFile

__all__ = ["serve_socket", "serve_tls"]

_STREAMS = 128
"""Calls at a time; each has a thread."""


def serve_tls(
    relay: Relay, listen: str, tls_dir: Path, *, host: str, max_connections: int = 64
) -> tuple[grpc.Server, int]:
    """Serve other hosts; return the server and its port.

    Raises
    ------
    DaemonError
        If the port cannot be had, there are no certificates, or an RPC has no rule.
    """
    check_rules()
    wanted = Listen.parse(listen)
    credentials = server_credentials(tls_dir)
    tokens = TokenFile(tls_dir / "tokens.json")
    guard = BlockingGuard(Gate(host, tokens, per_token=_STREAMS))
    server = _server(relay, remote_options(max_connections), [guard])
    try:
        port = server.add_secure_port(str(wanted), credentials)
        server.start()
    except RuntimeError as error:
        raise DaemonError(
            f"the relay cannot listen on {wanted}: another program does, or it is no address of "
            "this machine"
        ) from error
    return server, port


def serve_socket(relay: Relay, socket: Path) -> grpc.Server:
    """Serve whoever may use a file: its owner.

    Raises
    ------
    DaemonError
        If the socket cannot be had.
    """
    server = _server(relay, SERVER_OPTIONS, [])
    socket.unlink(missing_ok=True)
    # gRPC makes the socket with the umask's permissions; closed ones from the first moment.
    old = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{socket}")
        server.start()
    except RuntimeError as error:
        raise DaemonError(f"the relay cannot listen on {socket}: {error}") from error
    finally:
        os.umask(old)
    return server


def _server(
    relay: Relay, options: list[tuple[str, int]], guards: list[grpc.ServerInterceptor]
) -> grpc.Server:
    threads = ThreadPoolExecutor(_STREAMS + 8, thread_name_prefix="relay")
    server = grpc.server(
        threads, interceptors=guards, options=options, maximum_concurrent_rpcs=_STREAMS
    )
    server.add_generic_rpc_handlers((handler(relay),))
    return server

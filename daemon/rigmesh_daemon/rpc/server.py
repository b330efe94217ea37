"""The gRPC servers: one on a Unix socket, and one for other machines if that is wished."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rigmesh.errors import DaemonError
from rigmesh.rpc import SERVER_OPTIONS
from rigmesh_daemon.rpc.auth import Guard
from rigmesh_daemon.rpc.control import Control
from rigmesh_daemon.security.audit import Audit
from rigmesh_daemon.security.gate import Gate
from rigmesh_daemon.security.listen import Listen
from rigmesh_daemon.security.rules import check_rules
from rigmesh_daemon.security.tls import remote_options, server_credentials
from rigmesh_daemon.security.tokens import TokenFile
from rigmesh_daemon.service import DaemonService
from rigmesh_proto.v1 import control_pb2
from rigmesh_proto.v1.control_pb2_grpc import add_ControlServiceServicer_to_server

__all__ = ["Servers", "serve"]

_LOCAL_RPCS = 256


class Servers:
    """What answers clients.

    The servers are two, so that nothing that happens on the network takes connections or calls
    from somebody who sits at the machine.

    Parameters
    ----------
    local : grpc.aio.Server
        On the Unix socket.
    remote : grpc.aio.Server, optional
        On TCP.
    address : Listen, optional
        Where that is; its port is the real one also if any was asked for.
    """

    def __init__(
        self,
        local: grpc.aio.Server,
        remote: grpc.aio.Server | None = None,
        address: Listen | None = None,
    ) -> None:
        self.local = local
        self.remote = remote
        self.address = address

    async def stop(self, grace: float) -> None:
        """Let running calls end for so many seconds, and stop."""
        servers = [s for s in (self.local, self.remote) if s is not None]
        await asyncio.gather(*(server.stop(grace) for server in servers))


async def serve(service: DaemonService, socket: Path, *, mode: int) -> Servers:
    """Serve on a Unix socket with these permissions and no others, and where the settings say.

    Raises
    ------
    DaemonError
        If the socket or the port cannot be had, there are no certificates, or an RPC has no rule.
    """
    check_rules()
    config = service.config
    audit = Audit(config.audit_log) if config.audit_log else None
    # First, so that a daemon that shall listen and cannot does not serve at all.
    remote, address = await _serve_remote(service, audit) if config.listen else (None, None)
    try:
        local = await _serve_local(service, socket, mode, audit)
    except BaseException:
        if remote is not None:
            await remote.stop(0)
        raise
    return Servers(local, remote, address)


async def _serve_local(
    service: DaemonService, socket: Path, mode: int, audit: Audit | None
) -> grpc.aio.Server:
    gate = Gate(service.config.host, None, audit, socket=socket)
    server = grpc.aio.server(
        interceptors=[Guard(gate)], options=SERVER_OPTIONS, maximum_concurrent_rpcs=_LOCAL_RPCS
    )
    checks = _add_services(server, service)
    socket.unlink(missing_ok=True)
    # gRPC makes the socket with the umask's permissions; closed ones from the first moment.
    old = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
    except RuntimeError as error:
        raise DaemonError(f"cannot listen on {socket}: {error}") from error
    finally:
        os.umask(old)
    socket.chmod(mode)
    await _set_serving(checks)
    return server


async def _serve_remote(
    service: DaemonService, audit: Audit | None
) -> tuple[grpc.aio.Server, Listen]:
    config = service.config
    wanted = Listen.parse(config.listen)
    credentials = server_credentials(config.tls_dir)
    tokens = TokenFile(config.tls_dir / "tokens.json")
    tokens.all()  # tells now that there are none, or that they are damaged
    server = grpc.aio.server(
        interceptors=[Guard(Gate(config.host, tokens, audit))],
        options=remote_options(config.max_connections),
        maximum_concurrent_rpcs=config.max_rpcs,
    )
    checks = _add_services(server, service)
    try:
        port = server.add_secure_port(str(wanted), credentials)
        await server.start()
    except RuntimeError as error:
        raise DaemonError(
            f"cannot listen on {wanted}: another program does, or it is no address of this machine"
        ) from error
    await _set_serving(checks)
    return server, Listen(wanted.host, port)


def _add_services(server: grpc.aio.Server, service: DaemonService) -> health.aio.HealthServicer:
    add_ControlServiceServicer_to_server(Control(service), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        (_control(), health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    return checks


async def _set_serving(checks: health.aio.HealthServicer) -> None:
    for served in ("", _control()):
        await checks.set(served, health_pb2.HealthCheckResponse.SERVING)


def _control() -> str:
    return str(control_pb2.DESCRIPTOR.services_by_name["ControlService"].full_name)

"""The gRPC server: on a Unix socket, with health and reflection."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rigmesh.errors import DaemonError
from rigmesh.rpc import SERVER_OPTIONS
from rigmesh_daemon.rpc.control import Control
from rigmesh_daemon.service import DaemonService
from rigmesh_proto.v1 import control_pb2
from rigmesh_proto.v1.control_pb2_grpc import add_ControlServiceServicer_to_server

__all__ = ["serve"]


async def serve(service: DaemonService, socket: Path, *, mode: int) -> grpc.aio.Server:
    """Serve on a Unix socket with these permissions and no others.

    Raises
    ------
    DaemonError
        If the socket cannot be had.
    """
    server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=256)
    add_ControlServiceServicer_to_server(Control(service), server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    name = control_pb2.DESCRIPTOR.services_by_name["ControlService"].full_name
    reflection.enable_server_reflection(
        (name, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
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
    for served in ("", name):
        await checks.set(served, health_pb2.HealthCheckResponse.SERVING)
    return server

"""What every TCP port of rigmesh is opened with: TLS and caps."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from rigmesh.errors import DaemonError
from rigmesh.rpc import SERVER_OPTIONS

__all__ = ["remote_options", "server_credentials"]

_log = logging.getLogger(__name__)

_WARN_DAYS = 30
_HANDSHAKE_MS = 5_000
_IDLE_MS = 60_000
_STREAMS = 64


def server_credentials(tls_dir: Path) -> grpc.ServerCredentials:
    """Return TLS with the certificate of this host; gRPC accepts TLS 1.2 and 1.3 only.

    Raises
    ------
    DaemonError
        If there is none, or others can read its key.
    """
    # Here, since a daemon without a network does without the megabytes of a cryptography library.
    from rigmesh_daemon.security.pki import Pki

    pki = Pki(tls_dir)
    key, chain = pki.load_host()
    left = pki.days_left()
    if left <= 0:
        raise DaemonError(f"the certificate {pki.host} has expired; rigmeshd init --renew")
    if left < _WARN_DAYS:
        _log.warning("the certificate %s ends in %.0f days: rigmeshd init --renew", pki.host, left)
    return grpc.ssl_server_credentials([(key, chain)])


def remote_options(max_connections: int) -> list[tuple[str, int]]:
    """Return the options of a server that other machines reach."""
    caps = {
        # Beyond it a connection is closed as soon as it is accepted.
        "grpc.max_allowed_incoming_connections": max_connections,
        # TLS and the first HTTP/2 frame; 120 s by default.
        "grpc.server_handshake_timeout_ms": _HANDSHAKE_MS,
        # A connection without a call gives its place back; a client notices nothing of it.
        "grpc.max_connection_idle_ms": _IDLE_MS,
        "grpc.max_concurrent_streams": _STREAMS,
        # A peer that is gone without a word is noticed within 10 s.
        "grpc.keepalive_time_ms": 5_000,
        "grpc.keepalive_timeout_ms": 5_000,
        "grpc.http2.ping_timeout_ms": 5_000,
        "grpc.keepalive_permit_without_calls": 1,
        # Clients ask whether we are there every 2 s; by default that would be too often.
        "grpc.http2.min_ping_interval_without_data_ms": 500,
        "grpc.http2.max_ping_strikes": 5,
    }
    return [*((k, v) for k, v in SERVER_OPTIONS if k not in caps), *caps.items()]

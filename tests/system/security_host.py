"""A daemon that listens on 127.0.0.1, with certificates and tokens of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import grpc
import psutil

from rigmesh.credentials import Credentials
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import TokenFile

__all__ = ["SecuredHost", "code_of", "outcome", "rigmeshd"]

_WITHIN = 60.0


def rigmeshd(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the daemon to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rigmesh_daemon", *arguments],
        capture_output=True,
        text=True,
        timeout=_WITHIN,
        check=False,
        env={**os.environ, **environment},
    )


class SecuredHost:
    """Starts it, and ends it.

    Parameters
    ----------
    folder : Path
        For its files.
    port : int
        0 for a free one.
    **settings
        Of the daemon.
    """

    def __init__(self, folder: Path, *, port: int = 0, **settings: int) -> None:
        self.folder = folder
        self.run_dir = folder / "r"
        self.tls = folder / "tls"
        self.audit_log = folder / "audit.jsonl"
        self.log = folder / "rigmeshd.log"
        self.config = folder / "rigmeshd.toml"
        self._settings = settings
        self._wanted = port
        if not self.tls.exists():
            made = rigmeshd("init", "--tls-dir", self.tls)
            assert made.returncode == 0, made.stderr
        self.ca = (self.tls / "ca.pem").read_bytes()
        self.tokens = TokenFile(self.tls / "tokens.json")
        self.start()

    def start(self) -> None:
        """Start the daemon, and wait until it serves."""
        settings: dict[str, Any] = {
            "listen": f"127.0.0.1:{self._wanted}",
            "run_dir": str(self.run_dir),
            "tls_dir": str(self.tls),
            "audit_log": str(self.audit_log),
            "host": "rig-1",
            **self._settings,
        }
        lines = (f"{k} = {v!r}" for k, v in settings.items())
        self.config.write_text("\n".join(lines), encoding="utf-8")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rigmesh_daemon", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _WITHIN
        while not (match := re.search(r"other machines on .+:(\d+)", self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)
        self.port = int(match[1])
        self._wanted = self.port
        self.address = f"127.0.0.1:{self.port}"
        self.socket = self.run_dir / "rigmeshd.sock"

    @property
    def said(self) -> str:
        """What it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def usage(self) -> psutil.Process:
        """Its process."""
        return psutil.Process(self.process.pid)

    def token(self, role: Role, *, expires: float | None = None) -> str:
        """Make a token."""
        return self.tokens.add(role, expires=expires)[1]

    def credentials(self, role: Role) -> Credentials:
        """Make a token, and what a client needs to use it."""
        return Credentials(self.address, self.ca, self.token(role))

    def channel(self, ca: bytes | None = None, name: str = "") -> grpc.Channel:
        """Open a channel without a token."""
        options = [("grpc.ssl_target_name_override", name)] if name else []
        # Or a channel to the same address would be the same connection.
        options.append(("grpc.use_local_subchannel_pool", 1))  # type: ignore[arg-type]
        credentials = grpc.ssl_channel_credentials(ca or self.ca)
        return grpc.secure_channel(self.address, credentials, options=options)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(_WITHIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def outcome(
    channel: grpc.Channel, method: str, request: bytes = b"", *, token: str = "", within: float = 10
) -> tuple[grpc.StatusCode, str]:
    """Call a method of any kind with one message, and return how it ended.

    A stream that just goes on ends with DEADLINE_EXCEEDED.
    """
    credentials = grpc.access_token_call_credentials(token) if token else None
    begin: Any = channel.stream_stream(method)
    call = begin(iter([request]), timeout=within, credentials=credentials, wait_for_ready=False)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code(), call.details() or ""


def code_of(*arguments: Any, **options: Any) -> str:
    """Return the name of the code of `outcome`."""
    return outcome(*arguments, **options)[0].name

"""Settings of a daemon: a TOML file, then the command line."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rigmesh.errors import GraphError

__all__ = [
    "SYSTEM_FILE",
    "SYSTEM_SOCKET",
    "DaemonConfig",
    "load_config",
    "user_config_dir",
    "user_run_dir",
]

_ANYWHERE = ("0.0.0.0", "[::]")

SYSTEM_RUN_DIR = Path("/run/rigmesh")
SYSTEM_SOCKET = SYSTEM_RUN_DIR / "rigmeshd.sock"
SYSTEM_FILE = Path("/etc/rigmesh/rigmeshd.toml")
_SYSTEM_TLS = Path("/etc/rigmesh/tls")
_SYSTEM_AUDIT = Path("/var/log/rigmesh/audit.jsonl")


def user_run_dir() -> Path:
    """Return where a daemon started by hand keeps its sockets."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "rigmesh" if runtime else Path(f"/tmp/rigmesh-{os.getuid()}")


def user_config_dir() -> Path:
    """Return where a daemon started by hand keeps what lasts."""
    configured = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configured) if configured else Path.home() / ".config") / "rigmesh"


def _user_audit_log() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "rigmesh/audit.jsonl"


class DaemonConfig(BaseModel):
    """Everything that can be set."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(default_factory=socket.gethostname, description="Name of this machine.")
    run_dir: Path = Field(default_factory=user_run_dir, description="Folder of the sockets.")
    system: bool = Field(default=False, description="Serve all users of the group rigmesh.")
    private: bool = Field(
        default=False, description="Serve the process that started this one; end with it."
    )
    grace: float = Field(
        default=30.0,
        ge=0,
        description="How long groups go on without their daemon, in seconds.",
    )
    recording_root: str = Field(
        default="", description="Folder that recordings stay inside of; empty for anywhere."
    )
    shm_share: float = Field(
        default=0.5, gt=0, le=1, description="Part of what is free in /dev/shm one stream may take."
    )
    listen: str = Field(
        default="",
        description="Address and port for other machines, such as 0.0.0.0:5678; empty for none.",
    )
    address: str = Field(
        default="",
        description="Name or address and port by which other machines reach it; empty for that of "
        "`listen`, or the name of the machine if it listens on all addresses.",
    )
    tls_dir: Path = Field(
        default_factory=lambda: user_config_dir() / "tls",
        description="Folder of certificates and tokens.",
    )
    audit_log: Path | None = Field(
        default=None,
        description="File that says who changed what; by default one, if others can.",
    )
    max_connections: int = Field(
        default=200, ge=1, le=10_000, description="Connections from other machines at a time."
    )
    max_rpcs: int = Field(
        default=128, ge=1, le=10_000, description="Calls from other machines at a time."
    )
    lsl_session: str = Field(default="", description="LSL session id; empty for LSL's default.")
    lsl_peers: list[str] = Field(
        default_factory=list, description="Hosts asked directly for LSL streams."
    )

    @property
    def socket(self) -> Path:
        """Where clients connect."""
        return self.run_dir / "rigmeshd.sock"

    @property
    def reached_at(self) -> str:
        """Where other machines reach it; empty: nowhere."""
        if self.address or not self.listen:
            return self.address
        host, _, port = self.listen.rpartition(":")
        return f"{self.host}:{port}" if host in _ANYWHERE else self.listen

    @property
    def shm_mode(self) -> int:
        """Permissions of shared memory."""
        return 0o660 if self.system else 0o600

    @property
    def shm_gid(self) -> int:
        """Group of shared memory; -1 is that of whoever makes it."""
        return os.getegid() if self.system else -1

    @property
    def session_dir(self) -> Path:
        """Where clients put the sockets of their session groups."""
        return self.run_dir / "sessions"


def load_config(path: Path | None, **overrides: object) -> DaemonConfig:
    """Read the settings; what is None in `overrides` is not overridden.

    Raises
    ------
    GraphError
        Naming the file and each mistake in it.
    """
    values: dict[str, object] = {}
    if path is None and overrides.get("system") and SYSTEM_FILE.exists():
        path = SYSTEM_FILE
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise GraphError(f"cannot read the settings {path}: {error}") from error
    values.update({key: value for key, value in overrides.items() if value is not None})
    if values.get("system"):
        values.setdefault("run_dir", SYSTEM_RUN_DIR)
        values.setdefault("tls_dir", _SYSTEM_TLS)
        values.setdefault("audit_log", _SYSTEM_AUDIT)
    elif values.get("listen"):
        values.setdefault("audit_log", _user_audit_log())
    try:
        return DaemonConfig(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors()]
        raise GraphError(f"{path or 'settings'}: " + "; ".join(lines)) from error

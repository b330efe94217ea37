"""The page as a process of its own, and a visitor without a browser."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from rigmesh_daemon.security.tokens import TokenFile

__all__ = ["Served", "Visitor", "tokens_in"]

_WITHIN = 60.0
_RIGMESH = Path(sys.executable).with_name("rigmesh")


class Served:
    """``rigmesh web``, until the end of a ``with`` block.

    Parameters
    ----------
    folder : Path
        The home of who runs it.
    *arguments : str or Path
        Of the command.
    socket : Path, optional
        The daemon to show.
    tokens : TokenFile, optional
        Those of the host, if it has some; see `tokens_in`.
    command : sequence of str
        What serves it, instead.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str | Path,
        socket: Path | None = None,
        tokens: TokenFile | None = None,
        command: Sequence[str] = (str(_RIGMESH), "web"),
    ) -> None:
        self.folder = folder
        self.tokens = tokens
        self.log = folder / "web.log"
        env = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "200",
        }
        if socket is not None:
            env["RIGMESH_SOCKET"] = str(socket)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--listen", "127.0.0.1:0", *arguments],
                stdout=subprocess.PIPE, stderr=log, env=env, text=True,
            )  # fmt: skip
        try:
            self.link = self._said()
        except BaseException:
            self.close()
            raise
        self.base, _, token = self.link.partition("#token=")
        self.base = self.base.removesuffix("/")
        self.token = token

    @property
    def audit(self) -> str:
        """The audit log."""
        path = self.folder / "state/rigmesh/audit.jsonl"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def visitor(self, token: str | None = None) -> Visitor:
        """Come with a token, by default that of the link."""
        visitor = Visitor(self.base)
        answer = visitor.log_in(self.token if token is None else token)
        assert answer.status_code == 204, answer.text
        return visitor

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(_WITHIN)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _said(self) -> str:
        assert self.process.stdout is not None
        deadline = time.monotonic() + _WITHIN
        ready, _, _ = select.select([self.process.stdout], [], [], deadline - time.monotonic())
        said = self.process.stdout.readline().strip() if ready else ""
        assert said.startswith("http"), (said, self.log.read_text(errors="replace"))
        return said


def tokens_in(folder: Path) -> TokenFile:
    """Make the tokens of a host, as those of who has this home; none at first."""
    tls = folder / "config/rigmesh/tls"
    tls.mkdir(parents=True, mode=0o700)
    tokens = TokenFile(tls / "tokens.json")
    tokens.clear()
    return tokens


class Visitor:
    """Asks as a browser does: with cookies, an Origin, and the page's own header.

    Parameters
    ----------
    base : str
        Where the page is.
    verify : str or bool
        As for httpx.
    """

    def __init__(self, base: str, *, verify: Any = True) -> None:
        self.base = base
        self.client = httpx.Client(base_url=base, verify=verify, trust_env=False, timeout=_WITHIN)

    def log_in(self, token: str) -> httpx.Response:
        """Show a token."""
        answer = self.client.post("/api/login", json={"token": token}, headers=self.origin)
        if answer.status_code == 204:
            csrf = self.get("/api/session").json()["csrf"]
            self.client.headers["X-Rigmesh-Csrf"] = csrf
        return answer

    @property
    def origin(self) -> dict[str, str]:
        """What a browser sends with what changes something."""
        return {"Origin": self.base}

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Look."""
        return self.client.get(path, headers=headers)

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Change."""
        return self.client.post(path, json=body or {}, headers={**self.origin, **headers})

    def close(self) -> None:
        """Go."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

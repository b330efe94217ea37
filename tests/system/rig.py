"""A rig of several machines: each with a daemon that listens, and logins between them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.machines import Machine, Network

__all__ = ["RigHost", "rig_of"]

_BIN = Path(sys.executable).parent
_WITHIN = 60.0


class RigHost:
    """A machine with rigmesh on it.

    Parameters
    ----------
    machine : Machine
        Where.
    folder : Path
        What is its disk: home, settings, run directory.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.name = machine.name
        self.address = machine.address
        self.folder = folder
        folder.mkdir()
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        self.env = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        self.daemon: subprocess.Popen[Any] | None = None
        self._fingerprint = self._token = ""

    @property
    def log(self) -> Path:
        """What the daemon said."""
        return self.folder / "rigmeshd.log"

    def call(self, *words: str | Path, given: str = "", check: bool = True) -> str:
        """Run a command on the machine; return what it printed."""
        command = [str(_BIN / words[0]), *map(str, words[1:])]
        process = self.machine.run(
            command, env=self.env, cwd=self.folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = process.communicate(given, timeout=_WITHIN)
        assert not check or process.returncode == 0, f"{words}: {said}"
        return str(said)

    def init(self) -> None:
        """Make certificates and tokens."""
        said = self.call("rigmeshd", "init", "--address", self.address)
        self._fingerprint = _found(r"--ca (\S+)", said)
        self._token = _found(r"operator\s+(\S+)", said)

    def start(self) -> None:
        """Start the daemon, and wait until it serves other machines."""
        settings = self.folder / "rigmeshd.toml"
        settings.write_text(f'listen = "{self.address}:5678"\n', encoding="utf-8")
        with self.log.open("ab") as log:
            begin = self.log.stat().st_size
            command = [str(_BIN / "rigmeshd"), "--config", str(settings)]
            self.daemon = self.machine.run(
                command, env=self.env, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _WITHIN
        while "other machines on" not in (said := self.log.read_text(errors="replace")[begin:]):
            assert self.daemon.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    def stop(self) -> None:
        """End the daemon in good order."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(_WITHIN)
            self.daemon = None

    def login_to(self, other: RigHost, *, by_name: bool = False) -> None:
        """Get into another machine, as its operator."""
        address = other.name if by_name else other.address
        self.call("rigmesh", "login", address, "--ca", other._fingerprint, given=other._token)

    def script(self, text: str, *arguments: str) -> subprocess.Popen[Any]:
        """Start a Python script on the machine."""
        path = self.folder / "script.py"
        path.write_text(text, encoding="utf-8")
        return self.machine.run(
            [sys.executable, str(path), *arguments], env=self.env, cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@contextmanager
def rig_of(folder: Path, clocks: dict[str, int], *, desk: str = "desk") -> Iterator[dict[str, Any]]:
    """Give machines with daemons, and a desk that is logged in to all of them.

    Parameters
    ----------
    folder : Path
        For their disks.
    clocks : dict of str to int
        Names, and how far the clock of each is ahead, in seconds.
    desk : str
        Name of the machine to drive them from; it has no daemon.
    """
    with Network() as network:
        hosts = {
            name: RigHost(network.machine(name, monotonic=ahead), folder / name)
            for name, ahead in {**clocks, desk: 0}.items()
        }
        daemons = [host for host in hosts.values() if host.name != desk]
        names = folder / "hosts"
        lines = [f"{host.address} {host.name}" for host in hosts.values()]
        names.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]), encoding="ascii")
        for host in hosts.values():
            host.machine.holder.call(f"mount --bind {names} /etc/hosts")
        for host in daemons:
            host.init()
            host.start()
        for host in daemons:
            hosts[desk].login_to(host)
        try:
            yield hosts
        finally:
            for host in daemons:
                host.stop()


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]

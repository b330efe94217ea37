"""A rig of several machines: each with a daemon that listens, and logins between them."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import psutil
from tests.system.machines import Machine, Network

from rigmesh.credentials import Credentials, store_credentials

__all__ = ["Console", "RigHost", "daemons_of", "machines_of", "rig_of"]

_BIN = Path(sys.executable).parent
_WITHIN = 60.0
_NOBODY = "02:00:00:00:ff:ff"
_CONSOLE = """
import ast, json, sys, traceback

names = {"__name__": "console"}
for line in sys.stdin:
    try:
        tree = ast.parse(json.loads(line))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "console", "exec"), names)
        value = None
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "console", "eval"), names)
        answer = json.dumps({"value": value}, default=str)
    except Exception:
        answer = json.dumps({"error": traceback.format_exc()})
    print(answer, flush=True)
"""


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
        self._n_said = 0

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

    # --- its daemon --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon, and wait until it serves other machines."""
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start the daemon, and do not wait for it."""
        settings = self.folder / "rigmeshd.toml"
        settings.write_text(f'listen = "{self.address}:5678"\n', encoding="utf-8")
        with self.log.open("ab") as log:
            self._n_said = self.log.stat().st_size
            command = [str(_BIN / "rigmeshd"), "--config", str(settings)]
            self.daemon = self.machine.run(
                command, env=self.env, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until the daemon serves other machines."""
        deadline = time.monotonic() + _WITHIN
        while "other machines on" not in (said := self.said):
            assert self.daemon is not None
            assert self.daemon.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)

    @property
    def said(self) -> str:
        """What the daemon has said since it was started."""
        return self.log.read_text(errors="replace")[self._n_said :]

    @property
    def relay(self) -> psutil.Process:
        """The process that hands its streams to other machines."""
        assert self.daemon is not None
        children = psutil.Process(self.daemon.pid).children()
        return next(child for child in children if "rigmesh_daemon.relay" in child.cmdline())

    def kill(self) -> None:
        """Kill the daemon, and nothing else."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait(_WITHIN)
        self.daemon = None

    def stop(self) -> None:
        """End the daemon in good order."""
        self.tell_to_stop()
        if self.daemon is not None:
            self.daemon.wait(_WITHIN)
            self.daemon = None

    def tell_to_stop(self) -> None:
        """Let the daemon end, and do not wait for it."""
        if self.daemon is not None:
            self.daemon.terminate()

    # --- its link ----------------------------------------------------------------------------

    def part_from(self, other: RigHost) -> None:
        """Lose all between two machines, silently; others reach both of them."""
        for one, another in ((self, other), (other, self)):
            wrong = f"{another.address} lladdr {_NOBODY} dev eth0 nud permanent"
            one.machine.holder.call(f"ip neigh replace {wrong}")

    def meet(self, other: RigHost) -> None:
        """Undo `part_from`."""
        for one, another in ((self, other), (other, self)):
            one.machine.holder.call(f"ip neigh del {another.address} dev eth0")

    # --- its users ---------------------------------------------------------------------------

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

    def trust(self, other: RigHost) -> None:
        """Be logged in to another machine, whether or not its daemon runs."""
        ca = (other.folder / "config/rigmesh/tls/ca.pem").read_bytes()
        with patch.dict(os.environ, self.env):
            store_credentials(Credentials(other.address, ca, other._token))

    def console(self) -> Console:
        """Start a Python that is told what to do line by line."""
        return Console(self)


class Console:
    """A Python process on a machine, which does what it is given and tells what comes of it."""

    def __init__(self, host: RigHost) -> None:
        with (host.folder / "console.log").open("ab") as log:
            self.process = host.machine.run(
                [sys.executable, "-c", _CONSOLE], env=host.env, cwd=host.folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._read = b""

    def do(self, code: str, *, within: float = 2 * _WITHIN) -> Any:
        """Execute statements; return the value of the last one, if it is an expression."""
        self.tell(code)
        return self.answer(within=within)

    def tell(self, code: str) -> None:
        """Let it execute statements, and go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(code).encode("ascii") + b"\n")
        self.process.stdin.flush()

    def answer(self, *, within: float = 2 * _WITHIN) -> Any:
        """Return what came of what it was told."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + within
        while b"\n" not in self._read:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, left))
            assert ready, f"no answer within {within} s"
            said = os.read(self.process.stdout.fileno(), 2**16)
            assert said, "the console has ended"
            self._read += said
        line, _, self._read = self._read.partition(b"\n")
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def kill(self) -> None:
        """Kill it, with all that it was about to do."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(_WITHIN)
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def machines_of(
    folder: Path, clocks: dict[str, int], *, desk: str = "desk"
) -> Iterator[dict[str, RigHost]]:
    """Give machines whose daemons could be started, and one without a daemon.

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
        names = folder / "hosts"
        lines = [f"{host.address} {host.name}" for host in hosts.values()]
        names.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]), encoding="ascii")
        for host in hosts.values():
            host.machine.holder.call(f"mount --bind {names} /etc/hosts")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: hosts[name].init(), clocks))
        yield hosts


@contextmanager
def daemons_of(hosts: Iterable[RigHost]) -> Iterator[None]:
    """Run the daemons of machines."""
    hosts = list(hosts)
    try:
        for host in hosts:
            host.begin()
        for host in hosts:
            host.wait()
        yield
    finally:
        for host in hosts:
            host.tell_to_stop()
        for host in hosts:
            host.stop()


@contextmanager
def rig_of(folder: Path, clocks: dict[str, int], *, desk: str = "desk") -> Iterator[dict[str, Any]]:
    """Give machines with daemons, and a desk that is logged in to all of them.

    Parameters
    ----------
    folder, clocks, desk
        As for `machines_of`.
    """
    with (
        machines_of(folder, clocks, desk=desk) as hosts,
        daemons_of(hosts[name] for name in clocks),
    ):
        for name in clocks:
            hosts[desk].trust(hosts[name])
        yield hosts


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]

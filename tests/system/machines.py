"""Several machines on one: namespaces with an address, a clock and /dev/shm of their own.

::

    with Network() as network:
        a = network.machine("a")
        b = network.machine("b", monotonic=1000)            # its CLOCK_MONOTONIC is 1000 s ahead
        server = b.run([sys.executable, "-m", "…", b.address], stdout=PIPE)
        client = a.run([sys.executable, "-m", "…", b.address])
        b.cut()                                             # the cable is out
        b.heal()
        b.reboot(monotonic=-500)                            # all is killed; another clock

A machine is what a process (``cat``) holds that ends with this one, so nothing has a name of the
system's, nothing of its network is seen, and nothing stays behind even after ``kill -9``. Processes
keep their pids: what `run` returns can be signalled. There is no way out of the network.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

__all__ = ["Machine", "Network", "why_not"]

_WITHIN = 10.0
"""Seconds in which a namespace is there, or a killed process is gone."""
_HOLD = "echo $$; exec cat"
_BOOT = (
    "mount -t tmpfs -o size=512m,mode=1777 tmpfs /dev/shm && "
    'hostname "$0" && ip link set lo up && echo $$; exec cat'
)
_NEW = ("--net", "--uts", "--ipc", "--mount", "--time")


class Refused(OSError):
    """This system makes no such namespaces, or not for this user."""


class _Holder:
    """A process that keeps namespaces, and the way into them."""

    def __init__(self, command: Sequence[str], enter: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate(timeout=_WITHIN)
            raise Refused(f"{' '.join(command)}: {errors.strip()}")
        # The shell's pid: `unshare` has forked, and stays in the namespaces that it came from.
        self.pid = int(line)
        self.prefix = ["nsenter", f"--target={self.pid}", *enter]
        self._namespace = _network_of(self.pid)

    def call(self, command: str) -> None:
        """Run a short command in the namespaces."""
        ended = subprocess.run(
            [*self.prefix, "--", *command.split()], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise Refused(f"{command}: {ended.stderr.strip()}")

    def processes(self) -> list[psutil.Process]:
        """All that run in the network namespace, but the holder itself."""
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if process.pid != self.pid and _network_of(process.pid) == self._namespace:
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill all that runs in the namespaces, whoever started it."""
        deadline = time.monotonic() + _WITHIN
        while running := [one for one in self.processes() if not _is_zombie(one)]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not killed within {_WITHIN} s: {running}")
            for process in running:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.005)  # not psutil's wait: it would take the exit code from `Popen`

    def close(self) -> None:
        """Let go of the namespaces."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # first, so that `unshare` collects it
        self._process.communicate(timeout=_WITHIN)


def _network_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


class Network:
    """A switch that machines hang on, in a namespace of its own.

    Without root it is in a user namespace, where the system allows that.

    Raises
    ------
    Refused
        If the system makes no such namespaces; `why_not` tells beforehand.
    """

    def __init__(self) -> None:
        is_root = os.geteuid() == 0
        user = [] if is_root else ["--user", "--map-root-user"]
        self.enter = [] if is_root else ["--user", "--preserve-credentials"]
        self.machines: list[Machine] = []
        self._n_made = 0
        hold = ["unshare", *user, "--net", "--fork", "--kill-child", "sh", "-c", _HOLD]
        self.holder = _Holder(hold, [*self.enter, "--net"])
        try:
            self.holder.call("ip link add switch type bridge mcast_snooping 0 forward_delay 0")
            self.holder.call("ip link set switch up")
        except BaseException:
            self.close()
            raise

    def machine(self, name: str, *, monotonic: int = 0) -> Machine:
        """Add a machine; it is gone at the latest when the network is.

        Parameters
        ----------
        name : str
            Its host name.
        monotonic : int
            Seconds by which its CLOCK_MONOTONIC is ahead of this one's.
        """
        self._n_made += 1
        made = Machine(self, name, self._n_made, monotonic)
        self.machines.append(made)
        return made

    def close(self) -> None:
        """Remove the machines and the switch."""
        for machine in self.machines:
            machine.close()
        self.holder.kill()
        self.holder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Machine:
    """A host: made by `Network.machine`."""

    def __init__(self, network: Network, name: str, number: int, monotonic: int) -> None:
        self.name = name
        self.address = f"10.77.0.{number}"
        self.monotonic = monotonic
        self._network = network
        self._port = f"port{number}"
        # It keeps its card when it is rebooted; with another one its neighbours would go on sending
        # to the old one for a minute.
        self._card = f"02:00:00:00:00:{number:02x}"
        self._processes: list[subprocess.Popen[Any]] = []
        self._holder: _Holder | None = None
        self._boot()

    @property
    def is_up(self) -> bool:
        """Whether it has been booted and not closed."""
        return self._holder is not None

    @property
    def holder(self) -> _Holder:
        """The process that keeps its namespaces."""
        if self._holder is None:
            raise Refused(f"machine {self.name} is closed")
        return self._holder

    @property
    def shm(self) -> Path:
        """Its /dev/shm, as seen from here."""
        return Path(f"/proc/{self.holder.pid}/root/dev/shm")

    @property
    def prefix(self) -> list[str]:
        """What is put before a command so that it runs on the machine, in the folder ``/``."""
        return [*self.holder.prefix, "--"]

    def run(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a program on the machine.

        It is killed with the machine at the latest, and its pipes are closed then.

        Parameters
        ----------
        command : list of str
            The program and its arguments.
        env : dict
            Variables of the environment, besides those of this process.
        cwd : Path
            Folder to start in; None for that of this process.
        **options
            As for `subprocess.Popen`.

        Returns
        -------
        subprocess.Popen
            With the pid of the program itself.
        """
        if env is not None:
            options["env"] = {**os.environ, **env}
        # Who enters another mount namespace is in its root.
        there = ["env", f"--chdir={cwd or Path.cwd()}"]
        process = subprocess.Popen([*self.prefix, *there, *command], **options)
        self._processes.append(process)
        return process

    def cut(self) -> None:
        """Take the cable out: nothing comes or goes, and no connection is closed."""
        self._network.holder.call(f"ip link set {self._port} down")

    def heal(self) -> None:
        """Put the cable back in."""
        self._network.holder.call(f"ip link set {self._port} up")

    def limit(self, megabits: int | None) -> None:
        """Limit what the machine receives, in Mbit/s; None for no limit."""
        device = f"dev {self._port} root"
        with suppress(Refused):  # there was no limit
            self._network.holder.call(f"tc qdisc del {device}")
        if megabits is not None:
            self._network.holder.call(
                f"tc qdisc add {device} tbf rate {megabits}mbit burst 64kb latency 50ms"
            )

    def kill(self) -> None:
        """Kill all that runs on the machine; it stays up."""
        self.holder.kill()
        for process in self._processes:
            process.wait(_WITHIN)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(BrokenPipeError):  # what was buffered for it
                        pipe.close()
        self._processes.clear()

    def reboot(self, *, monotonic: int | None = None) -> None:
        """Kill all, and start with an empty /dev/shm, the same address and another clock.

        Parameters
        ----------
        monotonic : int
            As for `Network.machine`; None for the same as before.
        """
        self.close()
        if monotonic is not None:
            self.monotonic = monotonic
        self._boot()

    def close(self) -> None:
        """Kill all that runs on the machine, and remove it."""
        if self._holder is None:
            return
        self.kill()
        self._holder.close()
        self._holder = None
        with suppress(Refused):  # with its namespace it may be gone already
            self._network.holder.call(f"ip link del {self._port}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _boot(self) -> None:
        enter = self._network.enter
        # Only the monotonic clock: /proc/PID/stat tells start times in CLOCK_BOOTTIME, and a shift
        # of that would give a process another start inside the machine than outside.
        new = ["unshare", *_NEW, f"--monotonic={self.monotonic}", "--fork", "--kill-child"]
        switch = self._network.holder
        ahead = ["nsenter", f"--target={switch.pid}", *enter, "--"] if enter else []
        self._holder = _Holder([*ahead, *new, "sh", "-c", _BOOT, self.name], [*enter, *_NEW])
        try:
            pid = self._holder.pid
            peer = f"name eth0 address {self._card} netns {pid}"
            switch.call(f"ip link add {self._port} type veth peer {peer}")
            switch.call(f"ip link set {self._port} master switch up")
            self._holder.call(f"ip address add {self.address}/24 dev eth0")
            self._holder.call("ip link set eth0 up")
            # Without it multicast, by which LSL finds its streams, has nowhere to go.
            self._holder.call("ip route add 224.0.0.0/4 dev eth0")
        except BaseException:
            self.close()
            raise


@functools.cache
def why_not() -> str:
    """Say why there can be no machines here; empty if there can."""
    try:
        with Network() as network:
            network.machine("a", monotonic=1)
    except OSError as error:  # `FileNotFoundError`: no unshare, nsenter or ip
        return f"this system makes no machines of namespaces: {error}"
    return ""

"""The unit file under a real systemd, booted in a container of this machine's own root."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Until = Callable[..., None]

pytestmark = pytest.mark.timeout(300)

UNITS = Path(__file__).parents[2] / "systemd"


def run(*command: str | Path, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


class Box:
    """A booted systemd; commands run inside it."""

    def __init__(self, pid: int) -> None:
        self._enter = ("nsenter", "-t", str(pid), "-a")

    def __call__(self, *command: str, check: bool = True) -> str:
        return run(*self._enter, *command, check=check)

    def show(self, prop: str, unit: str = "rigmeshd") -> str:
        return self("systemctl", "show", unit, "-p", prop, "--value")


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and systemd-nspawn (apt-get install systemd-container)")
    folder = tmp_path_factory.mktemp("box")
    base = folder / "b"
    base.mkdir()
    with contextlib.ExitStack() as stack:
        run("mount", "-t", "tmpfs", "-o", "size=1g", "rigmesh-box", base)
        stack.callback(run, "umount", base)
        for part in ("u", "w", "root"):
            (base / part).mkdir()
        root = base / "root"
        layers = f"lowerdir=/,upperdir={base}/u,workdir={base}/w"
        run("mount", "-t", "overlay", "overlay", "-o", layers, root)
        stack.callback(run, "umount", root)
        _furnish(root)
        checkout = UNITS.parent
        binds = {str(Path(sys.prefix).resolve()), str(checkout), sys.base_prefix}
        log = stack.enter_context((folder / "boot.log").open("wb"))
        process = subprocess.Popen(
            [
                "systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", root, "--boot",
                "--private-network", "--console=pipe", "--link-journal=no",
                *(f"--bind-ro={path}" for path in sorted(binds)),
                "systemd.unit=multi-user.target",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )  # fmt: skip
        stack.callback(process.wait, 60)
        stack.callback(process.terminate)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        found: list[Box] = []

        def is_up() -> bool:
            assert process.poll() is None, (folder / "boot.log").read_text()
            # Looked up again and again: the first child only prepares the one that boots.
            found[:] = [Box(int(pid)) for pid in children.read_text().split()]
            states = [one("systemctl", "is-system-running", check=False) for one in found]
            return states in (["running"], ["degraded"])

        deadline = time.monotonic() + 120
        while not is_up():
            assert time.monotonic() < deadline, (folder / "boot.log").read_text()
            time.sleep(0.1)
        (made,) = found
        yield made
        made("systemctl", "poweroff", "--no-block", check=False)
        process.wait(60)


@pytest.fixture
def box(booted: Box) -> Iterator[Box]:
    """The machine, as it is after an installation."""
    yield booted
    units = ("rigmesh-web", "rigmeshd")
    booted("systemctl", "stop", *units, check=False)
    booted("systemctl", "reset-failed", *units, check=False)  # counts of starts, too
    booted("sh", "-c", "rm -rf /var/lib/rigmesh/* /etc/rigmesh")


def _furnish(root: Path) -> None:
    """Make the overlay a machine with rigmesh installed, as systemd/README.md says."""
    (root / "etc/machine-id").write_text("")
    wants = root / "etc/systemd/system"
    for target in ("multi-user", "timers", "sysinit", "network-online"):
        for link in wants.glob(f"{target}.target.wants/*"):
            link.unlink()
    run("chroot", root, "useradd", "--system", "--user-group", "rigmesh")
    for name in ("rigmeshd.service", "rigmesh-web.service"):
        unit = (UNITS / name).read_text(encoding="utf-8")
        assert "\nExecStart=/opt/rigmesh/bin/" in unit
        unit = unit.replace("/opt/rigmesh/bin", sysconfig.get_path("scripts"))
        # The environment of a test lies where the hardened unit does not look.
        unit = unit.replace("ProtectHome=yes", "ProtectHome=no")
        unit = unit.replace("PrivateTmp=yes", "PrivateTmp=no")
        (wants / name).write_text(unit, encoding="utf-8")
    for folder in (Path(sys.prefix).resolve(), UNITS.parent, Path(sys.base_prefix)):
        # A system user must be able to walk to the interpreter.
        for part in [*reversed(folder.parents), folder]:
            inside = root / part.relative_to("/")
            inside.mkdir(exist_ok=True)
            inside.chmod(inside.stat().st_mode | 0o055)


SCRIPT = """
from rigmesh.client import Manager
from rigmesh.node import Input, Node, Output
from rigmesh.streams import Signal


class Doubler(Node):
    '''Doubles.'''

    signal = Input(Signal)
    doubled = Output(Signal)

    def prepare(self):
        self.doubled.announce(self.signal.info)

    def process(self, chunk):
        return chunk.with_data(2 * chunk.data)


if __name__ == "__main__":
    with Manager() as manager:
        assert not manager.is_private
        source = manager.create_node(
            "sim.Oscillators", n_channels=1, dtype="float64", sample_number=True
        )
        doubler = manager.create_node(Doubler)
        doubler.input.connect(source.output)
        manager.start_all()
        with doubler.output.open(start="oldest") as stream:
            print(stream.read(timeout=20).data[:3, 0].tolist())
"""


def test_members_of_the_group_read_streams_and_run_classes_of_their_own(
    box: Box, until: Until
) -> None:
    box("useradd", "--create-home", "--groups", "rigmesh", "alice")
    box("useradd", "--create-home", "bob")
    box("sh", "-c", f"cat > /opt/script.py <<'EOF'\n{SCRIPT}\nEOF")
    python = str(Path(sys.prefix) / "bin/python")
    box("systemctl", "start", "rigmeshd")

    said = box("runuser", "-u", "alice", "--", python, "/opt/script.py")
    refused = box("runuser", "-u", "bob", "--", "sh", "-c", f"{python} /opt/script.py 2>&1; true")

    first, second, third = json.loads(said)
    assert second - first == third - second == 2
    assert "DaemonUnavailable: the system daemon's socket" in refused
    assert "usermod -aG rigmesh" in refused
    box("systemctl", "stop", "rigmeshd")
    assert not box("find", "/dev/shm", "-name", "*rigmesh*")


def test_the_service_starts_restarts_and_stops(box: Box, until: Until) -> None:
    box("systemctl", "start", "rigmeshd")  # returns once READY=1 was said

    assert box.show("ActiveState") == "active"
    assert box("stat", "-c", "%a %U %G", "/run/rigmesh/rigmeshd.sock") == "660 rigmesh rigmesh"
    assert "serving on" in box.show("StatusText")

    first = box.show("MainPID")
    box("kill", "-9", first)
    until(lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active")
    assert box.show("MainPID") != first

    box("systemctl", "stop", "rigmeshd")
    assert box.show("Result") == "success"
    assert not box("find", "/dev/shm", "-name", "*rigmesh*")


# --- a crash --------------------------------------------------------------------------------

START_AND_LEAVE = """
import os
from rigmesh.client import Manager

manager = Manager()
source = manager.create_node(
    "sim.Oscillators", name="source", n_channels=1, dtype="float64", sample_number=True
)
recorder = manager.create_node("record.HDF5Recorder", path="/var/lib/rigmesh/file.h5")
recorder.input.connect(source.output)
manager.start_all()
os._exit(0)  # what it made stays
"""

LOOK = """
import json
from rigmesh.client import Manager

status = Manager().status()
print(json.dumps([status.state, status.run_id, sorted(p.pid for p in status.processes)]))
"""

CHECK = """
from rigmesh.recording import open_recording, read_info

print(read_info("/var/lib/rigmesh/file.h5").verdict)
with open_recording("/var/lib/rigmesh/file.h5") as recording:
    numbers = recording.streams["source.signal"].data[:][:, 0]
print((numbers == range(len(numbers))).all(), len(numbers) > 0)
"""


def test_a_crash_of_the_service_ends_no_group_and_a_stop_ends_all(box: Box, until: Until) -> None:
    python = str(Path(sys.prefix) / "bin/python")
    box("systemctl", "start", "rigmeshd")
    box(python, "-c", START_AND_LEAVE)
    before = json.loads(box(python, "-c", LOOK))
    assert before[0] == "running"

    box("kill", "-9", box.show("MainPID"))
    until(lambda: box.show("NRestarts") == "1" and box.show("ActiveState") == "active")

    assert json.loads(box(python, "-c", LOOK)) == before
    box("systemctl", "stop", "rigmeshd")
    assert box.show("Result") == "success"
    assert box(python, "-c", CHECK).split() == ["OK", "True", "True"]
    assert not box("find", "/dev/shm", "-name", "*rigmesh*")
    assert not box("pgrep", "-f", "rigmesh_daemon.group", check=False)


# --- the pages ------------------------------------------------------------------------------

VISIT = """
import json, sys, time
import httpx
from websockets.sync.client import connect

base, token = "http://127.0.0.1:8765", sys.argv[1]
with httpx.Client(base_url=base, headers={"Origin": base}, trust_env=False) as client:
    found = {"unknown": client.get("/api/rigs").status_code}
    found["login"] = client.post("/api/login", json={"token": token}).status_code
    found["hosts"] = [host["state"] for host in client.get("/api/rigs").json()["hosts"]]
    found["recordings"] = client.get("/api/recordings").text
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
with connect("ws://127.0.0.1:8765/api/live", origin=base,
             additional_headers={"Cookie": cookies}) as wire:
    wire.send(json.dumps({"streams": ["source.signal"], "seconds": 1, "width": 500}))
    said = b""
    while b'"live"' not in said:
        said = wire.recv(timeout=30)
        wire.send(json.dumps({"drawn": 0}))
    found["live"] = True
print(json.dumps(found))
"""


def test_the_pages_have_a_unit_of_their_own(box: Box, until: Until) -> None:
    python = str(Path(sys.prefix) / "bin/python")
    made = box(str(Path(sys.prefix) / "bin/rigmeshd"), "init", "--system")
    token = re.search(r"viewer\s+(\S+)", made)
    assert token is not None, made
    box("systemctl", "start", "rigmeshd")
    box(python, "-c", START_AND_LEAVE)
    before = json.loads(box(python, "-c", LOOK))
    box("systemctl", "start", "rigmesh-web")

    found = json.loads(box(python, "-c", VISIT, token[1]))
    box("kill", "-9", box.show("MainPID", "rigmesh-web"))
    until(lambda: box.show("NRestarts", "rigmesh-web") == "1")
    until(lambda: box.show("ActiveState", "rigmesh-web") == "active")
    box("systemctl", "stop", "rigmesh-web")

    assert box.show("Result", "rigmesh-web") == "success"
    assert json.loads(box(python, "-c", LOOK)) == before
    (listed,) = json.loads(found.pop("recordings"))["recordings"]
    assert listed["name"] == "file.h5"
    assert found == {"unknown": 401, "login": 204, "hosts": ["running"], "live": True}

"""A crash of the service under a real systemd: its groups live on, and a stop ends all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.system.test_systemd import Box, Until, box

__all__ = ["box"]

pytestmark = pytest.mark.timeout(300)

START = """
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
    box(python, "-c", START)
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

"""Recorders on a disk that really gets full: a small one in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """
import json, sys
from pathlib import Path
from rigmesh.errors import NodeError
from rigmesh.recording import read_info
from tests.unit.nodes.recorder_rig import RecorderRig

folder, stop_before = Path(sys.argv[1]), float(sys.argv[2])
rig = RecorderRig(folder, stop_before=stop_before, warn_before=0).start()
n = 0
for _ in range(60):  # of 0.8 MB
    rig.feed(n, n + 50_000)
    n += 50_000
    rig.after(0.3)
phase, problem = rig.node.phase, ""
try:
    rig.finish()
except NodeError as error:
    problem = str(error)
info = read_info(folder / "session.h5")
stream = info.streams[0]
print(json.dumps({
    "phase": phase, "problem": problem, "state": info.state, "verdict": info.verdict,
    "recorded": stream.n_samples, "missing": stream.missing, "fed": n,
}))
"""


def _record_on_a_small_disk(folder: Path, megabytes: int, stop_before: float) -> dict[str, Any]:
    mount = f'mount -t tmpfs -o size={megabytes}m none "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no namespaces")
    found = subprocess.run(
        [*command, sys.executable, "-c", _SCRIPT, str(folder), str(stop_before)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return told


def test_the_recording_is_ended_and_sealed_while_there_is_room(tmp_path: Path) -> None:
    told = _record_on_a_small_disk(tmp_path, 32, stop_before=22)

    assert (told["phase"], told["state"], told["problem"]) == ("stopped", "sealed", "")
    assert told["verdict"].startswith("FAILED (it was stopped with ")
    assert 8e6 / 16 < told["recorded"] < 14e6 / 16
    assert told["missing"] == 0


def test_what_there_is_no_room_to_seal_stays_a_whole_capture(tmp_path: Path) -> None:
    told = _record_on_a_small_disk(tmp_path, 32, stop_before=4)

    assert (told["phase"], told["state"]) == ("stopped", "capture")
    assert "Make room, then run `rigmesh recover`" in told["problem"]
    assert told["verdict"].startswith("FAILED (it was stopped with ")
    assert told["recorded"] > 25e6 / 16


def test_samples_that_a_full_disk_does_not_take_are_counted(tmp_path: Path) -> None:
    told = _record_on_a_small_disk(tmp_path, 8, stop_before=0)

    assert told["phase"] == "recording"
    assert told["verdict"].startswith("OK with gaps (")
    assert told["recorded"] + told["missing"] == told["fed"]
    assert told["recorded"] > 6e6 / 16

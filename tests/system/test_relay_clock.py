"""Stamps of a machine whose clock is far ahead, on another machine: mapped, and how exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.system.machines import why_not
from tests.system.rig import rig_of

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.timeout(300),
]

AHEAD = {"amp": 1000, "rec": 5000}

SCRIPT = """
import json, sys
import numpy as np
from rigmesh.client import Manager

amp, rec = sys.argv[1:]
found = {}
with Manager() as manager:
    rig, disk = manager.add_host(f"{amp}:5678"), manager.add_host(f"{rec}:5678")
    device = manager.create_node("Oscillators", name="device", host=rig, sampling_rate=1000)
    inlet = manager.create_node(
        "relay.Inlet", name="inlet", host=disk, address=f"{amp}:5678", stream="device.signal"
    )
    clock = manager.create_node("relay.Clock", name="clock", host=disk, address=f"{amp}:5678")
    manager.start_all()

    def shifts(output, seconds):
        with output.open() as stream:
            return [
                float(shift)
                for chunk in stream.chunks(seconds=seconds)
                for shift in chunk.timestamps - chunk.raw_timestamps
            ]

    found["desk"] = shifts(device.output, 3.0)
    # What the desk reads of rec is mapped twice: from amp to rec, and from rec to the desk.
    found["rec"] = shifts(inlet.output, 3.0)
    with clock.output.open(start="oldest") as stream:
        chunk = stream.read(timeout=20)
        found["offsets"] = chunk.data[:, 4].tolist()
        found["t0"], found["t3"] = chunk.data[:, 0].tolist(), chunk.data[:, 3].tolist()
    found["states"] = dict(inlet.states)
print("FOUND", json.dumps(found))
"""


def test_stamps_are_mapped_to_within_a_millisecond(tmp_path: Path) -> None:
    with rig_of(tmp_path, AHEAD) as hosts:
        hosts["rec"].trust(hosts["amp"])
        process = hosts["desk"].script(SCRIPT, hosts["amp"].address, hosts["rec"].address)
        said, _ = process.communicate(timeout=120)

    lines = [line for line in said.splitlines() if line.startswith("FOUND ")]
    assert lines, said
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("FOUND "))
    # The desk is at 0, so that stamps of amp are 1000 s ahead of it, wherever they went through.
    assert found["desk"]
    assert max(abs(shift + 1000) for shift in found["desk"]) < 1e-3
    assert found["rec"]
    assert max(abs(shift + 1000) for shift in found["rec"]) < 2e-3
    states = found["states"]
    assert abs(states["clock_offset"] - 4000) < 1e-3
    assert states["clock_state"] in ("coarse", "locked")
    assert 0 < states["clock_uncertainty"] < 0.1
    assert states["is_connected"]
    assert all(abs(offset - 4000) < 5e-3 for offset in found["offsets"])
    assert all(t0 < t3 for t0, t3 in zip(found["t0"], found["t3"], strict=True))

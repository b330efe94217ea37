"""Several machines, each in namespaces of its own with a clock of its own, make one graph."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.system.machines import why_not
from tests.system.rig import RigHost, rig_of
from tests.system.test_recording import load

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
    pytest.mark.timeout(300),
]

ROOT = Path(__file__).parents[2]
N_SAMPLES = 20_000

SCRIPT = """
import json, sys
from rigmesh.client import Manager

amp, proc, rec, path = sys.argv[1:]
with Manager() as manager:
    rig = manager.add_host(f"{amp}:5678")
    worker = manager.add_host(f"tcp://{proc}").create_nodegroup("analysis")
    disk = manager.add_host(rec)
    device = manager.create_node(
        "Oscillators", host=rig, n_channels=4, sampling_rate=2000, n_samples=20_000,
        sample_number=True,
    )
    events = manager.create_node("LevelCrossing", host=worker, channels=[1], level=0)
    recorder = manager.create_node("HDF5Recorder", host=disk, path=path)
    events.input.connect(device.output)
    recorder.input.connect(device.output, events.output)
    manager.start_all()
    recorder.wait("stopped", timeout=60)
    found = {
        "hosts": list(manager.hosts),
        "verdict": recorder.report["verdict"],
        "n_crossings": events.states["n_crossings"],
        "where": {node.spec.name: node.spec.host for node in manager.status().nodes},
    }
    print("FOUND", json.dumps(found))
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RigHost]]:
    clocks = {"amp": 0, "proc": 1000, "rec": 5000}
    with rig_of(tmp_path_factory.mktemp("rig"), clocks) as hosts:
        hosts["proc"].trust(hosts["amp"])
        hosts["rec"].trust(hosts["amp"])
        hosts["rec"].trust(hosts["proc"])
        yield hosts


def found_by(process: Any) -> dict[str, Any]:
    said, _ = process.communicate(timeout=120)
    lines = [line for line in said.splitlines() if line.startswith("FOUND ")]
    assert lines, said
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("FOUND "))
    return found


def test_three_machines_are_driven_from_a_fourth(rig: dict[str, RigHost]) -> None:
    path = rig["rec"].folder / "session.h5"
    addresses = [rig[name].address for name in ("amp", "proc", "rec")]

    found = found_by(rig["desk"].script(SCRIPT, *addresses, str(path)))

    assert found["hosts"] == ["desk", "amp", "proc", "rec"]
    assert found["verdict"] == "OK"
    assert found["where"]["oscillators"] == "amp"
    streams = load(path)
    signal = next(stream for name, stream in streams.items() if "signal" in name)
    np.testing.assert_array_equal(signal.data[:, 0], np.arange(N_SAMPLES))
    events = next(stream for name, stream in streams.items() if "events" in name)
    assert len(events.data) == found["n_crossings"] > 0


def test_the_how_to_works_as_it_is_written(tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/several-machines.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python no-run\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (graph,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    with rig_of(tmp_path, {"amp-pc": 0, "rec-pc": 700}) as hosts:
        amp, rec, desk = hosts["amp-pc"], hosts["rec-pc"], hosts["desk"]
        for user, other in ((desk, amp), (desk, rec), (rec, amp)):
            user.login_to(other, by_name=True)
        listed = desk.call("rigmesh", "hosts")
        process = desk.script(script)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
        (desk.folder / "graph.yaml").write_text(graph, encoding="utf-8")
        ran = desk.call("rigmesh", "run", desk.folder / "graph.yaml", "--duration", "3")

    assert "amp-pc" in listed
    assert "rec-pc" in listed
    assert len(said.splitlines()) > 50
    assert "OK" in ran

"""The demo's graph: what it asks for exists, and its parameters fit its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import find_peaks

from rigmesh.graph import GraphSpec, check_graph
from rigmesh.graph.loader import load_graph
from rigmesh.node.registry import NodeType, describe_all
from rigmesh.node.testing import run
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes.events import Threshold
from rigmesh_nodes.filters import BandPass

EXAMPLES = Path(__file__).parents[3] / "examples"

Floats = npt.NDArray[np.float64]


@pytest.fixture
def graph() -> GraphSpec:
    """The demo's graph."""
    return load_graph(EXAMPLES / "physiology.yaml")


@pytest.fixture
def ecg() -> Signal:
    """The recording's ECG, stamped from 0 s."""
    with np.load(EXAMPLES / "data" / "physio.npz") as data:
        values, rate = data["ecg"][:, None], float(data["ecg_rate"])
    info = StreamInfo.signal("ecg.signal", channels=["ECG"], sampling_rate=rate, dtype="float32")
    return Signal(values, np.arange(len(values)) / rate, info=info)


def steepest_slopes(ecg: Signal) -> Floats:
    """Find the beats in another way: by the slope of the raw signal, all of it known."""
    found, _ = find_peaks(np.abs(np.gradient(ecg.data[:, 0])), height=0.01, distance=600)
    return ecg.timestamps[found]


def test_the_graph_can_run_with_what_is_installed(graph: GraphSpec) -> None:
    types = {found.name: found for found in describe_all() if isinstance(found, NodeType)}

    checked = check_graph(graph, types)

    assert checked.nodes["recorder"].inputs["streams"] == (
        "ecg.signal",
        "eda.signal",
        "resp.signal",
        "marks.markers",
        "heart.filtered",
        "beats.events",
    )


def test_the_graph_finds_every_beat_once(graph: GraphSpec, ecg: Signal) -> None:
    expected = steepest_slopes(ecg)

    filtered = run(BandPass(**graph.nodes["heart"].params), ecg)
    beats = run(Threshold(**graph.nodes["beats"].params), filtered)

    assert len(beats) == len(expected) == 69
    np.testing.assert_allclose(beats.timestamps, expected, atol=0.05)

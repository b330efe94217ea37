from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.system.lsl.harness import Peer

from rigmesh.client import Manager
from rigmesh.streams import Cause, Chunk, Gap

StartPeer = Callable[..., Peer]


def read(stream: Any) -> Chunk:
    chunk: Chunk | None = stream.read(timeout=20)
    assert chunk is not None
    return chunk.copy()


def test_samples_go_from_one_program_through_a_graph_into_another(
    manager: Manager, peer: StartPeer, name: str
) -> None:
    outlet = peer("outlet", name=name, n_channels=3, rate=100.0, format="int16")
    inlet = manager.create_node("lsl.Inlet", name="amp", stream=name)
    picked = manager.create_node("channels.Select", name="picked", channels=[2, 0])
    publisher = manager.create_node("lsl.Outlet", name="out", stream_name=f"{name}-picked")
    picked.inputs["signal"].connect(inlet.outputs["signal"])
    publisher.input.connect(picked.output)
    manager.start_all()
    receiver = peer("inlet", name=f"{name}-picked")

    outlet.ask(push=[[1, 2, 3], [4, 5, 6]], stamps=[7.0, 7.01])
    received = receiver.ask(pull=2)

    assert received["rows"] == [[3, 1], [6, 4]]
    assert received["stamps"] == pytest.approx([7.0, 7.01], abs=1e-3)


def test_an_outlet_that_was_killed_and_started_again_leaves_a_counted_gap(
    manager: Manager, peer: StartPeer, name: str
) -> None:
    first = peer("outlet", name=name, rate=500.0, format="int32", source_id="amp-7")
    inlet = manager.create_node("lsl.Inlet", name="amp", stream=name)
    manager.start_all()
    chunks: list[Chunk] = []
    with inlet.outputs["signal"].open(start="oldest") as stream:
        first.ask(forever=0)
        chunks.append(read(stream))
        first.kill()
        second = peer("outlet", name=name, rate=500.0, format="int32", source_id="amp-7")
        second.ask(forever=100_000)
        while chunks[-1].epoch == 0:
            chunks.append(read(stream))

    gaps: list[Gap] = [gap for chunk in chunks for gap in chunk.gaps]
    stamps = [np.concatenate([c.timestamps for c in chunks if c.epoch == e]) for e in (0, 1)]
    hole = float(stamps[1][0] - stamps[0][-1])
    restart = next(gap for gap in gaps if gap.cause is Cause.RESTART)
    assert restart.duration == pytest.approx(hole)
    assert restart.count == round(hole * 500) - 1

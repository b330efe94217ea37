"""Parameters change between two chunks, all or none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from tests.unit.node.nodes import INFO, SINE, Gain, Seen, Ticker, fed

from rigmesh.errors import ParameterError
from rigmesh.node import InputLink, NodeRunner
from rigmesh.streams import Chunk
from rigmesh.transports.testing import wait_until

Running = tuple[NodeRunner, InputLink, Callable[[Chunk], None]]


@pytest.fixture
def running() -> Iterator[Running]:
    """A running node, its link and what takes its chunks."""
    runner, link, take = fed(Gain())
    runner.open()
    runner.input_announced(link, INFO, new_epoch=False)
    runner.start()
    yield runner, link, take
    runner.finish()


def test_a_live_parameter_changes_between_two_chunks(
    running: Running,
) -> None:
    runner, _, take = running
    seen: list[Chunk] = []
    runner.node.port("out").add_target(Seen(seen))

    take(SINE.copy())
    effective = runner.set_parameters({"factor": 3.0})
    take(SINE.copy())

    assert effective == {"it.out": (0, 100)}
    np.testing.assert_array_equal(seen[0].data, SINE.data * 2)
    np.testing.assert_array_equal(seen[1].data, SINE.data * 3)
    assert seen[1].index == 100
    assert runner.node.hooks.count("prepare") == 1  # type: ignore[attr-defined]


def test_a_change_waits_for_the_chunk_in_work(running: Running) -> None:
    runner, _, take = running
    changed = threading.Event()

    def change() -> None:
        runner.set_parameters({"factor": 3.0})
        changed.set()

    other = threading.Thread(target=change)
    with runner.lane:
        other.start()
        wait_until(lambda: bool(runner.lane._waiting))
        take(SINE.copy())
        during = changed.is_set()
    other.join(10)

    assert not during
    assert changed.is_set()


def test_parameters_change_all_or_none(running: Running) -> None:
    runner = running[0]

    with pytest.raises(ParameterError, match=r"it\.offset: .*found 'x'"):
        runner.set_parameters({"factor": 3.0, "offset": "x"})
    with pytest.raises(ParameterError, match=r"it\.fctor: no such parameter"):
        runner.set_parameters({"factor": 3.0, "fctor": 1.0})

    assert runner.node.parameters == {"factor": 2.0, "offset": 0.0}


def test_a_parameter_that_is_not_live_prepares_again(
    running: Running,
) -> None:
    runner = running[0]

    runner.set_parameters({"offset": 1.0})
    runner.set_parameters({"offset": 1.0})

    assert runner.node.hooks.count("prepare") == 2  # type: ignore[attr-defined]


def test_a_source_changes_only_what_is_live_while_it_runs() -> None:
    runner = NodeRunner(Ticker(), "ticker")
    runner.open()
    runner.start()

    with pytest.raises(ParameterError, match="rate of a source can only change while it is stop"):
        runner.set_parameters({"rate": 200.0})
    runner.finish()
    runner.set_parameters({"rate": 200.0})

    assert runner.node.parameters["rate"] == 200.0

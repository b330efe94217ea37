"""States and commands: declared, looked at, written, called."""

from __future__ import annotations

from typing import Any

import pytest

from rigmesh.errors import NodeError, NotPermitted, ParameterError, StateError, UnknownName
from rigmesh.node import Input, Node, NodeRunner, Output, command, param, state
from rigmesh.node.live import call, live_values, write
from rigmesh.node.registry import NodeType, describe
from rigmesh.node.testing import run, sine
from rigmesh.streams import Signal


class Counting(Node):
    """Counts samples."""

    signal = Input(Signal)
    same = Output(Signal)

    gain: float = param(default=1.0, gt=0, live=True, doc="Factor.")
    order: int = param(default=1, doc="Not live.")

    n_samples: int = state(default=0, doc="Samples so far.")
    level: float = state(default=1.5, doc="Anybody's.", write="clients")
    mean: list[float] = state(default=[], doc="Other nodes'.", write="peers")

    def prepare(self) -> None:
        self.same.announce(self.signal.info)

    def process(self, chunk: Signal) -> Signal:
        self.n_samples += len(chunk)
        return chunk.with_data(chunk.data * self.gain)

    @command
    def reset(self, to: int = 0) -> int:
        """Begin to count anew.

        More of it.
        """
        before, self.n_samples = self.n_samples, to
        return before

    @command
    def break_down(self) -> None:
        """Raise."""
        raise OSError("no such device")


@pytest.fixture
def runner() -> NodeRunner:
    return NodeRunner(Counting(), "count")


def ready(runner: NodeRunner) -> None:
    runner.node.port("signal").links.clear()
    runner.node.prepare = lambda: None  # type: ignore[method-assign]
    runner.open()


def test_a_state_is_a_plain_attribute_of_the_node() -> None:
    node = Counting()

    run(node, sine(1.0, duration=0.1))

    assert node.n_samples == 100
    assert Counting().n_samples == 0


def test_what_would_hide_a_method_of_every_node_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Hiding\.port hides Node\.port; choose another name"):

        class Hiding(Node):
            port: str = param(default="", doc="Of a device.")  # type: ignore[assignment]

    with pytest.raises(TypeError, match=r"Waiting\.wait hides"):

        class Waiting(Node):
            wait: int = state(default=0, doc="How long.")  # type: ignore[assignment]


def test_nodes_do_not_share_the_default_of_a_state() -> None:
    first, second = Counting(), Counting()

    first.mean.append(1.0)

    assert second.mean == []


def test_a_state_is_no_argument_of_the_constructor() -> None:
    with pytest.raises(ParameterError, match="no such parameter"):
        Counting(n_samples=3)  # type: ignore[call-arg]


def test_a_start_sets_back_what_only_the_node_writes(runner: NodeRunner) -> None:
    write(runner, {"level": 2.5}, "clients")
    runner.node.n_samples = 7  # type: ignore[attr-defined]

    ready(runner)

    assert live_values(runner)["n_samples"] == 0
    assert live_values(runner)["level"] == 2.5


def test_states_and_live_parameters_can_be_looked_at(runner: NodeRunner) -> None:
    assert live_values(runner) == {"n_samples": 0, "level": 1.5, "mean": [], "gain": 1.0}


@pytest.mark.parametrize(
    ("name", "writer", "allowed"),
    [
        ("level", "clients", True),
        ("level", "peers", True),
        ("mean", "peers", True),
        ("mean", "clients", False),
        ("n_samples", "peers", False),
        ("n_samples", "clients", False),
    ],
)
def test_who_may_write_a_state(runner: NodeRunner, name: str, writer: Any, allowed: bool) -> None:
    value: Any = [1.0] if name == "mean" else 3

    if allowed:
        write(runner, {name: value}, writer)
        assert live_values(runner)[name] == value
    else:
        with pytest.raises(NotPermitted, match=rf"count\.{name}: only .* may write it"):
            write(runner, {name: value}, writer)


def test_a_state_has_a_type(runner: NodeRunner) -> None:
    with pytest.raises(ParameterError, match=r"count\.level: .*number.*; found 'much'"):
        write(runner, {"level": "much"}, "clients")


def test_parameters_and_states_change_together_or_not_at_all(runner: NodeRunner) -> None:
    with pytest.raises(ParameterError, match="gain"):
        write(runner, {"level": 9.0, "gain": -1}, "clients")
    with pytest.raises(NotPermitted):
        write(runner, {"gain": 2.0, "n_samples": 1}, "clients")
    assert live_values(runner) == {"n_samples": 0, "level": 1.5, "mean": [], "gain": 1.0}

    write(runner, {"level": 9.0, "gain": 2.0}, "clients")
    assert live_values(runner) == {"n_samples": 0, "level": 9.0, "mean": [], "gain": 2.0}


def test_a_near_miss_is_named(runner: NodeRunner) -> None:
    with pytest.raises(UnknownName, match=r"'levl'.*did you mean level"):
        write(runner, {"levl": 1}, "clients")
    ready(runner)
    with pytest.raises(UnknownName, match=r"command of count 'rest'.*did you mean reset"):
        call(runner, "rest", {})


def test_a_command_returns_its_result_and_where_it_took_effect(runner: NodeRunner) -> None:
    ready(runner)
    runner.node.n_samples = 7  # type: ignore[attr-defined]

    result, effective = call(runner, "reset", {"to": "3"})

    assert result == 7
    assert effective == {"count.same": (0, 0)}
    assert live_values(runner)["n_samples"] == 3


def test_arguments_of_a_command_are_checked(runner: NodeRunner) -> None:
    ready(runner)

    with pytest.raises(ParameterError, match=r"count\.reset\(to\).*its arguments: to"):
        call(runner, "reset", {"to": "many"})
    with pytest.raises(ParameterError, match=r"count\.reset\(too\)"):
        call(runner, "reset", {"too": 1})


def test_a_node_that_is_not_started_obeys_nobody(runner: NodeRunner) -> None:
    with pytest.raises(StateError, match="it obeys 'reset' once the graph is started"):
        call(runner, "reset", {})


def test_a_command_that_raises_leaves_the_node_running(runner: NodeRunner) -> None:
    ready(runner)

    with pytest.raises(NodeError, match=r"count\.break_down: OSError: no such device") as caught:
        call(runner, "break_down", {})

    assert "break_down" in caught.value.remote_traceback
    assert runner.failure is None


def test_others_learn_of_states_and_commands() -> None:
    type_ = describe(Counting, "x.Counting")

    assert [(s.name, s.write) for s in type_.states] == [
        ("n_samples", "self"), ("level", "clients"), ("mean", "peers"),
    ]  # fmt: skip
    assert [c.name for c in type_.commands] == ["break_down", "reset"]
    assert type_.commands[1].schema["properties"]["to"]["type"] == "integer"
    assert NodeType.from_dict(type_.to_dict()) == type_


def test_who_watches_is_told_after_a_chunk_a_write_and_a_command(runner: NodeRunner) -> None:
    told = []
    runner.watchers.append(lambda: told.append(live_values(runner)["level"]))
    ready(runner)

    write(runner, {"level": 2.0}, "clients")
    call(runner, "reset", {})

    assert told == [2.0, 2.0]

"""A node's hooks run in their order, and its failures are kept to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.unit.node.nodes import INFO, SINE, Gain, Ticker, fed

from rigmesh.errors import NodeError, StateError
from rigmesh.node import Input, InputLink, Node, NodeRunner, NodeState, Output, param
from rigmesh.node.testing import chunked, collect, markers, run
from rigmesh.streams import Chunk, Markers, Signal
from rigmesh.transports.testing import wait_until

Running = tuple[NodeRunner, InputLink, Callable[[Chunk], None]]


class Failing(Gain):
    """Fail in one of its hooks."""

    where: str = param(default="", doc="The hook that fails.")

    def open(self) -> None:
        super().open()
        self._fail_in("open")

    def prepare(self) -> None:
        super().prepare()
        self._fail_in("prepare")

    def process(self, chunk: Signal) -> Signal | None:
        self._fail_in("process")
        return super().process(chunk)

    def close(self) -> None:
        super().close()
        self._fail_in("close")

    def _fail_in(self, hook: str) -> None:
        if self.where == hook:
            raise OSError(f"no device in {hook}")


@pytest.fixture
def running() -> Iterator[Running]:
    """A running node, its link and what takes its chunks."""
    runner, link, take = fed(Gain())
    runner.open()
    runner.input_announced(link, INFO, new_epoch=False)
    runner.start()
    yield runner, link, take
    runner.finish()


def test_hooks_run_in_their_order() -> None:
    node = Gain()

    run(node, chunked(SINE, 50))

    assert node.hooks == ["open", "prepare", "process", "process", "close"]


def test_a_node_is_prepared_when_its_input_is_described() -> None:
    runner, link, _ = fed(Gain())
    states = []

    runner.open()
    states.append(runner.state)
    runner.input_announced(link, INFO, new_epoch=False)
    states.append(runner.state)
    runner.start()
    states.append(runner.state)
    runner.input_ended(link)
    states.append(runner.state)
    runner.finish()
    states.append(runner.state)

    assert [state.value for state in states] == ["open", "ready", "running", "ended", "stopped"]


def test_a_node_that_is_not_ready_cannot_start() -> None:
    runner, _, _ = fed(Gain())
    runner.open()

    with pytest.raises(StateError, match="'it' is open, not ready"):
        runner.start()

    runner.finish()


def test_a_node_is_opened_once(running: Running) -> None:
    with pytest.raises(StateError, match="'it' is running already"):
        running[0].open()


def test_finishing_twice_closes_once(running: Running) -> None:
    runner = running[0]

    runner.finish()
    runner.finish()

    assert runner.node.hooks.count("close") == 1  # type: ignore[attr-defined]


def test_a_stopped_node_can_run_again() -> None:
    runner, link, take = fed(Gain())

    for _ in range(2):
        runner.begin_run()
        runner.open()
        runner.input_announced(link, INFO, new_epoch=False)
        runner.start()
        take(SINE.copy())
        runner.finish()

    out = runner.node.port("out")
    assert (out.epoch, out.index) == (1, 100)


def test_chunks_are_taken_while_a_node_runs_only() -> None:
    runner, link, take = fed(Gain())
    runner.open()
    runner.input_announced(link, INFO, new_epoch=False)

    take(SINE.copy())
    runner.finish()
    take(SINE.copy())

    assert runner.meters["signal"].delivered == 0


@pytest.mark.parametrize("hook", ["open", "prepare", "process", "close"])
def test_a_failure_says_where_and_why(hook: str) -> None:
    with pytest.raises(NodeError) as raised:
        run(Failing(where=hook), SINE, name="amp")

    error = raised.value
    assert (error.node, error.hook) == ("amp", hook)
    assert f"amp.{hook}: OSError: no device in {hook}" in str(error)
    assert "_fail_in" in error.remote_traceback
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("hook", ["open", "prepare", "process"])
def test_a_failed_node_is_closed(hook: str) -> None:
    node = Failing(where=hook)

    with pytest.raises(NodeError):
        run(node, SINE)

    assert node.hooks[-1] == "close"


def test_a_failure_ends_the_streams_and_takes_nothing_more() -> None:
    runner, link, take = fed(Failing(where="process"))
    runner.open()
    runner.input_announced(link, INFO, new_epoch=False)
    runner.start()

    take(SINE.copy())
    take(SINE.copy())

    assert runner.state is NodeState.FAILED
    assert runner.node.port("out").is_ended
    assert runner.meters["signal"].delivered == 100
    runner.finish()
    assert runner.state is NodeState.FAILED


def test_every_change_of_state_is_told() -> None:
    told: list[NodeState] = []
    runner = NodeRunner(Ticker(n=3), "ticker", changed=lambda r: told.append(r.state))

    runner.open()
    runner.start()
    wait_until(lambda: runner.state is NodeState.ENDED)
    runner.finish()

    states = [NodeState.OPEN, NodeState.READY, NodeState.RUNNING, NodeState.ENDED]
    assert told == [*states, NodeState.STOPPED]


def test_a_source_that_comes_to_its_end_ends_its_stream() -> None:
    out = collect(Ticker(n=5))["out"]

    assert sum(len(chunk) for chunk in out.chunks) == 5
    assert out.is_ended


def test_a_source_is_stopped_and_its_thread_ends() -> None:
    runner = NodeRunner(Ticker(), "ticker")
    runner.open()
    runner.start()
    wait_until(lambda: runner.node.port("out").index > 3)

    runner.request_stop()
    wait_until(lambda: runner.state is NodeState.ENDED)
    runner.finish(timeout=10)

    assert runner.node.port("out").is_ended
    assert "source ticker" not in [thread.name for thread in threading.enumerate()]


def test_a_source_that_fails_says_so() -> None:
    with pytest.raises(NodeError, match=r"node\.acquire: RuntimeError: unplugged"):
        run(Ticker(n=3, fails=True))


def test_a_source_that_does_not_return_is_named() -> None:
    release = threading.Event()

    class Stuck(Ticker):
        """Does not look at the stop."""

        def acquire(self) -> Iterator[Signal]:
            release.wait(10)
            yield from ()

    runner = NodeRunner(Stuck(), "stuck")
    runner.open()
    runner.start()

    with pytest.raises(StateError, match=r"'stuck' did not return from acquire\(\) within 0\.01"):
        runner.finish(timeout=0.01)

    release.set()
    runner.finish(timeout=10)


def test_what_a_node_returns_with_several_outputs_is_refused() -> None:
    class Confused(Gain):
        """Returns what it should push."""

        more = Output(Signal)

    with pytest.raises(NodeError, match=r"with 2 outputs it calls self\.<port>\.push"):
        run(Confused(), SINE)


def test_a_class_without_a_handler_for_its_input_is_refused() -> None:
    with pytest.raises(TypeError, match=r"has the input 'left' but no process_left"):

        class Deaf(Node):
            left = Input(Signal)
            right = Input(Signal)

            def process(self, chunk: Signal) -> None: ...


def test_a_source_with_inputs_is_refused() -> None:
    with pytest.raises(TypeError, match="a source has no inputs"):

        class Both(Node):
            left = Input(Signal)

            def process(self, chunk: Signal) -> None: ...
            def acquire(self) -> Iterator[Signal]:
                yield from ()


def test_several_inputs_are_fed_in_the_order_of_time() -> None:
    order: list[str] = []

    class Two(Node):
        """Writes down who came."""

        left = Input(Markers)
        right = Input(Markers)

        def process_left(self, chunk: Markers) -> None:
            order.extend(chunk.data)

        def process_right(self, chunk: Markers) -> None:
            order.extend(chunk.data)

    run(
        Two(),
        left=[markers((1.0, "l1")), markers((3.0, "l3"))],
        right=[markers((2.0, "r2")), markers((4.0, "r4"))],
    )

    assert order == ["l1", "r2", "l3", "r4"]


def test_timers_need_a_running_node() -> None:
    with pytest.raises(RuntimeError, match="timers need a running node"):
        Gain().call_at(0.0, Gain().close)

"""Programs to talk LSL with, and what runs a node against them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rigmesh.node import Node, NodeRunner, NodeState
from rigmesh.node.testing import Collector, TestRuntime


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {timeout} s"
        time.sleep(0.005)


class Peer:
    """A process that uses nothing of ours; it takes one JSON line a request and gives one back."""

    def __init__(
        self,
        role: str,
        *,
        program: str = "plain_peer.py",
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(Path(__file__).with_name(program)), role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer = self.ask(**options)

    def ask(self, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise AssertionError(f"the plain program failed at {request}; see its error above")
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Tape(Collector):
    """Keeps what an output gives."""

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self.chunks)

    @property
    def data(self) -> Any:
        if isinstance(self.chunks[0].data, list):
            return [text for chunk in self.chunks for text in chunk.data]
        return np.concatenate([chunk.data for chunk in self.chunks])

    @property
    def stamps(self) -> Any:
        return np.concatenate([chunk.raw_timestamps for chunk in self.chunks])


class Live:
    """A node that runs, and the tape of each of its outputs."""

    def __init__(self, node: Node, run_start: float = 0.0) -> None:
        self.runner = NodeRunner(node, "node")
        runtime = TestRuntime()
        runtime.run_start = run_start
        node.runtime = runtime
        self.tapes: dict[str, Tape] = {}
        for output in node.bound_outputs():
            self.tapes[output.name] = Tape()
            output.add_target(self.tapes[output.name])

    def start(self) -> None:
        self.runner.open()
        self.runner.start()

    def wait_for_samples(self, output: str, n: int, timeout: float = 15.0) -> Tape:
        tape = self.tapes[output]
        wait_for(
            lambda: len(tape) >= n or self.runner.state is NodeState.FAILED,
            f"{n} samples ({len(tape)} came)",
            timeout,
        )
        if self.runner.failure is not None:
            raise self.runner.failure
        return tape


@contextmanager
def live(node: Node, run_start: float = 0.0) -> Iterator[Live]:
    running = Live(node, run_start)
    try:
        running.start()
        yield running
    finally:
        running.runner.finish(timeout=10)

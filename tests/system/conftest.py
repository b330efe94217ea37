"""What the system tests share: LSL on this machine only, managers, waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rigmesh.client import Manager


@pytest.fixture
def manager() -> Iterator[Manager]:
    """A manager with a daemon of its own."""
    with Manager() as made:
        assert made.is_private
        yield made


@pytest.fixture(autouse=True)
def _no_daemon_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIGMESH_SOCKET", raising=False)


Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def until() -> Until:
    """Wait for a condition; fail with its name when it does not come about."""

    def wait(condition: Callable[[], object], timeout: float = 40.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout} s: {condition}"
            time.sleep(0.02)

    return wait


@pytest.fixture
def examples() -> Path:
    """The folder of the examples."""
    return Path(__file__).parents[2] / "examples"

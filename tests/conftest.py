"""What every test is held to: it leaves nothing behind, and it is not skipped without a reason."""

from __future__ import annotations

import fnmatch
import gc
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import psutil
import pytest
from tests.workers import part_worker

part_worker()
pytest.register_assert_rewrite("rigmesh.transports.testing", "rigmesh.node.testing")

_WITHIN = 5.0
"""Seconds in which processes, threads and what they hold may end by themselves."""
_OUR_THREADS = (
    "timers", "source ", "receiver", "stream ", "open ", "counters", "clock ", "relay ", "feed ",
    "watch ",
)  # fmt: skip
_BROWSER = "/chromium"
"""It starts processes when it likes; the fixture that began it ends them all."""
_OUR_MEMORY = re.compile(r"(?:sem\.)?rigmesh-(\d+)\.(\d+)-")
_ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


@dataclass(frozen=True)
class Held:
    """What this process and its descendants hold at one moment."""

    processes: frozenset[str]
    threads: frozenset[str]
    sockets: frozenset[str]
    memory: frozenset[str]
    """Segments and semaphores in /dev/shm."""

    @classmethod
    def now(cls) -> Held:
        """Look."""
        pids = _descendants(os.getpid())
        return cls(
            frozenset(words for pid in pids if _BROWSER not in (words := _described(pid))),
            frozenset(
                f"{thread.name} ({thread.ident})"
                for thread in threading.enumerate()
                if not thread.daemon or thread.name.startswith(_OUR_THREADS)
            ),
            frozenset(_sockets()),
            frozenset(path.name for path in Path("/dev/shm").iterdir()),
        )

    def beyond(self, before: Held) -> list[str]:
        """Name what is held now and was not before."""
        found = [
            f"{field.name}: {item}"
            for field in fields(self)
            if field.name != "memory"
            for item in sorted(getattr(self, field.name) - getattr(before, field.name))
        ]
        new = sorted(self.memory - before.memory)
        return found + [f"memory: /dev/shm/{name}" for name in new if _is_ours(name)]


def _descendants(pid: int) -> Iterator[int]:
    """Yield the processes below one; twice a test, so all others are not looked at for that."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, thread.read_text(encoding="ascii").split()):
                yield child
                yield from _descendants(child)


def _described(pid: int) -> str:
    try:
        words = " ".join(psutil.Process(pid).cmdline())[:120]
    except psutil.Error:
        words = "a zombie"
    return f"{pid}: {words}"


def _sockets() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # the one that lists them
            continue
        if target.startswith("socket:"):
            yield target


def _is_ours(name: str) -> bool:
    """Whether a name may be from a test: not if a living stranger made it."""
    match = _OUR_MEMORY.match(name)
    if match is None:
        return False
    try:
        owner = psutil.Process(int(match[1]))
        return owner.pid == os.getpid() or os.getpid() in [p.pid for p in owner.parents()]
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a process, thread, socket, semaphore or shared memory behind."""
    before = Held.now()
    yield
    deadline = time.monotonic() + _WITHIN
    while left := Held.now().beyond(before):
        if time.monotonic() > deadline:
            pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)
        gc.collect()
        time.sleep(0.02)


def _unexpected_skips(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return []
    lines = _ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    patterns = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return [
        report.nodeid
        for report in reporter.stats.get("skipped", [])
        if not any(fnmatch.fnmatch(report.nodeid, pattern) for pattern in patterns)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped that is not on the list."""
    if _unexpected_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which those are."""
    for nodeid in _unexpected_skips(terminalreporter.config):
        terminalreporter.write_line(
            f"SKIPPED {nodeid}, which is not in {_ALLOWED_SKIPS.name}", red=True
        )

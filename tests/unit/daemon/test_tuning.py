"""What a group tells the interpreter and the operating system."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap

import pytest

from rigmesh.errors import NotPermitted, ParameterError


def in_process(code: str) -> str:
    """Run code in a process of its own: what it changes holds for a whole process."""
    prelude = "import gc, os, sys\nfrom rigmesh_daemon.group.tuning import *\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_garbage_is_not_collected_while_nodes_run() -> None:
    said = in_process(
        """
        quiet = Quiet()
        quiet.begin()
        print(gc.isenabled(), gc.get_freeze_count() > 1000, sys.getswitchinterval() < 0.005)
        quiet.tend(running=True)
        print(gc.isenabled(), quiet.collections)
        quiet.tend(running=False)
        print(gc.isenabled(), gc.get_freeze_count())
        """
    )

    assert said.split("\n") == ["False True True", "False 0", "True 0"]


def test_much_garbage_is_collected_although_nodes_run() -> None:
    said = in_process(
        """
        class Ring: pass
        quiet = Quiet()
        quiet.begin()
        for _ in range(60_000):
            ring = Ring(); ring.me = ring
        quiet.tend(running=True)
        print(quiet.collections, sum(isinstance(o, Ring) for o in gc.get_objects()))
        """
    )

    assert said == "1 1"


def test_threads_to_come_keep_to_the_cpus_too() -> None:
    cpu = min(os.sched_getaffinity(0))

    said = in_process(
        f"""
        import threading
        keep_to_cpus("loop", [{cpu}])
        found = []
        thread = threading.Thread(target=lambda: found.append(os.sched_getaffinity(0)))
        thread.start(); thread.join()
        print(os.sched_getaffinity(0), found[0])
        """
    )

    assert said == f"{{{cpu}}} {{{cpu}}}"


def test_cpus_that_are_not_there_are_named() -> None:
    from rigmesh_daemon.group.tuning import keep_to_cpus

    with pytest.raises(ParameterError, match=r"groups\.loop\.cpus: asked for 4000, 4001; this"):
        keep_to_cpus("loop", [4000, 4001])


WITHOUT_RIGHTS = """
import resource
for limit in (resource.RLIMIT_RTPRIO, resource.RLIMIT_MEMLOCK):
    resource.setrlimit(limit, (0, 0))
if os.geteuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
try:
    {}
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ('set_priority("loop", 50)', "NotPermitted groups.loop.priority: 50 % asks for real-time"),
        ('lock_memory("loop")', "NotPermitted groups.loop.lock_memory: "),
    ],
)
def test_missing_rights_are_named_with_the_way_out(asked: str, said: str) -> None:
    found = in_process(WITHOUT_RIGHTS.format(asked))

    assert found.startswith(said)
    assert "`rigmesh doctor` says how to get the right" in found


def test_the_errors_are_those_of_the_tree() -> None:
    assert issubclass(NotPermitted, PermissionError)
    assert gc.isenabled()

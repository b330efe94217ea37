"""How our processes begin."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from rigmesh.startup import importing

STRUCK = """
import signal, sys, threading, time
from functools import partial
from types import SimpleNamespace
from rigmesh.startup import spare_locks

signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[1] == "spared":
    spare_locks()
condition = threading.Condition()
# Both of C: the signal is handled in the frame of the condition, which has the lock by then.
condition._lock = SimpleNamespace(
    __enter__=partial(signal.raise_signal, signal.SIGINT), __exit__=lambda *_: print("given back")
)
try:
    with condition:
        print("taken")
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [("as usual", "interrupted"), ("spared", "taken given back interrupted")],
)
def test_a_lock_that_an_interrupt_finds_being_taken_is_given_back(how: str, said: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", STRUCK, how], capture_output=True, text=True, timeout=50, check=True
    )

    assert " ".join(run.stdout.split()) == said


def test_an_interrupt_that_is_ignored_stays_so() -> None:
    code = "import signal; from rigmesh.startup import spare_locks; spare_locks(); "
    code += "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    run = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" -c "$1"', sys.executable, code],
        capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip

    assert run.stdout.strip() == "True"


def test_garbage_is_looked_for_again_after_an_import_that_failed() -> None:
    def fail() -> None:
        with importing():
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        fail()

    assert gc.isenabled()

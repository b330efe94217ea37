"""How our processes begin."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["importing", "spare_locks"]

_TAKE_A_LOCK = (threading.Condition.__enter__.__code__, threading.Condition.__exit__.__code__)
_LATER = 0.01
"""In seconds."""


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage: nearly all that modules make stays to the end.

    A start is a tenth shorter, and what was made is not looked at again later.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def spare_locks() -> None:
    """Have Ctrl-C strike a moment later where it would leave a lock taken for ever.

    Python raises ``KeyboardInterrupt`` also between taking the lock of a condition and the ``with``
    that would give it back. Each gRPC call has such a condition, and its other threads then wait
    for the end of the process. Where Ctrl-C is ignored, as in what a shell's script starts with
    ``&``, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code in _TAKE_A_LOCK:
        # Without `threading`, whose locks may be those that were being taken.
        _thread.start_new_thread(_interrupt_later, (number,))
    else:
        signal.default_int_handler(number, frame)


def _interrupt_later(number: int) -> None:
    time.sleep(_LATER)
    # Not `interrupt_main`, which does not end a call that waits.
    os.kill(os.getpid(), number)

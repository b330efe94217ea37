"""What wakes a sleeping reader fastest: a POSIX semaphore, an eventfd or a futex.

``python -m benchmarks.doorbell`` prints a table and writes it to ``benchmarks/results``. One
process notes the time in shared memory and rings, once a millisecond; the other sleeps, wakes, and
takes the difference. The bells take turns, round after round. None of them asks first whether
anybody sleeps.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import posix_ipc
from benchmarks.hop import machine

PERIOD = 1e-3
_STAMP, _NUMBER, _OVER = 0, 1, 2
"""Words of the shared memory; from word 512 on, the latencies."""
_SYS_FUTEX, _FUTEX_WAIT, _FUTEX_WAKE = 202, 0, 1

Ring = Callable[[], object]
Wait = Callable[[], object]


@contextlib.contextmanager
def semaphore(_: mmap.mmap) -> Iterator[tuple[Ring, Wait]]:
    """What rigmesh uses."""
    bell = posix_ipc.Semaphore(None, posix_ipc.O_CREX)
    try:
        yield bell.release, bell.acquire
    finally:
        bell.unlink()
        bell.close()


@contextlib.contextmanager
def eventfd(_: mmap.mmap) -> Iterator[tuple[Ring, Wait]]:
    """Needs its descriptor handed from process to process."""
    bell = os.eventfd(0)
    try:
        yield lambda: os.eventfd_write(bell, 1), lambda: os.eventfd_read(bell)
    finally:
        os.close(bell)


@contextlib.contextmanager
def futex(memory: mmap.mmap) -> Iterator[tuple[Ring, Wait]]:
    """A word of the ring itself; through ctypes, since Python has no call of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_uint32.from_buffer(memory, 64)
    address = ctypes.c_void_p(ctypes.addressof(word))
    seen = 0

    def ring() -> None:
        word.value += 1
        libc.syscall(_SYS_FUTEX, address, _FUTEX_WAKE, 1, None, None, 0)

    def wait() -> None:
        nonlocal seen
        while word.value == seen:
            libc.syscall(_SYS_FUTEX, address, _FUTEX_WAIT, ctypes.c_uint32(seen), None, None, 0)
        seen = word.value

    yield ring, wait


BELLS = {"POSIX semaphore": semaphore, "eventfd": eventfd, "futex": futex}


def one_round(name: str, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the latencies of one bell, in µs."""
    n = round(seconds / PERIOD)
    memory = mmap.mmap(-1, 4096 + 8 * n)
    with BELLS[name](memory) as (ring, wait):
        child = os.fork()
        if child == 0:
            _listen(memory, wait)
        words = memoryview(memory).cast("q")
        try:
            start = time.monotonic() + 0.1
            for number in range(n):
                while (rest := start + number * PERIOD - time.monotonic()) > 0:
                    time.sleep(rest)
                words[_NUMBER] = number
                words[_STAMP] = time.monotonic_ns()
                ring()
        finally:
            words[_OVER] = 1
            ring()
            os.waitpid(child, 0)
    found = np.frombuffer(memory, np.int64)[512 + n // 10 :] / 1e3
    return found[found > 0]


def _listen(memory: mmap.mmap, wait: Wait) -> None:
    """Sleep and wake until it is over; a ring that came before the last wake counts for none."""
    words = memoryview(memory).cast("q")
    try:
        while not words[_OVER]:
            wait()
            now = time.monotonic_ns()
            words[512 + words[_NUMBER]] = now - words[_STAMP]
    finally:
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=8, help="how often all take their turn")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    options = parser.parse_args()
    before = machine()
    seconds, rounds = (0.3, 1) if options.quick else (options.seconds, options.rounds)
    found: dict[str, list[np.ndarray[tuple[int], np.dtype[np.float64]]]] = {b: [] for b in BELLS}
    for _ in range(rounds):
        for name, all_rounds in found.items():
            all_rounds.append(one_round(name, seconds))
    lines = ["| bell | p50 µs | p99 µs | p99.9 µs |", "|---|---:|---:|---:|"]
    for name, all_rounds in found.items():
        per_round = [np.percentile(each, (50, 99, 99.9)) for each in all_rounds]
        p50, p99, p999 = np.median(per_round, axis=0)
        lines.append(f"| {name} | {p50:.1f} | {p99:.0f} | {p999:.0f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if not options.quick:
        head = f"# Doorbells ({time.strftime('%Y-%m-%d')})\n\n{before}"
        head += f"- {rounds} rounds of {seconds:g} s, interleaved; medians over the rounds\n\n"
        path = Path(__file__).parent / "results" / "doorbell.md"
        path.write_text(head + text, encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

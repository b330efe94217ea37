"""A stream from one host to another: our relay beside a bare gRPC stream and LSL, in the same run.

``python -m benchmarks.relay`` prints tables and writes them to ``benchmarks/results``. All take
turns, round after round, between two machines made of network namespaces (over the loopback where
there are none); gRPC is encrypted in every row, as the relay always is.

* hop: 30 samples × 32 channels of float32 at 1 kHz, from the producer's clock to the consumer's.
* throughput: 1 MiB at a time, as fast as the consumer takes it.
* load: 1024 channels of int16 at 30 kHz (61 MB/s), recorded where they are made at the same time,
  and how fast a daemon answers meanwhile.

A bare gRPC stream has two processes: a server that makes the messages and a client. The relay has
three: one that makes the samples, the relay that reads them from the ring, and the consumer. The
rows "ring, threads" and "ring, asyncio" are the least that has three: a server that only waits for
the doorbell of the ring and sends what it finds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.hop import machine
from benchmarks.loop.processes import Program, raise_processes
from benchmarks.relay_ends import Wire
from benchmarks.relay_pair import BARE, LSL, RELAY, THREADS, WAYS
from tests.system.machines import Network, why_not


def control(ready: threading.Event, over: threading.Event) -> list[float]:
    """Ask a daemon for its state, 20 times a second; return how long it took each time, in ms."""
    from rigmesh.client import Manager

    took = []
    with Manager(private=True) as manager:
        # What it competes with is raised, too.
        raise_processes([os.getpid(), manager.status().pid])
        ready.set()
        while not over.wait(0.05):
            begin = time.monotonic()
            manager.status()
            took.append(1e3 * (time.monotonic() - begin))
    return took


def measure(way: str, payload: str, seconds: float) -> dict[str, Any]:
    """Run one way once, in processes of its own."""
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.relay_pair",
            "pair",
            way,
            payload,
            str(seconds),
        ]
        with Program(command, Path(folder)) as program:
            return program.line(seconds + 60)


def _hops(rounds: int, seconds: float) -> Iterator[str]:
    latencies: dict[str, list[float]] = {way: [] for way in WAYS}
    lost, cpu = dict.fromkeys(WAYS, 0), {way: [0.0] for way in WAYS}
    for number in range(rounds):
        for way in WAYS:
            print(f"round {number + 1}/{rounds}: hop, {way}", file=sys.stderr, flush=True)
            found = measure(way, "eeg", seconds)
            latencies[way] += found["latencies"]
            lost[way] += found["sent"] - found["received"]
            cpu[way].append(found["cpu"] / found["seconds"])
    yield "| 30 × 32 float32 at 1 kHz | p50 µs | p99 µs | p50 / bare | lost | CPU of the consumer |"
    yield "|---|" + 5 * "---:|"
    bare = statistics.median(latencies[BARE])
    for way, found_all in latencies.items():
        p50, p99 = np.percentile(found_all, (50, 99))
        share = statistics.median(cpu[way][1:])
        yield f"| {way} | {p50:.0f} | {p99:.0f} | {p50 / bare:.2f} | {lost[way]} | {share:.0%} |"


def _throughputs(rounds: int, seconds: float) -> Iterator[str]:
    ways = [BARE, RELAY, LSL, THREADS]
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in ways:
            print(f"round {number + 1}/{rounds}: throughput, {way}", file=sys.stderr, flush=True)
            found = measure(way, "big", seconds)
            rates[way].append(found["rate"])
    yield "| 1 MiB chunks | MB/s | of bare |"
    yield "|---|" + 2 * "---:|"
    bare = statistics.median(rates[BARE])
    for way, found_all in rates.items():
        rate = statistics.median(found_all)
        yield f"| {way} | {rate:,.0f} | {rate / bare:.0%} |"


def _load(seconds: float) -> Iterator[str]:
    print("load", file=sys.stderr, flush=True)
    ready, over = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(control, ready, over)
        try:
            ready.wait(30)
            found = measure(RELAY, "probe", seconds)
        finally:
            over.set()
        took = asked.result()
    p50, p99 = np.percentile(found["latencies"], (50, 99))
    yield "| 1024 ch × 30 kHz int16 | |"
    yield "|---|---:|"
    lost = found["sent"] - found["received"]
    yield f"| sent, received, lost | {found['sent']}, {found['received']}, {lost} |"
    yield f"| rate | {found['rate']:.0f} MB/s for {found['seconds']:.0f} s |"
    yield f"| age of a chunk, p50 and p99 | {p50 / 1e3:.1f} ms, {p99 / 1e3:.1f} ms |"
    n_recorded, by_recorder = found["recorded"] // 30, found["lost_by_recorder"] // 30
    share = found["cpu_of_recorder"] / found["seconds"]
    yield f"| recorded beside it, lost, CPU | {n_recorded}, {by_recorder}, {share:.0%} |"
    c50, c99 = np.percentile(took, (50, 99))
    yield f"| a daemon's answer meanwhile, p50 and p99 | {c50:.1f} ms, {c99:.1f} ms |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.relay", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="how often all take their turn")
    parser.add_argument("--load-seconds", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    options = parser.parse_args()
    before = machine()
    seconds, rounds = (0.5, 1) if options.quick else (options.seconds, options.rounds)
    load_seconds = 1.0 if options.quick else options.load_seconds
    with contextlib.ExitStack() as stack:
        where = "loopback"
        if not why_not():
            network = stack.enter_context(Network())
            one, other = network.machine("one"), network.machine("other")
            os.environ |= Wire(one.holder.pid, other.holder.pid, one.address).env
            where = "two network namespaces on a bridge"
        tables = [
            *_hops(rounds, seconds), "",
            *_throughputs(rounds, seconds), "",
            *_load(load_seconds),
        ]  # fmt: skip
    text = "\n".join(tables) + "\n"
    print(text)
    if not options.quick:
        head = f"# From one host to another ({time.strftime('%Y-%m-%d')})\n\n{before}"
        head += f"- {rounds} rounds of {seconds:g} s, interleaved; {where}, TLS\n\n"
        path = Path(__file__).parent / "results" / "relay.md"
        path.write_text(head + text, encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

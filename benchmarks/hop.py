"""One hop between two processes: our ring beside a pipe, ZeroMQ and LSL, in the same run.

``python benchmarks/hop.py`` prints a table and writes it to ``benchmarks/results``. The transports
take turns, round after round, so that a busy moment of the machine hits all of them alike.

* latency: chunks of 30 samples × 32 channels of float32 (3,840 bytes) at 1 kHz, from the
  producer's clock to the consumer's (CLOCK_MONOTONIC in both).
* throughput: chunks of 1 MiB as fast as the consumer takes them, beside a plain copy.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.streams import Signal, StreamInfo
from rigmesh.transports import ShmTransport, process_token, sweep
from rigmesh.transports.lslconfig import lsl_config

Array = npt.NDArray[np.float32]

RATE = 1000.0
SMALL, LARGE = (30, 32), (256, 1024)
RING_CHUNKS = 32
WARM_UP = 100


@dataclass
class Meeting:
    """How producer and consumer of one round find each other."""

    mode: str
    seconds: float
    token: str
    folder: str
    names: Connection
    sent: int = 0
    cpu: float = 0.0
    """Seconds the producer computed while it sent; not what it took to set up."""

    @property
    def shape(self) -> tuple[int, int]:
        return SMALL if self.mode == "latency" else LARGE


@dataclass
class Round:
    """What one round measured."""

    latencies: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    cpu: float = 0.0

    def add(self, other: Round) -> None:
        """Take another round in, without the chunks in which it was warming up."""
        self.latencies += other.latencies[WARM_UP:]
        self.seconds, self.cpu = self.seconds + other.seconds, self.cpu + other.cpu
        self.sent, self.received = self.sent + other.sent, self.received + other.received


def chunks(meeting: Meeting) -> Iterator[Array]:
    """Yield stamped chunks at their times, or without pause."""
    array = np.zeros(meeting.shape, np.float32)
    head = array.reshape(-1)[:4].view(np.int64)
    start = time.monotonic_ns()
    end = start + int(meeting.seconds * 1e9)
    number, cpu = 0, time.process_time()
    while True:
        if meeting.mode == "latency":
            while (rest := start + int(number * 1e9 / RATE) - time.monotonic_ns()) > 0:
                time.sleep(rest / 1e9)
        now = time.monotonic_ns()
        if now >= end:
            meeting.sent, meeting.cpu = number, time.process_time() - cpu
            return
        head[0], head[1] = now, number
        number += 1
        yield array


class Taker:
    """Counts what the consumer gets, from the first chunk to the last, not what comes after."""

    def __init__(self) -> None:
        self.round = Round()
        self._begin = 0
        self._cpu = 0.0

    def take(self, data: Any) -> None:
        now, cpu = time.monotonic_ns(), time.process_time()
        one = self.round
        if one.received:
            one.megabytes += data.nbytes / 1e6
        else:
            self._begin, self._cpu = now, cpu
        one.latencies.append((now - int(data.reshape(-1)[:2].view(np.int64)[0])) / 1e3)
        one.received += 1
        one.seconds, one.cpu = (now - self._begin) / 1e9, cpu - self._cpu


def ring_producer(meeting: Meeting) -> None:
    transport = ShmTransport(meeting.token)
    n, width = meeting.shape
    info = StreamInfo.signal("bench", channels=width, sampling_rate=n * RATE, dtype="float32")
    writer = transport.writer(info, n * RING_CHUNKS, blocking=meeting.mode != "latency")
    meeting.names.send(writer.segment.name)
    meeting.names.recv()
    stamps = np.arange(float(n))
    for array in chunks(meeting):
        writer.send(Signal(array, stamps))
    writer.end()
    meeting.names.recv()
    writer.close()


def ring_consumer(meeting: Meeting, *, zero_copy: bool = False) -> Round:
    transport = ShmTransport(meeting.token)
    name = meeting.names.recv()
    taker = Taker()
    with transport.bell() as bell:
        reader = transport.reader(name, bell, start="oldest", lossless=True)
        meeting.names.send("attached")
        n = meeting.shape[0]
        while not reader.is_finished:
            if reader.ring.written - reader.position < n:
                bell.wait(0.2)
            elif zero_copy:
                taker.take(reader.window(reader.position, reader.position + n).data)
                reader.move_on(reader.position + n)
            elif (chunk := reader.receive(n)) is not None:
                taker.take(chunk.data)
                reader.release()
        reader.close()
    meeting.names.send("done")
    return taker.round


def pipe_producer(meeting: Meeting) -> None:
    meeting.names.recv()
    for array in chunks(meeting):
        meeting.names.send_bytes(array.data)
    meeting.names.send_bytes(b"")


def pipe_consumer(meeting: Meeting) -> Round:
    taker = Taker()
    buffer = np.empty(meeting.shape, np.float32)
    view = buffer.data.cast("B")
    meeting.names.send("ready")
    while True:
        if not meeting.names.recv_bytes_into(view):
            return taker.round
        taker.take(buffer)


def zmq_producer(meeting: Meeting) -> None:
    import zmq

    context = zmq.Context()
    is_small = meeting.mode == "latency"
    out = context.socket(zmq.PUB if is_small else zmq.PUSH)
    out.set_hwm(RING_CHUNKS)
    out.bind(f"ipc://{meeting.folder}/zmq")
    meeting.names.send("bound")
    meeting.names.recv()
    time.sleep(0.3)  # a subscription is not acknowledged
    for array in chunks(meeting):
        if is_small:
            out.send(array.data)
        else:  # faster for large chunks; what zmq does not copy needs memory of its own
            out.send(array.copy().data, copy=False)
    time.sleep(0.1)
    out.send(b"")
    out.close(linger=2000)
    context.term()


def zmq_consumer(meeting: Meeting) -> Round:
    import zmq

    context = zmq.Context()
    into = context.socket(zmq.SUB if meeting.mode == "latency" else zmq.PULL)
    into.set_hwm(RING_CHUNKS)
    if meeting.mode == "latency":
        into.subscribe(b"")
    meeting.names.recv()
    into.connect(f"ipc://{meeting.folder}/zmq")
    meeting.names.send("connected")
    taker = Taker()
    while True:
        frame = into.recv(copy=False)
        if not len(frame.buffer):
            break
        taker.take(np.frombuffer(frame.buffer, np.float32))
    into.close()
    context.term()
    return taker.round


def lsl_producer(meeting: Meeting) -> None:
    import pylsl

    n, width = meeting.shape
    flags = pylsl.transp_sync_blocking if meeting.mode != "latency" else 0
    info = pylsl.StreamInfo("bench", "x", width, n * RATE, "float32", meeting.folder)
    outlet = pylsl.StreamOutlet(info, chunk_size=n, transport_flags=flags)
    meeting.names.send("up")
    outlet.wait_for_consumers(20)
    meeting.names.recv()
    for array in chunks(meeting):
        outlet.push_chunk(array, pylsl.local_clock())
    meeting.names.send("over")
    meeting.names.recv()


def lsl_consumer(meeting: Meeting) -> Round:
    import pylsl

    meeting.names.recv()
    (found,) = pylsl.resolve_byprop("source_id", meeting.folder, timeout=20)
    inlet = pylsl.StreamInlet(found, max_buflen=60)
    inlet.open_stream(10)
    meeting.names.send("open")
    n, width = meeting.shape
    buffer, filled = np.empty((n, width), np.float32), 0
    taker, is_over = Taker(), False
    while True:
        data, stamps = inlet.pull_chunk(0.2, n - filled, min_samples=1, as_numpy=True)
        if not len(stamps):
            if is_over:
                break
            is_over = meeting.names.poll()
            continue
        # LSL may hand a chunk over in parts.
        buffer[filled : filled + len(stamps)] = data
        filled = (filled + len(stamps)) % n
        if not filled:
            taker.take(buffer)
    meeting.names.send("done")
    inlet.close_stream()
    return taker.round


Producer = Callable[[Meeting], None]
Consumer = Callable[[Meeting], Round]
RING = "rigmesh ring"
PIPE = "multiprocessing pipe"
VIEW = "rigmesh ring, views"
PEERS: dict[str, tuple[Producer, Consumer]] = {
    RING: (ring_producer, ring_consumer),
    PIPE: (pipe_producer, pipe_consumer),
    "pyzmq": (zmq_producer, zmq_consumer),
    "pylsl": (lsl_producer, lsl_consumer),
}
WITH_VIEWS: dict[str, tuple[Producer, Consumer]] = {
    **PEERS,
    VIEW: (ring_producer, partial(ring_consumer, zero_copy=True)),
}


def _produce(producer: Producer, meeting: Meeting, answers: Any) -> None:
    producer(meeting)
    answers.put(("sent", (meeting.sent, meeting.cpu)))


def _consume(consumer: Consumer, meeting: Meeting, answers: Any) -> None:
    answers.put(("round", consumer(meeting)))


def one_round(peer: tuple[Producer, Consumer], mode: str, seconds: float) -> Round:
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        config = Path(folder) / "lsl_api.cfg"
        config.write_text(lsl_config(f"bench-{os.getpid()}", loopback_only=True), encoding="utf-8")
        os.environ["LSLAPICFG"] = str(config)
        answers = context.Queue()
        common = (mode, seconds, process_token(), folder)
        processes = [
            context.Process(target=_produce, args=(peer[0], Meeting(*common, here), answers)),
            context.Process(target=_consume, args=(peer[1], Meeting(*common, there), answers)),
        ]
        try:
            for process in processes:
                process.start()
            got = dict(answers.get(timeout=30 + 2 * seconds) for _ in processes)
            for process in processes:
                process.join(10)
        finally:
            for process in processes:  # one whose partner failed would wait for ever
                process.kill()
                process.join()
            sweep(session=process_token())
            here.close()
            there.close()
    result: Round = got["round"]
    result.sent, cpu = got["sent"]
    result.cpu += cpu
    return result


def copy_rate(seconds: float) -> float:
    """Return the MB/s of copying 1 MiB chunks one after the other into memory of a ring's size."""
    source = np.ones(LARGE, np.float32)
    ring = np.zeros((RING_CHUNKS, *LARGE), np.float32)
    begin, n = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        for place in ring:
            np.copyto(place, source)
        n += RING_CHUNKS
    return n * source.nbytes / 1e6 / (time.monotonic() - begin)


def machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = cpu.partition("model name")[2].partition("\n")[0].strip("\t :")
    packages = ("rigmesh", "numpy", "pyzmq", "pylsl", "posix_ipc")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"- {model}; {os.cpu_count()} cores; Linux {platform.release()}\n"
        f"- Python {platform.python_version()}; {versions}\n"
        f"- load average before: {os.getloadavg()[0]:.1f}\n"
    )


def measure(seconds: float, rounds: int) -> tuple[dict[str, Round], dict[str, list[float]]]:
    """Run all transports in turn; return latencies in all, and MB/s of each round."""
    latency = {name: Round() for name in PEERS}
    rates: dict[str, list[float]] = {name: [] for name in ("copy", *WITH_VIEWS)}
    for number in range(rounds):
        for name, peer in PEERS.items():
            print(f"round {number + 1}/{rounds}: latency, {name}", flush=True)
            latency[name].add(one_round(peer, "latency", seconds))
        rates["copy"].append(copy_rate(seconds / 2))
        for name, peer in WITH_VIEWS.items():
            print(f"round {number + 1}/{rounds}: throughput, {name}", flush=True)
            one = one_round(peer, "throughput", seconds)
            rates[name].append(one.megabytes / one.seconds)
    return latency, rates


def report(latency: dict[str, Round], rates: dict[str, list[float]]) -> str:
    pipe, copy = np.median(latency[PIPE].latencies), statistics.median(rates["copy"])
    lines = ["## Hop latency, 30 × 32 float32 at 1 kHz", ""]
    lines += ["| transport | p50 µs | p99 µs | p99.9 µs | p50 / pipe | lost | CPU of both |"]
    lines += ["|---|" + 6 * "---:|"]
    for name, one in latency.items():
        p50, p99, p999 = np.percentile(one.latencies, (50, 99, 99.9))
        lines.append(
            f"| {name} | {p50:.0f} | {p99:.0f} | {p999:.0f} | {p50 / pipe:.2f} | "
            f"{one.sent - one.received} | {100 * one.cpu / one.seconds:.0f} % |"
        )
    lines += ["", "## Throughput, 1 MiB chunks", ""]
    lines += ["| transport | MB/s | of a copy |", "|---|---:|---:|"]
    for name, found in rates.items():
        rate = statistics.median(found)
        label = f"copy within a process ({RING_CHUNKS} MiB in turn)" if name == "copy" else name
        lines.append(f"| {label} | {rate:,.0f} | {rate / copy:.0%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="how often all take their turn")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    parser.add_argument("--name", default="hop", help="name of the file in benchmarks/results")
    options = parser.parse_args()
    before = machine()
    seconds, rounds = (0.5, 1) if options.quick else (options.seconds, options.rounds)
    text = report(*measure(seconds, rounds))
    print(text)
    if not options.quick:
        head = f"# One hop between two processes ({time.strftime('%Y-%m-%d')})\n\n"
        head += before + f"- {rounds} rounds of {seconds:g} s, interleaved\n\n"
        path = Path(__file__).parent / "results" / f"{options.name}.md"
        path.write_text(head + text, encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

"""Filters: what numba's kernels give, and what is left of it in nodes, in the same run.

``python -m benchmarks.filters`` prints tables and writes them to ``benchmarks/results``. All ways
take turns, round after round; what is told is the median over the rounds.

* pipeline: 1024 channels × 30 kHz of int16, band-pass of order 4 from 300 to 6000 Hz, crossings of
  a level on all channels. The bare loop calls the compiled cascade and the finder of
  ``detectors.LevelCrossing`` with arrays that are there already; the nodes are a source,
  ``filters.BandPass`` and ``detectors.LevelCrossing`` in one lane, without a daemon.
* calls: ``process`` of a node on the smallest chunks, beside the one multiplication in numpy.
* filters: one call on 30 samples of 1024 channels, beside scipy with its state.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.hop import machine
from scipy.signal import butter, firwin, lfilter, sosfilt

from rigmesh.node import InputLink, Node, NodeRunner, Output, link_nodes, param
from rigmesh.node.lane import Lane
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes._detect_levels import LevelCrossings
from rigmesh_nodes._kernels import aligned_zeros, like
from rigmesh_nodes._sos import LANES, cascade
from rigmesh_nodes.detectors import LevelCrossing
from rigmesh_nodes.filters import FIR, BandPass, Biquads, FirFilter, SosFilter

Array = npt.NDArray[Any]

RATE, N_CHANNELS = 30_000.0, 1024
LEVEL = 1000.0
SOS = np.asarray(butter(4, (300, 6000), "bandpass", fs=RATE, output="sos"))
TAPS = firwin(101, 0.2)
INFO = StreamInfo.signal("flood.signal", channels=N_CHANNELS, sampling_rate=RATE, dtype="int16")
BARE, NODES, SCIPY = "bare loop, numba", "rigmesh nodes", "loop, scipy sosfilt"


class Flood(Node):
    """Gives the same second of samples again, as fast as they are taken."""

    signal = Output(Signal)
    n: int = param(default=30, doc="Samples a chunk.")
    seconds = 0.0

    def feed(self, recording: Array, stamps: Array) -> None:
        self._chunks = pieces(recording, stamps, self.n)

    def prepare(self) -> None:
        self.signal.announce(INFO)

    def acquire(self) -> Iterator[Signal]:
        begin = time.perf_counter()
        for data, times in self._chunks:
            yield Signal(data, times)
        self.seconds = time.perf_counter() - begin


def pieces(recording: Array, stamps: Array, n: int) -> list[tuple[Array, Array]]:
    starts = range(0, len(recording), n)
    return [(recording[at : at + n], stamps[at : at + n]) for at in starts]


def finder(dtype: str) -> LevelCrossings:
    found = LevelCrossings(N_CHANNELS, dtype)
    found.set(LEVEL, "rising", n_across=1, refractory=0.0)
    return found


def bare_loop(recording: Array, stamps: Array, n: int) -> float:
    sections = np.ascontiguousarray(SOS[:, [0, 1, 2, 4, 5]], dtype=np.float32)
    memory = aligned_zeros((N_CHANNELS // LANES, 2 * len(SOS) + 1, LANES), "float32")
    filtered, crossings = np.empty((n, N_CHANNELS), np.float32), finder("float32")
    run = cascade.compiled(sections, memory, like("int16", 2, is_read_only=True), filtered, False)
    if run is None:
        raise RuntimeError("this benchmark needs numba")
    chunks, n_found = pieces(recording, stamps, n), 0
    begin = time.perf_counter()
    for data, times in chunks:
        run(sections, memory, data, filtered, False)
        n_found += len(crossings.find(filtered, times))
    return time.perf_counter() - begin


def scipy_loop(recording: Array, stamps: Array, n: int) -> float:
    state, crossings = np.zeros((len(SOS), 2, N_CHANNELS)), finder("float64")
    chunks, n_found = pieces(recording, stamps, n), 0
    begin = time.perf_counter()
    for data, times in chunks:
        filtered, state = sosfilt(SOS, data, axis=0, zi=state)
        n_found += len(crossings.find(filtered, times))
    return time.perf_counter() - begin


def nodes(recording: Array, stamps: Array, n: int) -> float:
    flood = Flood(n=n)
    flood.feed(recording, stamps)
    made = {
        "flood": flood,
        "band": BandPass(low=300, high=6000),
        "events": LevelCrossing(level=LEVEL),
    }
    lane = Lane()
    runners = {name: NodeRunner(node, name) for name, node in made.items()}
    for runner in runners.values():
        runner.join(lane)
    link_nodes(runners["flood"], "signal", runners["band"], "signal")
    link_nodes(runners["band"], "filtered", runners["events"], "signal")
    for runner in runners.values():
        runner.open()
    for runner in reversed(runners.values()):
        runner.start()
    while not flood.seconds:
        time.sleep(0.01)
    for runner in runners.values():
        runner.finish(timeout=10)
    return flood.seconds


def in_a_thread(
    loop: Callable[[Array, Array, int], float], recording: Array, stamps: Array, n: int
) -> float:
    """Run a loop as a source runs: a new thread begins on a core of the scheduler's choice."""
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(loop(recording, stamps, n)))
    thread.start()
    thread.join()
    return found[0]


WAYS: dict[str, Callable[[Array, Array, int], float]] = {
    BARE: partial(in_a_thread, bare_loop),
    NODES: nodes,
    SCIPY: partial(in_a_thread, scipy_loop),
}


def pipelines(seconds: float, rounds: int) -> list[str]:
    n_samples = int(seconds * RATE / 300) * 300
    rng = np.random.default_rng(0)
    recording = (300 * rng.standard_normal((n_samples, N_CHANNELS), np.float32)).astype(np.int16)
    recording.flags.writeable = False
    stamps = np.arange(n_samples) / RATE
    for way in WAYS.values():  # compile
        way(recording[:600], stamps[:600], 30)
    factors: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for n in (30, 300):
            for name, way in WAYS.items():
                took = way(recording, stamps, n)
                factors.setdefault((name, n), []).append(n_samples / RATE / took)
    lines = ["| way | 1 ms chunks | of bare | 10 ms chunks | of bare |", "|---|" + 4 * "---:|"]
    middle = {key: statistics.median(found) for key, found in factors.items()}
    for name in WAYS:
        cells = [f"{middle[name, n]:.1f} | {middle[name, n] / middle[BARE, n]:.2f}"
                 for n in (30, 300)]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def ready(node: Node, dtype: str, n_channels: int) -> Callable[[Signal], Signal]:
    info = StreamInfo.signal("in", channels=n_channels, sampling_rate=RATE, dtype=dtype)
    node.port("signal").links.append(InputLink("in", info=info))
    node.prepare()
    process: Callable[[Signal], Signal] = node.process  # type: ignore[attr-defined]
    return process


def multiply(chunk: Signal) -> Signal:
    return chunk.with_data(chunk.data * 0.99)


def calls(rounds: int) -> list[str]:
    cases: dict[tuple[str, int], tuple[Callable[[Signal], Signal], Signal]] = {}
    widths = (4, 24, 32, 128)
    for width in widths:
        chunk = Signal(np.ones((6, width), np.float32), np.arange(6.0))
        three = SOS[:3].tolist()
        for name, process in {
            "`chunk.with_data(chunk.data * 0.99)`": multiply,
            "`FIR(coefficients=[0.99])`": ready(FIR(coefficients=[0.99]), "float32", width),
            "`FIR`, 9 coefficients": ready(FIR(coefficients=[0.1] * 9), "float32", width),
            "`Biquads`, 3 sections": ready(Biquads(sos=three), "float32", width),
        }.items():
            cases[name, width] = process, chunk
    found = in_turn(
        {key: partial(process, chunk) for key, (process, chunk) in cases.items()}, rounds, 2000
    )
    lines = ["| node | " + " | ".join(f"{width} channels" for width in widths) + " |"]
    lines += ["|---|" + len(widths) * "---:|"]
    for name in dict.fromkeys(name for name, _ in cases):
        lines.append(f"| {name} | " + " | ".join(f"{found[name, w]:.2f}" for w in widths) + " |")
    return lines


def in_turn(
    ways: Mapping[Any, Callable[[], object]], rounds: int, repetitions: int
) -> dict[Any, float]:
    """Return the median time of each, in µs."""
    found: dict[Any, list[float]] = {key: [] for key in ways}
    for _ in range(rounds):
        for key, way in ways.items():
            way()
            begin = time.perf_counter()
            for _ in range(repetitions):
                way()
            found[key].append((time.perf_counter() - begin) / repetitions * 1e6)
    return {key: statistics.median(values) for key, values in found.items()}


def kernels(rounds: int) -> list[str]:
    whole = (300 * np.random.default_rng(0).standard_normal((30, N_CHANNELS))).astype(np.int16)
    single, double = whole.astype(np.float32), whole.astype(np.float64)
    state, past = np.zeros((len(SOS), 2, N_CHANNELS)), np.zeros((len(TAPS) - 1, N_CHANNELS))

    def sections(given: str, kind: str) -> SosFilter:
        return SosFilter(SOS, N_CHANNELS, given=given, result=kind, arithmetic=kind)

    fallback = SosFilter(SOS, N_CHANNELS, is_compiled=False)
    sums = FirFilter(TAPS, N_CHANNELS, given="float32", result="float32")
    scipys, ours = "scipy `sosfilt`, 4 sections", "`SosFilter`, 4 sections"
    scipys_sums, our_sums = "scipy `lfilter`, 101 coefficients", "`FirFilter`, 101 coefficients"
    cases: list[tuple[str, str, Callable[[Array], object], Array]] = [
        (scipys, "float64", lambda x: sosfilt(SOS, x, axis=0, zi=state), double),
        (ours, "int16 → float32", sections("int16", "float32"), whole),
        (ours, "float32", sections("float32", "float32"), single),
        (ours, "float64", sections("float64", "float64"), double),
        (ours, "float64, without numba", fallback, double),
        (scipys_sums, "float64", lambda x: lfilter(TAPS, [1.0], x, axis=0, zi=past), double),
        (our_sums, "float32", sums, single),
        (our_sums, "float64", FirFilter(TAPS, N_CHANNELS), double),
    ]
    ways = {(name, numbers): partial(run, data) for name, numbers, run, data in cases}
    lines = ["| filter | numbers | µs | × real time |", "|---|---|---:|---:|"]
    for (name, numbers), micros in in_turn(ways, 3 * rounds, 10).items():
        lines.append(f"| {name} | {numbers} | {micros:.0f} | {1000 / micros:.1f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of the recording")
    parser.add_argument("--rounds", type=int, default=7, help="how often all take their turn")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    options = parser.parse_args()
    before = machine()
    seconds, rounds = (0.1, 1) if options.quick else (options.seconds, options.rounds)
    lines = ["## Band-pass and crossings of 1024 channels × 30 kHz of int16, × real time", ""]
    lines += pipelines(seconds, rounds)
    lines += ["", "## A call on 6 samples of float32, in µs", "", *calls(rounds)]
    lines += ["", "## Filters on 30 samples × 1024 channels", "", *kernels(rounds)]
    text = "\n".join(lines) + "\n"
    print(text)
    if not options.quick:
        head = f"# Filters ({time.strftime('%Y-%m-%d')})\n\n{before}"
        head += f"- numba {version('numba')}, scipy {version('scipy')}\n"
        head += f"- {rounds} rounds, interleaved; medians\n\n"
        path = Path(__file__).parent / "results" / "filters.md"
        path.write_text(head + text, encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

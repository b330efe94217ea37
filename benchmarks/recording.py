"""Recordings: what the recorder takes while it runs, and how fast a file is made and browsed.

``python -m benchmarks.recording`` prints tables and writes them to ``benchmarks/results``.

* live: 384 and 1024 channels × 30 kHz of int16 through a daemon into ``record.HDF5Recorder``.
* capture: the recorder's core as fast as it takes samples, beside a bare writer that puts the same
  blocks into one file and syncs it as often; both take turns.
* sealing: from the capture to the file that was read back and compared.
* chunks: how fast other shapes of chunks are written, and read by h5py.
* browsing: envelopes of 1000 pixels and all channels.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import psutil
from benchmarks.hop import machine

from rigmesh.client import Manager
from rigmesh.recording import Capture, open_recording, read_info, seal
from rigmesh.recording._hdf5_chunks import ChunkedWriter
from rigmesh.recording.pyramid import PyramidFiles
from rigmesh.streams import Signal, StreamInfo

Array = npt.NDArray[Any]

RATE = 30_000
SMALL, LARGE = 384, 1024
PER_CHUNK = 300
COMMIT_INTERVAL = 0.25
MB = 1e6


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def info_of(n_channels: int) -> StreamInfo:
    return StreamInfo.signal(
        "amp.signal", channels=n_channels, sampling_rate=RATE, dtype="int16", unit="uV"
    )


def brain(n_channels: int) -> Array:
    """Make a second: 10 µV of noise, slow waves in all channels and spikes, 0.195 µV a bit."""
    random = np.random.default_rng(7)
    data = random.standard_normal((RATE, n_channels), np.float32) * 10
    slow = np.fft.rfftfreq(RATE, 1 / RATE)
    spectrum = np.where((slow > 0.5) & (slow < 300), 1 / np.maximum(slow, 0.5), 0)
    phases = np.exp(2j * np.pi * random.random((4, len(slow))))
    waves = np.fft.irfft(spectrum * phases, RATE).T
    data += (150 * waves / waves.std()) @ (0.6 * random.random((4, n_channels)))
    spike = -80 * np.exp(-2 * np.linspace(-1, 3, 40) ** 2)
    for channel in range(n_channels):
        for at in random.integers(0, RATE - 40, 20):
            data[at : at + 40, channel] += spike
    return np.round(data / 0.195).astype(np.int16)


# --- live --------------------------------------------------------------------------------------


class Watch:
    """Memory and CPU of a process, looked at now and then."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._status = Path(f"/proc/{pid}/status")
        self.peaks = dict.fromkeys(("VmHWM", "RssAnon", "RssFile", "RssShmem"), 0)
        self.cpu: list[tuple[float, float]] = []

    def look(self) -> None:
        try:
            lines = self._status.read_text(encoding="utf-8").splitlines()
            times = self._process.cpu_times()
        except (OSError, psutil.Error):
            return
        for line in lines:
            name, _, value = line.partition(":")
            if name in self.peaks:
                self.peaks[name] = max(self.peaks[name], int(value.split()[0]) * 1024)
        self.cpu.append((time.monotonic(), times.user + times.system))

    def share(self, begin: float, end: float) -> float:
        """Return how much of a core it took from `begin` to `end`."""
        seen = [(at, cpu) for at, cpu in self.cpu if begin <= at <= end]
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def live(n_channels: int, seconds: float, folder: Path) -> str:
    say(f"live: {n_channels} channels for {seconds:g} s")
    path, rate = folder / "live.h5", n_channels * 2 * RATE / MB
    with Manager(private=True) as manager:
        source = manager.create_node(
            "sim.Oscillators", name="amp", host=manager.create_nodegroup("amp"), noise=0,
            n_channels=n_channels, sampling_rate=RATE, dtype="int16", sample_number=True,
            n_samples=int(seconds * RATE),
        )  # fmt: skip
        recorder = manager.create_node(
            "record.HDF5Recorder", name="rec", host=manager.create_nodegroup("rec"), path=str(path)
        )
        recorder.input.connect(source.output)
        manager.start_all()
        begin = time.monotonic()
        pid = next(p.pid for p in manager.status().processes if p.name.endswith(".record"))
        watch = Watch(pid)
        lost = 0
        while recorder.state not in ("stopped", "failed"):
            watch.look()
            counters = manager.status().reader_counters
            lost = max([lost, *(sum(c.lost.values()) for c in counters)])
            time.sleep(0.25)
        ended = time.monotonic() - begin - seconds
        manager.stop_all()
    found = read_info(path)
    n = found.streams[0].n_samples
    path.unlink()
    share = watch.share(begin + 0.2 * seconds, begin + 0.95 * seconds)
    peaks = [watch.peaks[name] / MB for name in ("VmHWM", "RssAnon", "RssFile", "RssShmem")]
    return (
        f"| {n_channels} | {rate:.0f} | {seconds:g} | {n - int(seconds * RATE)} + {lost} | "
        f"{found.verdict} | {share:.0%} | {1e3 * share / rate:.2f} | {peaks[0]:.0f} "
        f"({peaks[1]:.0f} + {peaks[2]:.0f} + {peaks[3]:.0f}) | {ended:.1f} |"
    )


# --- capture beside a bare writer --------------------------------------------------------------


class Bare:
    """Writes what is captured into one file, as ``dd`` would."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT)

    def append(self, chunk: Signal) -> None:
        os.write(self._fd, chunk.data.data)
        os.write(self._fd, chunk.raw_timestamps.data)

    def commit(self) -> None:
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def captured(folder: Path) -> Capture:
    return Capture.create(folder / "bench.h5", "bench", {})


WRITERS: dict[str, Callable[[Path], Bare | Capture]] = {"bare writer": Bare, "capture": captured}


def fill(writer: Bare | Capture, second: Array, n: int) -> tuple[float, float]:
    """Write `n` chunks; return the MB/s, and the CPU in ms for each MB."""
    info = info_of(second.shape[1])
    stamps = np.arange(PER_CHUNK) / RATE
    begin = due = cpu = size = 0.0
    for number in range(n + 1):
        block = second[number * PER_CHUNK % RATE :][:PER_CHUNK]
        writer.append(Signal(block, stamps, index=number * PER_CHUNK, info=info))
        size += (block.nbytes + stamps.nbytes) / MB
        if time.monotonic() > due or number == n:
            writer.commit()  # the pyramid follows at 64 MB a commit, which is what 256 MB/s give
            due = time.monotonic() + COMMIT_INTERVAL
        if number == 0:  # the files are there now
            begin, cpu, size = time.perf_counter(), time.process_time(), 0.0
    return size / (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu) / size


def bins(folder: Path, n_channels: int) -> tuple[float, float]:
    """Make the bins of what was captured anew; return the same as :func:`fill`."""
    files = folder / "bench.h5.capture" / "streams" / "amp.signal"
    rows = (files / "0.dat").stat().st_size // (2 * n_channels)
    for path in files.glob("0.minmax*"):
        path.unlink()
    begin, cpu, size = time.perf_counter(), time.process_time(), rows * n_channels * 2 / MB
    made = PyramidFiles(lambda ending: files / f"0.{ending}", info_of(n_channels), 0)
    for stop in range(0, rows, int(COMMIT_INTERVAL * RATE)):
        made.extend(stop)
    return size / (time.perf_counter() - begin), 1e3 * (time.process_time() - cpu) / size


def captures(megabytes: float, rounds: int, folder: Path) -> Iterator[str]:
    yield "| channels | writer | MB/s | of bare | CPU ms/MB | of bare |"
    yield "|---|---|" + 4 * "---:|"
    names = [*WRITERS, "its pyramid alone"]
    for n_channels in (SMALL, LARGE):
        second = brain(n_channels)
        n = int(megabytes * MB / (PER_CHUNK * n_channels * 2))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for number in range(rounds):
            say(f"capture: {n_channels} channels, round {number + 1}/{rounds}")
            for name, make in WRITERS.items():
                with tempfile.TemporaryDirectory(dir=folder) as where:
                    writer = make(Path(where))
                    found[name].append(fill(writer, second, n))
                    writer.close()
                    if name == "capture":
                        found[names[-1]].append(bins(Path(where), n_channels))
        for name in names:
            speed, cost = map(statistics.median, zip(*found[name], strict=True))
            pairs = list(zip(found[name], found["bare writer"], strict=True))
            faster = statistics.median(one[0] / other[0] for one, other in pairs)
            dearer = statistics.median(one[1] / other[1] for one, other in pairs)
            cells = f"{speed:.0f} | {faster:.0%} | {cost:.2f} | {dearer:.2f}"
            yield f"| {n_channels} | {name} | {cells} |"


# --- sealing -----------------------------------------------------------------------------------


def make_capture(path: Path, second: Array, seconds: float, compression: str) -> Capture:
    capture = Capture.create(path, "bench", {}, "hdf5", {"compression": compression})
    info, n = info_of(second.shape[1]), int(seconds * RATE)
    for at in range(0, n, PER_CHUNK):
        block = second[at % RATE : at % RATE + PER_CHUNK]
        stamps = np.arange(at, at + PER_CHUNK) / RATE
        capture.append(Signal(block, stamps, index=at, info=info))
        if at % (10 * PER_CHUNK) == 0:
            capture.commit()
    capture.finish()
    return capture


def sealings(seconds: float, rounds: int, folder: Path) -> Iterator[str]:
    yield "| channels | compression | MB/s | CPU ms/MB | cores it got | size |"
    yield "|---|---|" + 4 * "---:|"
    for n_channels in (SMALL, LARGE):
        second, span = brain(n_channels), seconds * SMALL / n_channels
        modes = ("none", "auto", "deflate")
        took, sizes = {mode: list[tuple[float, float]]() for mode in modes}, {}
        for number in range(rounds):
            say(f"sealing: {n_channels} channels, round {number + 1}/{rounds}")
            for mode in modes:
                capture = make_capture(folder / "sealed.h5", second, span, mode)
                size = span * RATE * n_channels * 2 / MB
                begin, cpu = time.perf_counter(), time.process_time()
                path = seal(capture)
                wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
                took[mode].append((wall / size, cpu / size))
                sizes[mode] = path.stat().st_size / MB / size
                path.unlink()
        for mode in modes:
            spent, computed = map(statistics.median, zip(*took[mode], strict=True))
            cells = f"{1 / spent:.0f} | {1e3 * computed:.2f} | {computed / spent:.1f}"
            yield f"| {n_channels} | {mode} | {cells} | {sizes[mode]:.0%} |"


# --- chunks ------------------------------------------------------------------------------------

SHAPES = {
    32: [(8192, 32), (300, 32), (4096, 32), (32768, 16), (65536, 32)],
    SMALL: [(4096, 64), (682, 384), (300, 384), (8192, 64), (16384, 32), (65536, 64)],
    LARGE: [(4096, 64), (256, 1024), (300, 1024), (8192, 64), (16384, 32), (65536, 64)],
}


def written(path: Path, second: Array, n: int, chunks: tuple[int, int], compression: str) -> float:
    begin = time.perf_counter()
    with h5py.File(path, "w", libver=("v108", "v110")) as file, ThreadPoolExecutor(2) as pool:
        shape = (n, second.shape[1])
        writer = ChunkedWriter(file, "x", shape, second.dtype, chunks, compression, pool)
        for at in range(0, n, RATE):
            writer.append(second[: min(RATE, n - at)])
        writer.finish()
    took = time.perf_counter() - begin
    return n * 2 * len(second[0]) / MB / took


def read_ms(path: Path, wanted: list[tuple[slice, slice]]) -> float:
    took = []
    for part in wanted:
        with h5py.File(path) as file:
            begin = time.perf_counter()
            file["x"][part]
            took.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(took)


def shapes(megabytes: float, folder: Path) -> Iterator[str]:
    yield (
        "| channels | chunk | compression | write, MB/s | 10 s of one channel, ms "
        "| 1 s of all, ms | 0.1 s of all, ms |"
    )
    yield "|---|---|---|" + 4 * "---:|"
    path = folder / "shapes.h5"
    for n_channels, candidates in SHAPES.items():
        second = brain(n_channels)
        n = int(megabytes * MB / 2 / n_channels)
        for compression in ("none", "deflate"):
            for chunks in candidates:
                say(f"chunks: {n_channels} channels, {chunks}, {compression}")
                chunks = min(n, chunks[0]), chunks[1]
                speed = written(path, second, n, chunks, compression)
                thirds = range(n // 7, n - RATE, n // 3)
                one = [(slice(n), slice(c, c + 1)) for c in (3, 17, 29)]
                long = [(slice(at, at + RATE), slice(None)) for at in thirds]
                short = [(slice(at, at + RATE // 10), slice(None)) for at in thirds]
                times = [read_ms(path, one) * 10 * RATE / n, read_ms(path, long),
                         read_ms(path, short)]  # fmt: skip
                cells = " | ".join(f"{ms:.1f}" for ms in times)
                name = f"{chunks[0]} × {chunks[1]}"
                yield f"| {n_channels} | {name} | {compression} | {speed:.0f} | {cells} |"
    path.unlink()


# --- browsing ----------------------------------------------------------------------------------


def browsing(seconds: float, folder: Path) -> Iterator[str]:
    spans = [span for span in (0.1, 1, 2, 10, 60) if span <= seconds]
    yield f"| {SMALL} channels | " + " | ".join(f"{span:g} s, ms" for span in spans) + " |"
    yield "|---|" + len(spans) * "---:|"
    second = brain(SMALL)
    for mode in ("none", "deflate"):
        capture = make_capture(folder / "browsed.h5", second, seconds, mode)
        if mode == "none":
            yield _envelopes("capture", capture.folder, spans)
        path = seal(capture)
        yield _envelopes(f"file, {mode}", path, spans)
        path.unlink()


def _envelopes(what: str, path: Path, spans: list[float]) -> str:
    cells = []
    with open_recording(path) as recording:
        stream = recording.streams["amp.signal"]
        for span in spans:
            took = []
            for start in (0, 12_345, 54_321):
                start = min(start, len(stream) - int(span * RATE))
                begin = time.perf_counter()
                stream.envelope(start, start + int(span * RATE), 1000)
                took.append(1e3 * (time.perf_counter() - begin))
            cells.append(f"{statistics.median(took):.0f}")
    return f"| {what} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.recording", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a live recording")
    parser.add_argument("--rounds", type=int, default=5, help="how often writers take their turn")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to be measured")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    options = parser.parse_args()
    before, quick = machine(), options.quick
    seconds, rounds = (5.0, 1) if quick else (options.seconds, options.rounds)
    where = Path(tempfile.mkdtemp(prefix="rigmesh-recording-", dir=options.folder))
    head = (
        "| channels | MB/s | s | samples missing + lost | verdict | CPU, of a core | CPU ms/MB "
        "| RSS, MB (own + files + rings) | file made after, s |\n|---|" + 8 * "---:|"
    )
    parts = {
        "Live, through a daemon": chain([head], (live(n, seconds, where) for n in (SMALL, LARGE))),
        "Capture beside a bare writer, chunks of 10 ms": captures(
            200 if quick else 600, rounds, where
        ),
        "Sealing": sealings(5 if quick else 25, 1 if quick else 3, where),
        "Envelopes of 1000 pixels": browsing(5 if quick else 60, where),
        "Shapes of chunks, read by h5py": shapes(130 if quick else 200, where),
    }
    text = ""
    try:
        for title, lines in parts.items():
            part = "\n".join([f"## {title}", "", *lines, "", ""])
            print(part, flush=True)
            text += part
    finally:
        shutil.rmtree(where, ignore_errors=True)
    if not quick:
        head = f"# Recordings ({time.strftime('%Y-%m-%d')})\n\n{before}"
        head += f"- h5py {h5py.__version__}, isal {version('isal')}\n"
        head += f"- {rounds} rounds, interleaved; medians\n\n"
        path = Path(__file__).parent / "results" / "recording.md"
        path.write_text(head + text.rstrip() + "\n", encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

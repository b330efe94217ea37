"""Windows: frames a second, what they take of a core, and how old what they show is.

``python -m benchmarks.viewers`` prints a table and writes it to ``benchmarks/results``.

The oscilloscope shows 10 s of a simulated amplifier that runs in a daemon, as any window does: by
a reader of its own. Beside it, in turn, a window of pyqtgraph as one would write it: a
`PlotCurveItem` a channel, of the least and greatest values in each column of pixels, all set anew
in each frame. Both are drawn into memory (``QT_QPA_PLATFORM=offscreen``), by Qt's software.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import psutil
import pyqtgraph as pg
from benchmarks.hop import machine
from PyQt5 import QtCore, QtWidgets

from rigmesh.client import Manager
from rigmesh.display import ColumnCache, Feed, Sink, graph_reader
from rigmesh.streams import local_clock
from rigmesh.viewers.oscilloscope import Oscilloscope
from rigmesh.viewers.trace_sinks import TraceSink
from rigmesh.viewers.window import ViewerWindow
from rigmesh_nodes import viewers as declared

SECONDS = 10.0
SIZE = (1280, 900)
STREAM = "amp.signal"


@dataclass(frozen=True)
class Case:
    """A signal to show."""

    n_channels: int
    rate: float


CASES = (Case(64, 1000), Case(384, 30_000))


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


class Plain(ViewerWindow):
    """Curves of pyqtgraph."""

    def __init__(self, settings: declared.Oscilloscope) -> None:
        super().__init__(settings)
        self.plot = pg.PlotWidget()
        self.plot.setMouseEnabled(False, False)
        self.body.addWidget(self.plot)
        self.curves: list[pg.PlotCurveItem] = []
        self.newest = math.nan
        self._cache: ColumnCache | None = None

    def sink(self, port: str, stream: str) -> Sink:
        self.traces = TraceSink(2 * SECONDS)
        return self.traces

    def drop(self, port: str, stream: str) -> None:
        pass

    def refresh(self) -> None:
        buffer = self.traces.buffer
        info, (_, stop) = buffer.info, buffer.rows
        if info is None or not stop:
            return
        n = self.plot.width()
        if self._cache is None:
            # As many rows as a column of bins can have; samples where there are few.
            factor = max(1, int(SECONDS * info.sampling_rate / n))
            factor = factor // 16 * 16 or factor
            n = int(SECONDS * info.sampling_rate / factor)
            self._cache = ColumnCache(buffer, factor, n)
            self.seconds = np.repeat(np.arange(n) * factor / info.sampling_rate - SECONDS, 2)
            for channel in range(info.n_channels):
                curve = pg.PlotCurveItem(pen=pg.intColor(channel, 8), antialias=False)
                self.plot.addItem(curve)
                self.curves.append(curve)
            self.plot.setRange(xRange=(-SECONDS, 0), yRange=(-1, info.n_channels), padding=0)
        found = self._cache.update()
        y = np.empty((2 * len(found.minimum), info.n_channels), np.float32)
        y[::2], y[1::2] = found.minimum, found.maximum
        y /= 400
        y += np.arange(info.n_channels, dtype=np.float32)
        for channel, curve in enumerate(self.curves):
            curve.setData(self.seconds, y[:, channel], connect="finite")
        self.newest = float(buffer.times(stop - 1, stop)[-1])

    @property
    def age(self) -> float:
        return local_clock() - self.newest


class Watch(QtCore.QObject):
    """Counts what is painted, and how old it is then."""

    def __init__(self, target: QtCore.QObject, age: Callable[[], float]) -> None:
        super().__init__()
        self.n, self._age = 0, age
        self.ages: list[float] = []
        target.installEventFilter(self)

    def eventFilter(self, target: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        if event.type() == QtCore.QEvent.Type.Paint:
            self.n += 1
            self.ages.append(self._age())
        return False


@dataclass
class Seen:
    """What was measured, round by round."""

    fps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    @property
    def core_ms(self) -> float:
        """Time of a core that a frame takes, with reading what is in it, in ms."""
        return 1000 * statistics.median(self.cpu) / statistics.median(self.fps)

    def line(self, what: str, plain: Seen | None) -> str:
        ages = np.array(self.ages) * 1000
        ratio = f"{plain.core_ms / self.core_ms:.1f}" if plain is not None else "1"
        return (
            f"| {what} | {statistics.median(self.fps):.1f} | {statistics.median(self.cpu):.0%} | "
            f"{self.core_ms:.1f} | {ratio} | {np.median(ages):.0f} | "
            f"{np.percentile(ages, 99):.0f} |"
        )


def wait(seconds: float) -> None:
    """Let Qt run."""
    loop = QtCore.QEventLoop()
    QtCore.QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec_()


def run(kind: str, refresh_rate: float, mode: Any, where: str, seconds: float, seen: Seen) -> None:
    """Show a window for some seconds."""
    settings = declared.Oscilloscope(
        seconds=SECONDS, refresh_rate=refresh_rate, mode=mode, history=2 * SECONDS
    )
    settings.name = kind
    window: Oscilloscope | Plain
    window = Plain(settings) if kind == "plain" else Oscilloscope(settings)
    window.resize(*SIZE)
    sink = window.sink("signal", STREAM)
    window.feeds["signal", STREAM] = Feed(STREAM, graph_reader(where, STREAM), sink)
    window.show()
    wait(SECONDS + 1.0)  # until the picture is full
    shown = window.panels[STREAM] if isinstance(window, Oscilloscope) else window.plot.viewport()
    watch = Watch(shown, lambda: window.age)
    process = psutil.Process()
    before, begin = process.cpu_times(), time.monotonic()
    wait(seconds)
    after, took = process.cpu_times(), time.monotonic() - begin
    seen.fps.append(watch.n / took)
    seen.cpu.append((after.user + after.system - before.user - before.system) / took)
    seen.ages += watch.ages
    lost = window.feeds["signal", STREAM].n_lost
    window.close()
    window.deleteLater()
    say(
        f"  {kind} {mode} at {refresh_rate:g} Hz: {seen.fps[-1]:.1f} fps, {seen.cpu[-1]:.0%} of a "
        f"core, {1000 * np.median(watch.ages):.0f} ms old, {lost} samples lost"
    )


def measure(case: Case, seconds: float, rounds: int) -> list[str]:
    """Return lines of the table."""
    kinds = [("plain", 30.0, "scroll"), ("oscilloscope", 30.0, "scroll"),
             ("oscilloscope", 30.0, "scan"), ("oscilloscope", 60.0, "scroll")]  # fmt: skip
    found = {kind: Seen() for kind in kinds}
    with Manager(private=True) as manager:
        manager.create_node(
            "sim.Oscillators", name="amp", host=manager.create_nodegroup("amp"), noise=30,
            n_channels=case.n_channels, sampling_rate=case.rate, dtype="int16",
        )  # fmt: skip
        manager.start_all()
        where = manager.where(STREAM)
        for number in range(rounds):
            say(f"{case.n_channels} channels at {case.rate:g} Hz, round {number + 1} of {rounds}")
            for kind, rate, mode in kinds:
                run(kind, rate, mode, where, seconds, found[kind, rate, mode])
        manager.stop_all()
    plain = found[kinds[0]]
    signal = f"{case.n_channels} × {case.rate / 1000:g} kHz"
    return [
        seen.line(
            f"{signal} | {'pyqtgraph' if kind == 'plain' else kind}, {mode} | {rate:g}",
            plain if kind != "plain" else None,
        )
        for (kind, rate, mode), seen in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.viewers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a measurement")
    parser.add_argument("--rounds", type=int, default=2, help="how often windows take their turn")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    options = parser.parse_args()
    seconds, rounds = (3.0, 1) if options.quick else (options.seconds, options.rounds)
    before = machine()
    application = QtWidgets.QApplication(["benchmarks"])
    head = (
        "| signal | window | refresh rate, Hz | frames/s | CPU, of a core | core ms/frame | "
        "times cheaper than pyqtgraph | age, ms: median | p99 |\n|---|---|" + 7 * "---:|"
    )
    lines = [line for case in CASES for line in measure(case, seconds, rounds)]
    table = "\n".join([head, *lines])
    print(table, flush=True)
    del application
    if not options.quick:
        text = (
            f"# Windows ({time.strftime('%Y-%m-%d')})\n\n{before}"
            f"- PyQt {QtCore.PYQT_VERSION_STR}, Qt {QtCore.QT_VERSION_STR}, pyqtgraph "
            f"{pg.__version__}, numba {version('numba')}; drawn offscreen, "
            f"{SIZE[0]} × {SIZE[1]} pixels, {SECONDS:g} s across\n"
            f"- {rounds} rounds of {seconds:g} s, interleaved; medians. The share of a core is all "
            "of the window's process: reading, keeping, drawing. The age is that of the newest "
            "sample drawn, when it is painted\n\n"
        )
        path = Path(__file__).parent / "results" / "viewers.md"
        path.write_text(text + table + "\n", encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()

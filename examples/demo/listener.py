"""Listens to LSL streams as any LSL program would, and writes down what came and when.

Plain pylsl and numpy, nothing of rigmesh. It ends at SIGTERM, when its streams are gone, or when
nothing has come for a while after the first sample.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
from stopping import Stop


@dataclass
class Log:
    """What came from one stream: each sample's value, stamp and time of arrival."""

    values: list[Any] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)

    def receive(self, inlet: pylsl.StreamInlet, stop: Stop) -> None:
        """Pull until told to stop or the stream is gone."""
        while not stop.is_set():
            try:
                values, stamps = inlet.pull_chunk(timeout=0.1, min_samples=1)
            except pylsl.LostError:
                return
            now = pylsl.local_clock()
            self.values += [value for (value,) in values]
            self.stamps += stamps
            self.arrived += [now] * len(stamps)


def connect(names: list[str], stop: Stop, timeout: float) -> dict[str, pylsl.StreamInlet]:
    """Find and open streams by their names; fewer if stopped before."""
    resolver = pylsl.ContinuousResolver()
    deadline = pylsl.local_clock() + timeout
    inlets: dict[str, pylsl.StreamInlet] = {}
    while len(inlets) < len(names) and not stop.wait(0.05):
        for info in resolver.results():
            if info.name() in names and info.name() not in inlets:
                inlets[info.name()] = pylsl.StreamInlet(info, recover=False)
                inlets[info.name()].open_stream(timeout)
        if pylsl.local_clock() > deadline:
            missing = sorted(set(names) - set(inlets))
            raise SystemExit(f"listener: no stream named {missing} within {timeout:.0f} s")
    return inlets


def is_quiet(logs: dict[str, Log], seconds: float) -> bool:
    """Whether there was data, and nothing has come for `seconds`."""
    last = max((log.arrived[-1] for log in logs.values() if log.arrived), default=None)
    return last is not None and pylsl.local_clock() - last > seconds


def main() -> int:
    """Connect, receive, log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "streams",
        nargs="+",
        metavar="KEY=NAME",
        help="a stream by its LSL name, and its key in the log",
    )
    parser.add_argument("--log", type=Path, required=True, help="where to write what came")
    parser.add_argument("--quiet", type=float, default=2.0, help="end after so many quiet seconds")
    parser.add_argument("--timeout", type=float, default=60.0, help="longest search, in seconds")
    options = parser.parse_args()

    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    keys = {name: key for key, _, name in (stream.partition("=") for stream in options.streams)}
    inlets = connect(list(keys), stop, options.timeout)
    if stop.is_set():
        return 0
    logs = {keys[name]: Log() for name in inlets}
    # A thread a stream, so that the arrival of one does not wait for another.
    threads = [
        threading.Thread(target=logs[keys[name]].receive, args=(inlet, stop), name=name)
        for name, inlet in inlets.items()
    ]
    for thread in threads:
        thread.start()
    print(f"listener: connected to {', '.join(logs)}", flush=True)

    while not stop.wait(0.05) and any(t.is_alive() for t in threads):
        if is_quiet(logs, options.quiet):
            break
    stop.set()
    for thread in threads:
        thread.join()
    arrays = {
        f"{key}_{what}": np.array(getattr(log, what))
        for key, log in logs.items()
        for what in ("values", "stamps", "arrived")
    }
    np.savez(options.log, allow_pickle=False, **arrays)
    counts = ", ".join(f"{key} {len(log.stamps)}" for key, log in logs.items())
    print(f"listener: received {counts}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

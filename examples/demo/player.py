"""Plays a recording of physiology over LSL, as three devices and a stimulus program would.

Plain pylsl and numpy, nothing of rigmesh: what this program says it sent is held against what
rigmesh recorded. It waits until somebody listens to all four streams, plays at the pace of the
recording, and writes down every value, its stamp and when it was pushed.
"""

from __future__ import annotations

import argparse
import select
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pylsl
from stopping import Stop

RECORDING = Path(__file__).parent.parent / "data" / "physio.npz"
SIGNALS = {"ecg": ("ECG", "ECG"), "eda": ("EDA", "EDA"), "resp": ("Resp", "Respiration")}
MARK_PERIOD = 5.0


@dataclass
class Track:
    """One stream to play: its outlet, and each sample's value and offset from the start."""

    outlet: pylsl.StreamOutlet
    values: npt.NDArray[np.float32] | npt.NDArray[np.str_]
    offsets: npt.NDArray[np.float64]
    sent: int = 0
    pushed: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.pushed = np.zeros(len(self.values))

    def push_until(self, elapsed: float, begin: float) -> None:
        """Push what is due `elapsed` seconds after `begin`."""
        due = int(np.searchsorted(self.offsets, elapsed, side="right"))
        if due > self.sent:
            new = slice(self.sent, due)
            self.pushed[new] = pylsl.local_clock()
            stamps = begin + self.offsets[new]
            self.outlet.push_chunk(self.values[new, None].tolist(), stamps.tolist())
            self.sent = due

    def log(self, begin: float) -> dict[str, npt.NDArray[np.generic]]:
        """Return what was sent."""
        return {
            "values": self.values[: self.sent],
            "stamps": begin + self.offsets[: self.sent],
            "pushed": self.pushed[: self.sent],
        }


def signal_track(recording: Path, key: str, duration: float) -> Track:
    """Make the outlet of one signal and cut its samples to `duration` seconds."""
    label, kind = SIGNALS[key]
    with np.load(recording) as data:
        values, rate, unit = data[key], float(data[f"{key}_rate"]), str(data[f"{key}_unit"])
    if duration > len(values) / rate:
        raise SystemExit(f"{recording} holds {len(values) / rate:.1f} s of {key}, not {duration} s")
    offsets = np.arange(len(values)) / rate
    playing = offsets < duration
    info = pylsl.StreamInfo(
        f"physio {label}", kind, 1, rate, pylsl.cf_float32, f"rigmesh-demo-{key}"
    )
    info.set_channel_labels([label])
    info.set_channel_types(kind)
    info.set_channel_units(unit)
    info.desc().append_child_value("manufacturer", "rigmesh demo")
    return Track(pylsl.StreamOutlet(info), values[playing], offsets[playing])


def marker_track(duration: float) -> Track:
    """Make the outlet of the markers: start, one every five seconds, stop."""
    marks = np.arange(MARK_PERIOD, duration, MARK_PERIOD)
    texts = ["start", *(f"mark {n}" for n in range(1, len(marks) + 1)), "stop"]
    info = pylsl.StreamInfo(
        "physio Markers",
        "Markers",
        1,
        pylsl.IRREGULAR_RATE,
        pylsl.cf_string,
        "rigmesh-demo-markers",
    )
    return Track(pylsl.StreamOutlet(info), np.array(texts), np.array([0.0, *marks, duration]))


def wait_for_consumers(tracks: dict[str, Track], stop: Stop, timeout: float) -> bool:
    """Wait until every outlet has a consumer; return False if stopped before."""
    deadline = pylsl.local_clock() + timeout
    for key, track in tracks.items():
        while not track.outlet.wait_for_consumers(0.1):
            if stop.is_set():
                return False
            if pylsl.local_clock() > deadline:
                raise SystemExit(f"player: nobody listened to {key} within {timeout:.0f} s")
    return True


def wait_for_go(stop: Stop, timeout: float) -> bool:
    """Wait for a line on standard input; return False if stopped before."""
    deadline = pylsl.local_clock() + timeout
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        if stop.is_set():
            return False
        if pylsl.local_clock() > deadline:
            raise SystemExit(f"player: nobody said go within {timeout:.0f} s")
    return sys.stdin.readline() != ""


def play(tracks: dict[str, Track], stop: Stop, duration: float, tick: float) -> float:
    """Push all tracks at their pace; return the local time of the start.

    Every tick has an absolute deadline, so that a late one is not passed on to those after it.
    """
    begin: float = pylsl.local_clock()
    n_ticks = int(np.ceil(duration / tick))
    for number in range(n_ticks + 1):
        deadline = begin + number * tick
        if stop.wait(max(0.0, deadline - pylsl.local_clock())):
            break
        for track in tracks.values():
            track.push_until(min(number * tick, duration), begin)
        if number and number % round(5 / tick) == 0:
            say(f"played {number * tick:.0f} of {duration:.0f} s")
    return begin


def say(text: str) -> None:
    """Tell the person, and who started us, at once."""
    print(f"player: {text}", flush=True)


def main() -> int:
    """Play, log, stay until the consumers have left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recording", type=Path, default=RECORDING, help="what to play")
    parser.add_argument("--duration", type=float, default=20.0, help="how much of it, in seconds")
    parser.add_argument("--log", type=Path, required=True, help="where to write what was sent")
    parser.add_argument("--tick", type=float, default=0.01, help="time between pushes, in seconds")
    parser.add_argument("--timeout", type=float, default=60.0, help="longest wait, in seconds")
    parser.add_argument("--linger", type=float, default=30.0, help="longest stay at the end")
    parser.add_argument("--hold", action="store_true", help="wait for a line on standard input")
    options = parser.parse_args()

    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    tracks = {key: signal_track(options.recording, key, options.duration) for key in SIGNALS}
    tracks["markers"] = marker_track(options.duration)
    say(f"waiting for consumers of {len(tracks)} streams")
    if not wait_for_consumers(tracks, stop, options.timeout):
        return 0
    say("ready")
    if options.hold and not wait_for_go(stop, options.timeout):
        return 0

    say(f"playing {options.duration:g} s")
    begin = play(tracks, stop, options.duration, options.tick)
    logs = {f"{k}_{what}": v for k, t in tracks.items() for what, v in t.log(begin).items()}
    np.savez(options.log, allow_pickle=False, **logs)
    say("done: " + ", ".join(f"{key} {track.sent}" for key, track in tracks.items()))

    # Destroying an outlet drops what its consumers have not read yet; so they leave first.
    deadline = pylsl.local_clock() + options.linger
    while pylsl.local_clock() < deadline and not stop.wait(0.05):
        if not any(track.outlet.have_consumers() for track in tracks.values()):
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Holds the recording against what the player says it sent and the listener says it received.

Only h5py and numpy, nothing of rigmesh: anybody's reader would find the same. Prints a table and
ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

PLAYED = {
    "ecg": "ecg.signal",
    "eda": "eda.signal",
    "resp": "resp.signal",
    "markers": "marks.markers",
}
"""What the player calls a stream, and its name in the recording."""
PUBLISHED = {"filtered": "heart.filtered", "beats": "beats.events"}
"""What the listener calls a stream that rigmesh made, and its name in the recording."""

CLOCK_TOLERANCE = 1e-6
"""In seconds. All programs read one clock, so that mapping it onto itself changes nothing."""

Log = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Stored:
    """One stream of the recording."""

    values: npt.NDArray[Any]
    timestamps: npt.NDArray[np.float64]
    raw_timestamps: npt.NDArray[np.float64]
    n_gaps: int

    @classmethod
    def read(cls, file: h5py.File, name: str) -> Stored:
        """Read a stream of one channel; an absent one has no samples."""
        if name not in file["streams"]:
            return cls(np.zeros(0), np.zeros(0), np.zeros(0), 0)
        group = file["streams"][name]
        data = group["data"]
        values = data.asstr()[:] if h5py.check_string_dtype(data.dtype) else data[:]
        return cls(
            np.asarray(values).reshape(len(data)),
            group["timestamps"][:],
            group["raw_timestamps"][:],
            len(group["gaps"]),
        )


@dataclass(frozen=True)
class Row:
    """One stream in the table: what was found, and whether all of it is as it must be."""

    cells: tuple[str, ...]
    holds: bool

    def __str__(self) -> str:
        return align(("ok" if self.holds else "FAIL", *self.cells))


def align(cells: tuple[str, ...]) -> str:
    """Return a line of the table."""
    key, *columns = cells[1:]
    widths = (9, 10, 6, 14, 14, 12)
    padded = (cell.rjust(width) for cell, width in zip(columns, widths, strict=False))
    return f"{cells[0]:5}{key:9}" + "".join(padded)


def compare_played(key: str, stored: Stored, log: Log) -> Row:
    """Compare a recorded stream with the player's log, sample by sample."""
    values, stamps = log[f"{key}_values"], log[f"{key}_stamps"]
    off = largest_difference(stored.timestamps, stamps)
    cells = (
        *(key, str(len(values)), str(len(stored.values)), str(stored.n_gaps)),
        *(equality(stored.values, values), equality(stored.raw_timestamps, stamps)),
        f"{off * 1e6:.1f} µs",
    )
    same = np.array_equal(stored.values, values) and np.array_equal(stored.raw_timestamps, stamps)
    return Row(cells, same and stored.n_gaps == 0 and off <= CLOCK_TOLERANCE)


def compare_received(key: str, stored: Stored, log: Log) -> Row:
    """Compare a stream that rigmesh recorded with what the listener received of it over LSL."""
    values, stamps = log[f"{key}_values"], log[f"{key}_stamps"]
    cells = (
        *(key, str(len(values)), str(len(stored.values)), str(stored.n_gaps)),
        *(equality(stored.values, values), equality(stored.timestamps, stamps)),
    )
    same = np.array_equal(stored.values, values) and np.array_equal(stored.timestamps, stamps)
    return Row(cells, same and stored.n_gaps == 0 and len(values) > 0)


def equality(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> str:
    """Say how many items differ, bit for bit."""
    if len(found) != len(expected):
        return "other length"
    differing = int((found != expected).sum())
    return f"{differing} differ" if differing else "identical"


def largest_difference(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Return the largest difference; infinite if they are not comparable."""
    if len(found) != len(expected):
        return float("inf")
    return float(np.abs(found - expected).max(initial=0.0))


def heart_rate(beats: Stored) -> str:
    """Return the rate of the beats, in beats per minute."""
    if len(beats.timestamps) < 2:
        return "too few beats"
    intervals = np.diff(beats.timestamps)
    slowest, fastest = 60 / intervals.max(), 60 / intervals.min()
    return f"{60 / np.median(intervals):.0f} bpm (from {slowest:.0f} to {fastest:.0f})"


def latency(key: str, played: Log, received: Log) -> npt.NDArray[np.float64]:
    """Return how long each sample took from the player's push to the listener, in seconds.

    Both programs read the clock of this host. A received sample belongs to the ECG sample with
    the nearest stamp.
    """
    stamps = played["ecg_stamps"]
    half_a_sample = 0.5e-3
    at = np.searchsorted(stamps, received[f"{key}_stamps"] - half_a_sample)
    return np.asarray(
        received[f"{key}_arrived"] - played["ecg_pushed"][at.clip(0, len(stamps) - 1)]
    )


def summarise(seconds: npt.NDArray[np.float64]) -> str:
    """Return median, 99th percentile and largest, in milliseconds."""
    if not len(seconds):
        return "nothing received"
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {seconds.max() * 1e3:.1f} ms"


def main() -> int:
    """Print the table; say by the exit status whether everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path, help="HDF5 file that rigmesh made")
    parser.add_argument("played", type=Path, help="log of the player")
    parser.add_argument("received", type=Path, help="log of the listener")
    options = parser.parse_args()

    with np.load(options.played) as file:
        played = dict(file)
    with np.load(options.received) as file:
        received = dict(file)
    with h5py.File(options.recording) as recording:
        verdict = str(recording.attrs["verdict"])
        inputs = {key: Stored.read(recording, name) for key, name in PLAYED.items()}
        derived = {key: Stored.read(recording, name) for key, name in PUBLISHED.items()}

    sent = [compare_played(key, stored, played) for key, stored in inputs.items()]
    made = [compare_received(key, stored, received) for key, stored in derived.items()]
    print(align(("", "", "played", "recorded", "gaps", "values", "raw stamps", "our clock")))
    print(*sent, "", sep="\n")
    print(align(("", "", "received", "recorded", "gaps", "values", "stamps")))
    print(*made, sep="\n")

    print(f"\nverdict of the recording  {verdict}")
    print(
        f"heart beats               {len(derived['beats'].values)}, {heart_rate(derived['beats'])}"
    )
    print(f"latency of filtered ECG   {summarise(latency('filtered', played, received))}")
    print(f"latency of heart beats    {summarise(latency('beats', played, received))}")
    print("                          from the player's push to the listener, through LSL twice")

    holds = verdict == "OK" and all(row.holds for row in sent + made)
    print("\nEverything is as it was sent." if holds else "\nNOT everything is as it was sent.")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

"""Draws what was recorded: ECG with what rigmesh made of it, EDA, respiration and the markers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, SOFT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
RAW, FILTERED, BEAT, EDA, RESP = "#b8c0cc", "#0b6e99", "#d1495b", "#3c8d5a", "#8e6c1e"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "savefig.facecolor": "white",
}


class Recording:
    """Streams of a recording on a time axis that begins with the first marker."""

    def __init__(self, file: h5py.File) -> None:
        self._streams = file["streams"]
        self._begin = float(self._streams["marks.markers/timestamps"][0])

    def signal(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
        """Return times, in seconds, and the values of the only channel."""
        group = self._streams[name]
        return group["timestamps"][:] - self._begin, group["data"][:, 0]

    def events(self, name: str) -> list[tuple[float, str]]:
        """Return times, in seconds, and texts."""
        group = self._streams[name]
        times = group["timestamps"][:] - self._begin
        return list(zip(times.tolist(), group["data"].asstr()[:].ravel().tolist(), strict=True))


def draw(recording: Recording) -> Figure:
    """Draw the whole recording."""
    figure: Figure
    figure, (ecg, eda, resp) = plt.subplots(
        3, 1, figsize=(10, 5.4), sharex=True, height_ratios=(2.2, 1, 1), layout="constrained"
    )
    times, values = recording.signal("ecg.signal")
    duration = float(times[-1])
    ecg.plot(times, values, color=RAW, lw=0.8, label="recorded")
    filtered_times, filtered = recording.signal("heart.filtered")
    ecg.plot(filtered_times, filtered, color=FILTERED, lw=1.1, label="filtered live, 5–20 Hz")
    beats = np.array([time for time, _ in recording.events("beats.events")])
    top = float(max(values.max(), filtered.max())) * 1.12
    counted = f"{len(beats)} heart beats found live"
    ecg.plot(beats, np.full(len(beats), top), "v", color=BEAT, ms=5, clip_on=False, label=counted)
    ecg.set_ylim(top=top * 1.05)
    ecg.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderpad=0.2,
        handlelength=0, handletextpad=0, markerscale=0, labelcolor=[SOFT, FILTERED, BEAT],
        borderaxespad=0,
    )  # fmt: skip

    eda.plot(*recording.signal("eda.signal"), color=EDA, lw=1.2)
    resp.plot(*recording.signal("resp.signal"), color=RESP, lw=1.4, marker="o", ms=2.5)
    titles = {ecg: "ECG (mV)", eda: "Electrodermal activity (µS)", resp: "Respiration (V)"}
    for panel, title in titles.items():
        panel.set_title(title, loc="left", fontsize=9, weight="bold", pad=4)
    resp.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
    resp.set_xlabel("time since the start marker (s)")
    resp.set_xlim(-0.02 * duration, 1.02 * duration)

    for time, text in recording.events("marks.markers"):
        for panel in (ecg, eda, resp):
            panel.axvline(time, color=SOFT, lw=0.8, ls=(0, (2, 3)), zorder=0)
        ecg.annotate(text, (time, 1.0), (0, 16), xycoords=("data", "axes fraction"),
                     textcoords="offset points", ha="center", color=SOFT, fontsize=8)  # fmt: skip
    return figure


def main() -> int:
    """Read the recording, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path, help="HDF5 file that rigmesh made")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args()

    mpl.use("Agg")
    with mpl.rc_context(STYLE), h5py.File(options.recording) as file:
        figure = draw(Recording(file))
        figure.savefig(options.picture, dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main())

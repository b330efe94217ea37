"""A program that plays XDF files, or a stream of each LSL format; pyxdf and pylsl only.

The parent sends JSON lines: first what to play, answered by the formats of the streams, then
anything to begin, answered by their stamps when all is played.
"""

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pylsl
import pyxdf

FORMATS = ("int8", "int16", "int32", "int64", "float32", "double64", "string")


@dataclass
class Track:
    form: str
    outlet: pylsl.StreamOutlet
    rows: list[Any]
    times: list[float]
    """Seconds after the beginning."""


def main() -> None:
    options = json.loads(sys.stdin.readline())
    tracks = {}
    for path in options.get("files", []):
        tracks.update(of_file(path, options["tag"]))
    if "formats" in options:
        tracks.update(of_formats(options["tag"], **options["formats"]))
    answer({name: track.form for name, track in tracks.items()})
    sys.stdin.readline()
    begin = play(list(tracks.values()))
    answer({name: [begin + time for time in track.times] for name, track in tracks.items()})
    sys.stdin.readline()


def answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def of_file(path: str, tag: str) -> dict[str, Track]:
    """Make an outlet for each stream of a file, with the description that it has there."""
    streams, _ = pyxdf.load_xdf(path, dejitter_timestamps=False, verbose=False)
    first = min(float(one["time_stamps"][0]) for one in streams if len(one["time_stamps"]))
    tracks = {}
    for one in streams:
        head = {key: values[0] for key, values in one["info"].items() if is_text(values)}
        name = f"{tag}{head['name']}"
        info = pylsl.StreamInfo(
            name, head["type"], int(head["channel_count"]), float(head["nominal_srate"]),
            head["channel_format"], tag + head.get("source_id", head["uid"]),
        )  # fmt: skip
        describe(info.desc(), head["desc"] or {})
        rows = list(one["time_series"])
        if head["channel_format"] != "string":
            rows = [row.tolist() for row in rows]
        times = [float(stamp) - first for stamp in one["time_stamps"]]
        tracks[name] = Track(head["channel_format"], pylsl.StreamOutlet(info), rows, times)
    return tracks


def is_text(values: Any) -> bool:
    """Whether it is from the header, not what pyxdf found out."""
    return isinstance(values, list) and len(values) == 1 and not isinstance(values[0], tuple)


def describe(element: Any, content: dict[str, Any]) -> None:
    for tag, values in content.items():
        for value in values:
            if isinstance(value, dict):
                describe(element.append_child(tag), value)
            else:
                element.append_child_value(tag, value or "")


def of_formats(tag: str, rate: float, seconds: float) -> dict[str, Track]:
    """Make an outlet for each format, of two channels: the number of the sample, and large ones."""
    tracks = {}
    n = int(rate * seconds)
    for form in FORMATS:
        info = pylsl.StreamInfo(f"{tag}{form}", "test", 2, rate, form, f"{tag}{form}")
        info.set_channel_labels(["number", "Größe"])
        info.set_channel_units(["1", "µV"])
        tracks[f"{tag}{form}"] = Track(
            form,
            pylsl.StreamOutlet(info),
            [values(form, number) for number in range(n)],
            [number / rate for number in range(n)],
        )
    return tracks


def values(form: str, number: int) -> list[Any]:
    if form == "string":
        return [str(number), ["", "µ ✓ 你好", "x" * 100_000, "line\nline"][number % 4]]
    if form in ("float32", "double64"):
        return [float(number), [-0.0, 1e-30, float("inf"), float("nan")][number % 4]]
    limits = np.iinfo(form)
    return [number % limits.max, int([limits.min, limits.max][number % 2])]


def play(tracks: list[Track]) -> float:
    """Push everything at its time."""
    begin: float = pylsl.local_clock() + 0.2
    at = [0] * len(tracks)
    while any(position < len(track.rows) for position, track in zip(at, tracks, strict=True)):
        now = pylsl.local_clock() - begin
        for number, track in enumerate(tracks):
            while at[number] < len(track.rows) and track.times[at[number]] <= now:
                track.outlet.push_sample(track.rows[at[number]], begin + track.times[at[number]])
                at[number] += 1
        time.sleep(0.005)
    time.sleep(1.5)  # LabRecorder asks for samples twice a second only, and not at its end
    return begin


if __name__ == "__main__":
    main()

"""A program that uses mne-lsl. The parent tells it what to do by JSON lines."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import mne
import numpy as np
from mne_lsl.player import PlayerLSL
from mne_lsl.stream import StreamLSL


def main(role: str) -> None:
    options = json.loads(sys.stdin.readline())
    serve = play(options) if role == "player" else receive(options)
    answer(next(serve))
    for _line in sys.stdin:
        answer(next(serve))


def answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def play(options: dict[str, Any]) -> Iterator[Any]:
    """Play rows again and again."""
    info = mne.create_info(options["labels"], options["rate"], options["types"])
    raw = mne.io.RawArray(np.array(options["rows"]).T, info, verbose="ERROR")
    name = options["name"]
    with PlayerLSL(raw, chunk_size=10, name=name, source_id=name):
        yield {
            "kinds": [int(channel["kind"]) for channel in raw.info["chs"]],
            "coil_types": [int(channel["coil_type"]) for channel in raw.info["chs"]],
            "lowpass": raw.info["lowpass"],
        }


def receive(options: dict[str, Any]) -> Iterator[Any]:
    """Return what a stream says of itself, then the last second of it."""
    stream = StreamLSL(bufsize=2, name=options["name"]).connect(
        acquisition_delay=0.01, processing_flags=None, timeout=10
    )
    yield {
        "labels": stream.ch_names,
        "types": stream.get_channel_types(),
        "units": [int(unit) for _, unit in stream.get_channel_units()],
        "rate": stream.info["sfreq"],
        "kinds": [int(channel["kind"]) for channel in stream.info["chs"]],
        "coil_types": [int(channel["coil_type"]) for channel in stream.info["chs"]],
        "lowpass": stream.info["lowpass"],
    }
    deadline = time.monotonic() + 10
    while stream.n_new_samples < stream.info["sfreq"] and time.monotonic() < deadline:
        time.sleep(0.01)
    data, stamps = stream.get_data(winsize=1)
    yield {"rows": data.T.tolist(), "stamps": stamps.tolist()}


if __name__ == "__main__":
    main(sys.argv[1])

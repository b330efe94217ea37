"""A program as others write them: pylsl only. The parent tells it what to do by JSON lines."""

import json
import sys
import time
from typing import Any

import numpy as np
import pylsl


def main(role: str) -> None:
    options = json.loads(sys.stdin.readline())
    serve = serve_outlet(options) if role == "outlet" else serve_inlet(options)
    answer(next(serve))
    for line in sys.stdin:
        answer(serve.send(json.loads(line)))


def answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def serve_outlet(options: dict[str, Any]) -> Any:
    """Push what is asked for; `forever` pushes a count at the sampling rate until killed."""
    info = pylsl.StreamInfo(
        options["name"],
        options.get("type", ""),
        options.get("n_channels", 1),
        options.get("rate", 0.0),
        options.get("format", "float32"),
        options.get("source_id", ""),
    )
    if "labels" in options:
        info.set_channel_labels(options["labels"])
        info.set_channel_units(options["units"])
        info.set_channel_types(options["types"])
    for key, value in options.get("desc", {}).items():
        info.desc().append_child_value(key, value)
    outlet = pylsl.StreamOutlet(info)
    request = yield info.as_xml()
    while True:
        if "push" in request:
            rows = request["push"]
            if "hex" in request:
                rows = [[bytes.fromhex(value) for value in row] for row in rows]
            for row, stamp in zip(rows, request["stamps"], strict=True):
                outlet.push_sample(row, stamp)
            request = yield len(rows)
        elif "forever" in request:
            answer("begun")
            count_forever(outlet, options["rate"], options.get("n_channels", 1), request["forever"])
        else:
            request = yield outlet.wait_for_consumers(request["consumers"])


def count_forever(outlet: Any, rate: float, n_channels: int, first: int) -> None:
    begin, number = pylsl.local_clock(), first
    while True:
        due = first + int((pylsl.local_clock() - begin) * rate)
        if number < due:
            rows = np.repeat(np.arange(number, due)[:, None], n_channels, axis=1)
            stamps = (begin + (np.arange(number, due) - first) / rate).tolist()
            outlet.push_chunk(rows, stamps)
            number = due
        time.sleep(0.005)


def serve_inlet(options: dict[str, Any]) -> Any:
    """Return what arrives."""
    found = pylsl.resolve_byprop("name", options["name"], 1, options.get("timeout", 10.0))
    inlet = pylsl.StreamInlet(found[0])
    inlet.open_stream(10.0)
    info = inlet.info(10.0)
    request = yield {
        "name": info.name(),
        "type": info.type(),
        "source_id": info.source_id(),
        "format": pylsl.lib.fmt2string[info.channel_format()],
        "n_channels": info.channel_count(),
        "rate": info.nominal_srate(),
        "labels": info.get_channel_labels(),
        "units": info.get_channel_units(),
        "types": info.get_channel_types(),
        "xml": info.as_xml(),
        "uid": info.uid(),
    }
    while True:
        rows: list[Any] = []
        stamps: list[float] = []
        while len(stamps) < request["pull"]:
            row, stamp = inlet.pull_sample(10.0)
            if row is None:
                break
            rows.append(row)
            stamps.append(stamp)
        request = yield {"rows": rows, "stamps": stamps}


if __name__ == "__main__":
    main(sys.argv[1])

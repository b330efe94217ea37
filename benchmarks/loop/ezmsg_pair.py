"""One hop between two ezmsg units in processes of their own: ``ezmsg_pair.py PAYLOAD SECONDS``.

Run by a Python that has ezmsg; needs numpy besides, and nothing of rigmesh.
"""

# mypy: disable-error-code="import-not-found,misc,untyped-decorator"
# ezmsg is not installed where types are checked.

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import ezmsg.core as ez
from benchmarks.loop.payload import Payload, Tally, stamped
from ezmsg.util.messages.axisarray import AxisArray


class Settings(ez.Settings):
    payload: str
    seconds: float
    path: str


class Source(ez.Unit):
    SETTINGS = Settings
    OUTPUT = ez.OutputStream(AxisArray)

    @ez.publisher(OUTPUT)
    async def run(self) -> AsyncGenerator[object, None]:
        payload = Payload.named(self.SETTINGS.payload)
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        messages = stamped(payload, self.SETTINGS.seconds)
        number, cpu = 0, time.process_time()
        while True:
            if payload.is_paced:  # asyncio's own sleep would be a millisecond late
                array = await loop.run_in_executor(None, next, messages, None)
            else:
                array = next(messages, None)
            if array is None:
                break
            axis = AxisArray.TimeAxis(fs=payload.sampling_rate, offset=0.0)
            yield self.OUTPUT, AxisArray(array.copy(), dims=["time", "ch"], axes={"time": axis})
            number += 1
        cpu = time.process_time() - cpu
        done = {"sent": number, "cpu_sent": cpu}
        Path(self.SETTINGS.path, "source").write_text(json.dumps(done), encoding="ascii")
        await asyncio.sleep(1.0)
        raise ez.NormalTermination


class Sink(ez.Unit):
    SETTINGS = Settings
    INPUT = ez.InputStream(AxisArray)

    async def initialize(self) -> None:
        self.tally = Tally(Payload.named(self.SETTINGS.payload))

    @ez.subscriber(INPUT)
    async def take(self, message: AxisArray) -> None:
        self.tally.take(message.data)

    async def shutdown(self) -> None:
        found = json.dumps(self.tally.to_dict())
        Path(self.SETTINGS.path, "sink").write_text(found, encoding="ascii")


def main() -> None:
    payload, seconds = sys.argv[1], float(sys.argv[2])
    logging.getLogger("ezmsg").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        settings = Settings(payload, seconds, folder)
        source, sink = Source(settings), Sink(settings)
        ez.run(
            SOURCE=source,
            SINK=sink,
            connections=((source.OUTPUT, sink.INPUT),),
            process_components=(source, sink),
        )
        found: dict[str, object] = {}
        for name in ("source", "sink"):
            found |= json.loads(Path(folder, name).read_text(encoding="ascii"))
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

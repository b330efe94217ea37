"""The ways from one process to another that `benchmarks.relay` compares.

``python -m benchmarks.relay_pair pair WAY PAYLOAD SECONDS`` prints what it found. A `Wire` puts its
two processes on two machines made of namespaces; they share a clock, so that a latency is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.loop.pairs import Consumer, Pair, Producer
from benchmarks.loop.payload import WARM_UP, Payload, stamped
from benchmarks.relay_ends import OnlySubscribe, Wire, enter, read_json, server

__all__ = ["ASYNCIO", "BARE", "LSL", "RELAY", "THREADS", "WAYS"]

BARE, RELAY, LSL = "bare gRPC stream", "rigmesh relay", "pylsl"
THREADS, ASYNCIO = "ring, threads", "ring, asyncio"
_METHOD = "/bench.Bench/Stream"
_WITHIN = 30.0


class SampleTally:
    """Counts samples; unlike messages, chunks of a relay begin and end anywhere."""

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._n_samples = 0
        self._latencies: list[float] = []
        self._first = self._last = self._later = 0
        self._cpu = 0.0

    def take(self, data: Any) -> None:
        """Take samples."""
        now, size = time.monotonic_ns(), self._payload.n_samples
        if not self._n_samples:
            self._first, self._cpu = now, time.process_time()
        else:
            self._later += len(data)
        if self._payload.is_paced:
            for row in range(-self._n_samples % size, len(data), size):
                sent = int.from_bytes(data[row].tobytes()[:8], sys.byteorder)
                self._latencies.append((now - sent) / 1e3)
        self._n_samples += len(data)
        self._last = now

    def to_dict(self) -> dict[str, Any]:
        """Return what was found; only JSON types."""
        seconds = (self._last - self._first) / 1e9
        size = self._payload.n_bytes / self._payload.n_samples
        return {
            "received": self._n_samples // self._payload.n_samples,
            "latencies": self._latencies[WARM_UP:],
            "seconds": seconds,
            "cpu": time.process_time() - self._cpu,
            "rate": self._later * size / 1e6 / max(seconds, 1e-9),
        }


class RelayPair(Pair):
    """Two processes, and certificates for what lies between them."""

    def __init__(self, payload: Payload, seconds: float, folder: Path) -> None:
        super().__init__(payload, seconds, folder)
        self.tally = SampleTally(payload)  # type: ignore[assignment]
        self.wire = Wire.given()
        from rigmesh_daemon.security.pki import Pki
        from rigmesh_daemon.security.rules import Role
        from rigmesh_daemon.security.tokens import TokenFile

        self._tls = folder / "tls"
        self._tls.mkdir(mode=0o700)
        self._pki = Pki(self._tls)
        self._pki.make_ca("bench")
        self._pki.make_host(["localhost"], [self.wire.address])
        self._token = TokenFile(self._tls / "tokens.json").add(Role.VIEWER)[1]

    def run(self, produce: Producer, consume: Consumer) -> dict[str, Any]:
        """Fork, each onto its machine, and return what both found."""

        def one() -> None:
            enter(self.wire.producer)
            produce()

        def other() -> None:
            enter(self.wire.consumer)
            consume()

        return super().run(one, other) | read_json(self.folder / "recorded.json")

    def _confine_lsl(self) -> None:
        if not self.wire.producer:
            super()._confine_lsl()
            return
        from rigmesh.transports.lslconfig import lsl_config

        config = self.folder / "lsl_api.cfg"
        config.write_text(lsl_config("bench", [self.wire.address]), encoding="utf-8")
        os.environ["LSLAPICFG"] = str(config)

    # --- a bare stream -----------------------------------------------------------------------

    def bare(self) -> tuple[Producer, Consumer]:
        """The server makes the messages."""

        def produce() -> None:
            def stream(_request: bytes, _context: Any) -> Iterator[bytes]:
                time.sleep(0.3)
                before = time.process_time()
                yield from self._messages()
                self.cpu = time.process_time() - before

            served, port = server(self._tls, self.wire.address, stream)
            self.here.send(port)
            self.here.recv()
            served.stop(1.0).wait()

        return produce, self._take_messages

    def _messages(self) -> Iterator[bytes]:
        for array in stamped(self.payload, self._seconds):
            self.sent += 1
            yield array.tobytes()

    def _take_messages(self) -> None:
        channel = self._credentials(self.there.recv()).channel(1)
        stream: Any = channel.unary_stream(_METHOD)
        for raw in stream(b""):
            data = np.frombuffer(raw, self.payload.dtype)
            self.tally.take(data.reshape(-1, self.payload.n_channels))
        self.there.send("done")
        channel.close()

    # --- through a ring ----------------------------------------------------------------------

    def carried(self, how: str) -> tuple[Producer, Consumer]:
        """A server waits for the doorbell of a ring, and sends what it finds."""

        def produce() -> None:
            writer, finish = self._writer()
            command = [sys.executable, "-m", "benchmarks.relay_ends", "carry", how]
            arguments = [writer.segment.name, str(self._tls), self.wire.address]
            with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE) as carrier:
                if carrier.stdout is not None:
                    self.here.send(int(carrier.stdout.readline()))
                self._write(writer)
                self.here.recv()
                carrier.terminate()
            finish()

        return produce, self._take_messages

    def relay(self) -> tuple[Producer, Consumer]:
        """The relay process of a daemon, and a reader."""

        def produce() -> None:
            writer, finish = self._writer()
            with OnlySubscribe(self.folder / "daemon.sock", writer) as daemon:
                command = [
                    sys.executable, "-m", "rigmesh_daemon.relay", "--socket", str(daemon),
                    "--listen", f"{self.wire.address}:0", "--tls-dir", str(self._tls),
                ]  # fmt: skip
                with subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                ) as relay:
                    if relay.stdin is None or relay.stdout is None:
                        raise OSError("the relay has no pipes")
                    self.here.send(json.loads(relay.stdout.readline())["port"])
                    with self._recorder(writer):
                        self._write(writer)
                        self.here.recv()
                    relay.stdin.close()
            finish()

        def consume() -> None:
            from rigmesh.relay.memory import keep_memory
            from rigmesh.relay.reader import Ended, RelayReader
            from rigmesh.streams import Chunk

            keep_memory()  # as relay.Inlet does
            reader = RelayReader(self._credentials(self.there.recv()), "bench.signal")
            while not isinstance(event := reader.read(), Ended):
                if isinstance(event, Chunk):
                    self.tally.take(event.data)
            if reader.lost:
                sys.stderr.write(f"lost: {dict(reader.lost)}\n")
            self.there.send("done")
            reader.close()

        return produce, consume

    @contextlib.contextmanager
    def _recorder(self, writer: Any) -> Iterator[None]:
        """Record all of it on this machine, too, where that is what is measured."""
        if self.payload.name != "probe":
            yield
            return
        command = [sys.executable, "-m", "benchmarks.relay_ends", "record", writer.segment.name]
        with subprocess.Popen([*command, str(self.folder)]):
            yield

    def _writer(self) -> tuple[Any, Callable[[], None]]:
        from rigmesh.streams import StreamInfo
        from rigmesh.transports import ShmTransport, process_token

        payload = self.payload
        transport = ShmTransport(process_token())
        info = StreamInfo.signal(
            "bench.signal", channels=payload.n_channels, sampling_rate=payload.sampling_rate,
            dtype=payload.dtype,
        )  # fmt: skip
        capacity = 2000 if payload.is_paced else payload.n_slots
        writer = transport.writer(info, capacity * payload.n_samples, blocking=not payload.is_paced)
        return writer, writer.close

    def _write(self, writer: Any) -> None:
        from rigmesh.streams import Signal

        # Somebody reads, and what is written waits for it.
        deadline = time.monotonic() + _WITHIN
        n_readers = 2 if self.payload.name == "probe" else 1
        while time.monotonic() < deadline and not all(
            writer.ring.header.slot(number).is_taken for number in range(n_readers)
        ):
            time.sleep(0.01)
        stamps = np.arange(float(self.payload.n_samples))
        self.send(lambda array: writer.send(Signal(array, stamps)))
        writer.end()

    def _credentials(self, port: int) -> Any:
        from rigmesh.credentials import Credentials

        ca = self._pki.ca.read_bytes()
        return Credentials(f"{self.wire.address}:{port - 1}", ca, self._token)


WAYS: dict[str, Callable[[RelayPair], tuple[Producer, Consumer]]] = {
    BARE: RelayPair.bare,
    RELAY: RelayPair.relay,
    LSL: RelayPair.lsl,
    THREADS: lambda pair: pair.carried("threads"),
    ASYNCIO: lambda pair: pair.carried("asyncio"),
}


def main() -> None:
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        pair = RelayPair(Payload.named(words[2]), float(words[3]), Path(folder))
        print(json.dumps(pair.run(*WAYS[words[1]](pair))), flush=True)


if __name__ == "__main__":
    main()

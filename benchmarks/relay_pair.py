"""The ways from one process to another that `benchmarks.relay` compares.

``python -m benchmarks.relay_pair pair WAY PAYLOAD SECONDS`` prints what it found.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.loop.pairs import Consumer, Pair, Producer
from benchmarks.loop.payload import WARM_UP, Payload, stamped

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
        from rigmesh_daemon.security.pki import Pki
        from rigmesh_daemon.security.rules import Role
        from rigmesh_daemon.security.tokens import TokenFile

        self._tls = folder / "tls"
        self._tls.mkdir(mode=0o700)
        self._pki = Pki(self._tls)
        self._pki.make_ca("bench")
        self._pki.make_host(["localhost"], ["127.0.0.1"])
        self._token = TokenFile(self._tls / "tokens.json").add(Role.VIEWER)[1]

    # --- a bare stream -----------------------------------------------------------------------

    def bare(self) -> tuple[Producer, Consumer]:
        """The server makes the messages."""

        def produce() -> None:
            def stream(_request: bytes, _context: Any) -> Iterator[bytes]:
                time.sleep(0.3)
                before = time.process_time()
                yield from self._messages()
                self.cpu = time.process_time() - before

            server, port = _server(self._tls, stream)
            self.here.send(port)
            self.here.recv()
            server.stop(1.0).wait()

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
            command = [sys.executable, "-m", "benchmarks.relay_pair", "carry", how]
            arguments = [writer.segment.name, str(self._tls)]
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
            with _daemon(self.folder / "daemon.sock", writer) as daemon:
                command = [
                    sys.executable, "-m", "rigmesh_daemon.relay", "--socket", str(daemon),
                    "--listen", "127.0.0.1:0", "--tls-dir", str(self._tls),
                ]  # fmt: skip
                with subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                ) as relay:
                    if relay.stdin is None or relay.stdout is None:
                        raise OSError("the relay has no pipes")
                    self.here.send(json.loads(relay.stdout.readline())["port"])
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
        while not writer.ring.header.slot(0).is_taken and time.monotonic() < deadline:
            time.sleep(0.01)
        stamps = np.arange(float(self.payload.n_samples))
        self.send(lambda array: writer.send(Signal(array, stamps)))
        writer.end()

    def _credentials(self, port: int) -> Any:
        from rigmesh.credentials import Credentials

        ca = self._pki.ca.read_bytes()
        return Credentials(f"127.0.0.1:{port - 1}", ca, self._token)


WAYS: dict[str, Callable[[RelayPair], tuple[Producer, Consumer]]] = {
    BARE: RelayPair.bare,
    RELAY: RelayPair.relay,
    LSL: RelayPair.lsl,
    THREADS: lambda pair: pair.carried("threads"),
    ASYNCIO: lambda pair: pair.carried("asyncio"),
}


def _server(tls: Path, stream: Callable[[bytes, Any], Iterator[bytes]]) -> tuple[Any, int]:
    import grpc

    from rigmesh_daemon.security.tls import remote_options, server_credentials

    server = grpc.server(ThreadPoolExecutor(8), options=remote_options(64))
    handler: Any = grpc.unary_stream_rpc_method_handler(stream)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bench", {"Stream": handler}),)
    )
    port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
    server.start()
    return server, port


class _daemon:  # noqa: N801 - used as a function
    """What a relay asks of a daemon: where a ring lies."""

    def __init__(self, socket: Path, writer: Any) -> None:
        import grpc

        from rigmesh.streams.wire import info_to_wire
        from rigmesh.transports import process_token
        from rigmesh_proto.v1 import control_pb2 as pb
        from rigmesh_proto.v1.stream_pb2 import Ring

        ring = Ring(
            stream=writer.info.name, segment=writer.segment.name, info=info_to_wire(writer.info)
        )

        def subscribe(_request: Any, context: Any) -> Iterator[Any]:
            over = threading.Event()
            context.add_callback(over.set)
            yield pb.SubscribeResponse(ring=ring, session=process_token())
            over.wait()

        self._socket = socket
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler: Any = grpc.unary_stream_rpc_method_handler(
            subscribe, pb.SubscribeRequest.FromString, pb.SubscribeResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    "rigmesh_proto.v1.ControlService", {"Subscribe": handler}
                ),
            )
        )
        self._server.add_insecure_port(f"unix:{socket}")

    def __enter__(self) -> Path:
        self._server.start()
        return self._socket

    def __exit__(self, *exc: object) -> None:
        self._server.stop(0.5).wait()


def carry(how: str, segment: str, tls: Path) -> None:
    """Send what is in a ring to whoever calls."""
    import grpc

    from rigmesh.transports import ShmTransport, process_token

    sys.setswitchinterval(0.0005)
    transport = ShmTransport(process_token())

    def stream(_request: bytes, _context: Any) -> Iterator[bytes]:
        with transport.bell() as bell:
            reader = transport.reader(segment, bell, start="oldest", lossless=True)
            while not reader.is_finished:
                chunk = reader.receive(512)
                if chunk is None:
                    bell.wait(0.2)
                else:
                    reader.release()
                    yield chunk.data.tobytes()
            reader.close()

    async def stream_async(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        with transport.bell() as bell:
            reader = transport.reader(segment, bell, start="oldest", lossless=True)

            def listen() -> None:
                while not reader.is_finished:
                    bell.wait(0.2)
                    loop.call_soon_threadsafe(rung.set)

            thread = threading.Thread(target=listen, daemon=True)
            thread.start()
            while not reader.is_finished:
                chunk = reader.receive(512)
                if chunk is None:
                    await rung.wait()
                    rung.clear()
                else:
                    reader.release()
                    yield chunk.data.tobytes()
            await asyncio.to_thread(thread.join)
            reader.close()

    async def serve_async() -> None:
        from rigmesh_daemon.security.tls import remote_options, server_credentials

        server = grpc.aio.server(options=remote_options(64))
        handler: Any = grpc.unary_stream_rpc_method_handler(stream_async)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("bench.Bench", {"Stream": handler}),)
        )
        port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    if how == "asyncio":
        asyncio.run(serve_async())
    else:
        server, port = _server(tls, stream)
        print(port, flush=True)
        server.wait_for_termination()


def main() -> None:
    words = sys.argv[1:]
    if words[0] == "carry":
        carry(words[1], words[2], Path(words[3]))
        return
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        pair = RelayPair(Payload.named(words[2]), float(words[3]), Path(folder))
        print(json.dumps(pair.run(*WAYS[words[1]](pair))), flush=True)


if __name__ == "__main__":
    main()

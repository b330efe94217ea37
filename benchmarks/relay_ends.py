"""What stands at the two ends of `benchmarks.relay_pair`: machines, servers, a recorder.

``carry`` and ``record`` are processes of their own: ``python -m benchmarks.relay_ends WORD …``.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["OnlySubscribe", "Wire", "enter", "read_json", "server"]

_WIRE = "RIGMESH_BENCH_WIRE"
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Wire:
    """What lies between the two processes.

    Parameters
    ----------
    producer, consumer : int
        Processes in the network namespaces of the two; 0 for that of this process.
    address : str
        The producer's.
    """

    producer: int = 0
    consumer: int = 0
    address: str = "127.0.0.1"

    @classmethod
    def given(cls) -> Wire:
        """Return what the environment says."""
        words = os.environ.get(_WIRE, "").split()
        return cls(int(words[0]), int(words[1]), words[2]) if words else cls()

    @property
    def env(self) -> dict[str, str]:
        """What tells a process of it."""
        return {_WIRE: f"{self.producer} {self.consumer} {self.address}"} if self.producer else {}


def enter(pid: int) -> None:
    """Go into the network namespace of a process."""
    if not pid:
        return
    with Path(f"/proc/{pid}/ns/net").open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


def server(
    tls: Path, address: str, stream: Callable[[bytes, Any], Iterator[bytes]]
) -> tuple[Any, int]:
    import grpc

    from rigmesh_daemon.security.tls import remote_options, server_credentials

    made = grpc.server(ThreadPoolExecutor(8), options=remote_options(64))
    handler: Any = grpc.unary_stream_rpc_method_handler(stream)
    made.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("bench.Bench", {"Stream": handler}),)
    )
    port = made.add_secure_port(f"{address}:0", server_credentials(tls))
    made.start()
    return made, port


class OnlySubscribe:
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


def record(segment: str, folder: Path) -> None:
    """Capture what is in a ring, as a recorder does, and say how much."""
    from rigmesh.recording import Capture
    from rigmesh.transports import ShmTransport, process_token

    capture = Capture.create(folder / "file.h5", "bench", {})
    received, lost, commit_at, before = 0, 0, 0.0, time.process_time()
    transport = ShmTransport(process_token())
    with transport.bell() as bell:
        reader = transport.reader(segment, bell, start="oldest", lossless=True)
        while not reader.is_finished:
            chunk = reader.receive(3000)
            if chunk is None:
                bell.wait(0.05)
            else:
                capture.append(chunk)
                received += len(chunk)
                lost += sum(gap.count for gap in chunk.gaps)
                reader.release()
            if time.monotonic() > commit_at:
                capture.commit()
                commit_at = time.monotonic() + 0.25
        reader.close()
    capture.finish()
    found = {
        "recorded": received,
        "lost_by_recorder": lost,
        "cpu_of_recorder": time.process_time() - before,
    }
    (folder / "recorded.json").write_text(json.dumps(found), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def carry(how: str, segment: str, tls: Path, address: str) -> None:
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
        port = server.add_secure_port(f"{address}:0", server_credentials(tls))
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    if how == "asyncio":
        asyncio.run(serve_async())
    else:
        served, port = server(tls, address, stream)
        print(port, flush=True)
        served.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "carry":
        carry(sys.argv[2], sys.argv[3], Path(sys.argv[4]), sys.argv[5])
    else:
        record(sys.argv[2], Path(sys.argv[3]))

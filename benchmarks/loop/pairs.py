"""One hop between two plain processes: ``pairs.py PEER PAYLOAD SECONDS`` prints what it found.

Both are forked from here, so that what they share needs no name: nothing is left behind however
they end. Each way is used as its users would, with what makes it fast: zmq does not copy large
messages, LSL's outlet blocks where it would drop.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing as mp
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.loop.payload import Payload, Tally, stamped
from benchmarks.loop.raised import die_with_parent

Array = npt.NDArray[Any]

_SETTLE = 0.3
_HEAD = 4096
# Words of the ring's head, a cache line or more apart.
_WRITTEN, _ENDED, _READER_SLEEPS, _READ, _WRITER_SLEEPS = 0, 1, 8, 16, 24

Producer = Callable[[], None]
Consumer = Callable[[], None]


class EventBell:
    """An eventfd."""

    def __init__(self) -> None:
        self._number = os.eventfd(0)

    def ring(self) -> None:
        os.eventfd_write(self._number, 1)

    def wait(self) -> None:
        os.eventfd_read(self._number)


class SemaphoreBell:
    """A POSIX semaphore; its name is gone before anybody uses it."""

    def __init__(self) -> None:
        import posix_ipc

        self._semaphore = posix_ipc.Semaphore(None, posix_ipc.O_CREX)
        self._semaphore.unlink()

    def ring(self) -> None:
        self._semaphore.release()

    def wait(self) -> None:
        self._semaphore.acquire()


class Pair:
    """Two processes that are about to be forked.

    Parameters
    ----------
    payload : Payload
        What is sent.
    seconds : float
        How long.
    folder : Path
        For sockets.
    """

    def __init__(self, payload: Payload, seconds: float, folder: Path) -> None:
        self.payload = payload
        self.tally = Tally(payload)
        self.sent = 0
        self.cpu = 0.0
        self._seconds = seconds
        self.folder = folder
        self.here: Connection
        self.there: Connection
        self.here, self.there = mp.Pipe()

    def send(self, emit: Callable[[Array], object]) -> None:
        """Send all messages."""
        time.sleep(_SETTLE)
        before = time.process_time()
        for array in stamped(self.payload, self._seconds):
            emit(array)
            self.sent += 1
        self.cpu = time.process_time() - before

    # --- ways to do it: each returns what the producer and what the consumer does --------------

    def ring(self, bell_type: type[EventBell] | type[SemaphoreBell]) -> tuple[Producer, Consumer]:
        """A ring in shared memory: copied into, looked at in place; rings only who sleeps."""
        n_slots = self.payload.n_slots
        memory = mmap.mmap(-1, _HEAD + n_slots * self.payload.n_bytes)
        head = np.frombuffer(memory, np.int64, _HEAD // 8)
        slots = np.frombuffer(memory, self.payload.dtype, offset=_HEAD)
        slots = slots.reshape(n_slots, *self.payload.shape)
        filled, freed = bell_type(), bell_type()

        def emit(array: Array) -> None:
            number = int(head[_WRITTEN])
            while number - head[_READ] >= n_slots:
                head[_WRITER_SLEEPS] = 1
                if number - head[_READ] >= n_slots:
                    freed.wait()
            slots[number % n_slots] = array
            head[_WRITTEN] = number + 1
            if head[_READER_SLEEPS]:
                head[_READER_SLEEPS] = 0
                filled.ring()

        def produce() -> None:
            self.send(emit)
            head[_ENDED] = 1
            filled.ring()

        def consume() -> None:
            number = 0
            while True:
                while head[_WRITTEN] == number:
                    if head[_ENDED]:
                        return
                    head[_READER_SLEEPS] = 1
                    if head[_WRITTEN] != number or head[_ENDED]:
                        head[_READER_SLEEPS] = 0
                        break
                    filled.wait()
                if head[_WRITTEN] == number:
                    continue
                self.tally.take(slots[number % n_slots])
                number += 1
                head[_READ] = number
                if head[_WRITER_SLEEPS] and head[_WRITTEN] - number < n_slots // 2:
                    head[_WRITER_SLEEPS] = 0
                    freed.ring()

        return produce, consume

    def pipe(self) -> tuple[Producer, Consumer]:
        """``multiprocessing.Pipe``."""

        def produce() -> None:
            self.send(lambda array: self.here.send_bytes(array.data))
            self.here.send_bytes(b"")

        def consume() -> None:
            buffer = np.empty(self.payload.shape, self.payload.dtype)
            view = buffer.data.cast("B")
            while self.there.recv_bytes_into(view):
                self.tally.take(buffer)

        return produce, consume

    def zmq(self) -> tuple[Producer, Consumer]:
        """PUB and SUB for paced messages; PUSH and PULL, which wait, for all others."""
        import zmq

        address = f"ipc://@rigmesh-bench-{os.getpid()}"  # a path would have a limit of 107 bytes
        is_paced, is_large = self.payload.is_paced, self.payload.n_bytes > 2**16

        def produce() -> None:
            context = zmq.Context()
            # A PUB that tells who subscribed: what it sends before that is lost, the end as well.
            out = context.socket(zmq.XPUB if is_paced else zmq.PUSH)
            out.set_hwm(self.payload.n_slots)
            out.bind(address)
            self.here.recv()
            if is_paced:
                out.recv()

            def emit(array: Array) -> None:
                if is_large and not is_paced:  # what is not copied needs memory of its own
                    out.send(array.copy().data, copy=False)
                else:
                    out.send(array.data)

            self.send(emit)
            time.sleep(0.1)
            out.send(b"")
            out.close(linger=2000)
            context.term()

        def consume() -> None:
            context = zmq.Context()
            into = context.socket(zmq.SUB if is_paced else zmq.PULL)
            into.set_hwm(self.payload.n_slots)
            if is_paced:
                into.subscribe(b"")
            into.connect(address)
            self.there.send("connected")
            while True:
                raw = into.recv(copy=False).buffer if is_large else into.recv()
                if not len(raw):
                    break
                data = np.frombuffer(raw, self.payload.dtype)
                self.tally.take(data.reshape(self.payload.shape))
            into.close()
            context.term()

        return produce, consume

    def lsl(self) -> tuple[Producer, Consumer]:
        """An outlet and an inlet of liblsl, with the calls for arrays."""
        self._confine_lsl()
        n, width = self.payload.shape
        name = f"rigmesh-bench-{os.getpid()}"

        def produce() -> None:
            import pylsl

            flags = 0 if self.payload.is_paced else pylsl.transp_sync_blocking
            info = pylsl.StreamInfo(
                name, "x", width, self.payload.sampling_rate, self.payload.dtype, name
            )
            outlet = pylsl.StreamOutlet(info, chunk_size=n, transport_flags=flags)
            outlet.wait_for_consumers(20)
            self.here.recv()
            self.send(lambda array: outlet.push_chunk(array, pylsl.local_clock()))
            self.here.send("over")
            self.here.recv()

        def consume() -> None:
            import pylsl

            (found,) = pylsl.resolve_byprop("source_id", name, timeout=20)
            inlet = pylsl.StreamInlet(found, max_buflen=60)
            inlet.open_stream(10)
            self.there.send("open")
            buffer, filled, is_over = np.empty((n, width), self.payload.dtype), 0, False
            while True:
                data, stamps = inlet.pull_chunk(0.2, n - filled, min_samples=1, as_numpy=True)
                if not len(stamps):
                    if is_over:
                        break
                    is_over = self.there.poll()
                    continue
                # LSL may hand a message over in parts.
                buffer[filled : filled + len(stamps)] = data
                filled = (filled + len(stamps)) % n
                if not filled:
                    self.tally.take(buffer)
            self.there.send("done")
            inlet.close_stream()

        return produce, consume

    def _confine_lsl(self) -> None:
        from rigmesh.transports.lslconfig import lsl_config

        config = self.folder / "lsl_api.cfg"
        session = f"rigmesh-bench-{os.getpid()}"
        config.write_text(lsl_config(session, loopback_only=True), encoding="utf-8")
        os.environ["LSLAPICFG"] = str(config)

    # --- running -----------------------------------------------------------------------------

    def run(self, produce: Producer, consume: Consumer) -> dict[str, Any]:
        """Fork, and return what both found."""
        context = mp.get_context("fork")
        answers = context.Queue()

        def one() -> None:
            die_with_parent()
            produce()
            answers.put({"sent": self.sent, "cpu_sent": self.cpu})

        def other() -> None:
            die_with_parent()
            consume()
            answers.put(self.tally.to_dict())

        processes = [context.Process(target=each, daemon=True) for each in (other, one)]
        for process in processes:
            process.start()
        found: dict[str, Any] = {}
        for _ in processes:
            found |= answers.get(timeout=60 + self._seconds)
        for process in processes:
            process.join(10)
        return found


WAYS: dict[str, Callable[[Pair], tuple[Producer, Consumer]]] = {
    "bare ring": lambda pair: pair.ring(EventBell),
    "bare ring, semaphore": lambda pair: pair.ring(SemaphoreBell),
    "Pipe": Pair.pipe,
    "pyzmq": Pair.zmq,
    "pylsl": Pair.lsl,
}


def main() -> None:
    peer, payload, seconds = sys.argv[1], Payload.named(sys.argv[2]), float(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="rigmesh-bench-") as folder:
        pair = Pair(payload, seconds, Path(folder))
        print(json.dumps(pair.run(*WAYS[peer](pair))), flush=True)


if __name__ == "__main__":
    main()

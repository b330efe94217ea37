"""LSL streams for windows, without any daemon: an inlet node that runs in the window's process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

from rigmesh.display import Reader
from rigmesh.errors import RigmeshError, WaitTimeout
from rigmesh.node.ports import Output
from rigmesh.streams import Chunk, ClockModel, Gap
from rigmesh_nodes.lsl import Inlet

__all__ = ["lsl_reader"]

_KEPT_CHUNKS = 1000


def lsl_reader(*, stream: str = "", predicate: str = "") -> Callable[[], Reader]:
    """Return what opens a reader of an LSL stream, for a `Feed`.

    Parameters
    ----------
    stream : str
        Its name.
    predicate : str
        Or an XPath predicate over LSL's description of it.
    """
    return lambda: _InletReader(Inlet(stream=stream, predicate=predicate, timeout=1.0))


class _InletReader:
    """Runs the node that receives in graphs; its gaps, clock and recovery come with it."""

    def __init__(self, node: Inlet) -> None:
        self._node = node
        self._chunks: queue.Queue[Chunk | RigmeshError | None] = queue.Queue(_KEPT_CHUNKS)
        for output in node.bound_outputs():
            output.stream = node.stream or node.predicate
            output.add_target(self)
        node.open()
        try:
            node.prepare()
        except BaseException:
            node.close()
            raise
        self._thread = threading.Thread(target=self._run, name="source lsl", daemon=True)
        self._thread.start()

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk."""
        try:
            found = self._chunks.get(timeout=timeout)
        except queue.Empty:
            raise WaitTimeout(f"no sample of {self._node.stream} within {timeout} s") from None
        if isinstance(found, RigmeshError):
            raise found
        return found

    def close(self) -> None:
        """Stop receiving."""
        self._node.request_stop()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):  # it may wait for room
                self._chunks.get_nowait()
            self._thread.join(0.05)
        self._node.close()

    def _run(self) -> None:
        try:
            for _ in self._node.acquire():
                pass
        except RigmeshError as error:
            self._chunks.put(error)
        else:
            self._chunks.put(None)

    # --- as a target of the node's outputs ---------------------------------------------------

    def announced(self, output: Output[Chunk]) -> None:
        """Leave it to the chunks, which have their description with them."""

    def deliver(self, chunk: Chunk) -> None:
        """Keep a chunk for who reads."""
        self._chunks.put(chunk.copy())

    def lost(self, gap: Gap) -> None:
        """Leave it to the next chunk, which tells of it."""

    def clock_changed(self, clock: ClockModel) -> None:
        """Leave it to the chunks, which have their clock with them."""

    def ended(self) -> None:
        """Leave it to `acquire`, which ends."""

"""A thread that reads one stream, for as long as somebody looks."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable
from typing import Literal, Protocol

from rigmesh.errors import RigmeshError, WaitTimeout
from rigmesh.streams import Chunk, StreamInfo, local_clock

__all__ = ["Feed", "Reader", "Sink"]

_log = logging.getLogger(__name__)

_LOOK_AGAIN_AFTER = 0.5
_PATIENCE = 0.2
_LEAVE_WITHIN = 1.0


class Reader(Protocol):
    """Something that gives the chunks of a stream."""

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk, None when the stream is over; WaitTimeout if nothing comes."""

    def close(self) -> None:
        """Stop reading."""


class Sink(Protocol):
    """Takes what a feed reads, in the feed's thread."""

    def describe(self, info: StreamInfo) -> None:
        """Learn what follows; called again when the format changes."""

    def take(self, chunk: Chunk) -> None:
        """Take a chunk; its arrays are valid during the call only."""


class Feed:
    """Reads a stream into a sink until it is closed.

    It waits for a stream that is not there yet, and for one that ended to begin again; a reader
    that is too slow loses samples, is told, and nobody waits for it.

    Parameters
    ----------
    name : str
        The stream's, for people.
    open_reader : callable
        Returns a reader, or raises a RigmeshError while there is no stream.
    sink : Sink
        Where the chunks go.

    Attributes
    ----------
    state : str
        ``waiting``, ``live`` or ``over``.
    error : str
        Why it waits.
    n_lost : int
        Samples that this reader misses, whoever lost them.
    """

    def __init__(self, name: str, open_reader: Callable[[], Reader], sink: Sink) -> None:
        self.name = name
        self.sink = sink
        self.state: Literal["waiting", "live", "over"] = "waiting"
        self.error = ""
        self.n_lost = 0
        self._open = open_reader
        self._info: StreamInfo | None = None
        self._handed_on: dict[int, tuple[int, float]] = {}
        self._is_reread = False
        self._newest = self._came = math.nan
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed {name}", daemon=True)
        self._thread.start()

    @property
    def info(self) -> StreamInfo | None:
        """The stream's description, once something came."""
        return self._info

    @property
    def age(self) -> float:
        """How old the newest sample is, in seconds; NaN before the first."""
        return local_clock() - self._newest

    @property
    def silence(self) -> float:
        """How long nothing has come, in seconds; NaN before the first sample."""
        return local_clock() - self._came

    def leave(self) -> None:
        """Stop reading soon, for `close` to wait less."""
        self._leave.set()

    def close(self) -> None:
        """Stop reading."""
        self.leave()
        # Not for ever: a thread that waits for a daemon to answer ends by itself, without us.
        self._thread.join(_LEAVE_WITHIN)

    def _run(self) -> None:
        while not self._leave.is_set():
            try:
                with contextlib.closing(self._open()) as reader:
                    self._read(reader)
            except RigmeshError as error:
                self.state, self.error = "waiting", str(error)
            except Exception as error:  # as no memory for a picture: told, and tried again
                told = f"{type(error).__name__}: {error}"
                if told != self.error:
                    _log.exception("%s: a mistake while it was read; it is read anew", self.name)
                self.state, self.error = "waiting", told
            self._leave.wait(_LOOK_AGAIN_AFTER)

    def _read(self, reader: Reader) -> None:
        # A reader that begins with the oldest gives again what came before it was opened anew.
        self._is_reread = bool(self._handed_on)
        while not self._leave.is_set():
            try:
                chunk = reader.read(_PATIENCE)
            except WaitTimeout:
                continue
            if chunk is None:
                self.state, self.error = "over", ""
                return
            self._hand_on(chunk)

    def _hand_on(self, chunk: Chunk) -> None:
        if self._is_reread and self._had(chunk):
            return
        self._is_reread = False
        if chunk.info is not None and chunk.info is not self._info:
            if self._info is None or chunk.info != self._info:
                self.sink.describe(chunk.info)
            self._info = chunk.info
        if chunk.gaps:
            self.n_lost += sum(gap.count for gap in chunk.gaps)
        self.sink.take(chunk)
        if len(chunk):
            self._newest = float(chunk.timestamps[-1])
            self._came = local_clock()
            self._handed_on[chunk.epoch] = chunk.stop, self._newest
        self.state, self.error = "live", ""

    def _had(self, chunk: Chunk) -> bool:
        stop, newest = self._handed_on.get(chunk.epoch, (0, -math.inf))
        # Not by the index alone: a daemon that began anew counts its epochs anew, too.
        return chunk.stop <= stop and len(chunk) > 0 and float(chunk.timestamps[-1]) <= newest

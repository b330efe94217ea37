"""Reading a stream of another host in a script, without a daemon here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NoReturn, Self

from rigmesh.errors import RigmeshError, StreamLost, Unsupported, WaitTimeout
from rigmesh.relay.clock import HostClock, borrow_clock, composed, return_clock
from rigmesh.relay.reader import Ended, RelayReader
from rigmesh.relay.target import RelayHost
from rigmesh.streams import Cause, Chunk, Gap
from rigmesh.transports import StartAt

__all__ = ["RemoteStreamReader"]

_MOST_BYTES = 16 * 2**20
"""Kept here for a script that does not read; the rest waits at the other side."""
_FOLLOW_WITHIN = 10.0
_CLOCK_WITHIN = 2.0


class RemoteStreamReader:
    """Reads one stream of another host; a context manager and an iterator over chunks.

    As `rigmesh.client.stream.StreamReader` for streams of this host.

    Parameters
    ----------
    host : RelayHost
        Where it comes from.
    stream : str
        ``node.port``.
    start : "now" or "oldest"
        Where to begin.
    lossless : bool
        Lose nothing unless the link is down for longer than `spool_seconds`. If not, a script that
        is late gets the newest samples, and is told how many it has missed.
    compression : str
        ``lz4``, ``zstd`` or nothing.
    spool_seconds : float
        How long the other side keeps samples, in seconds; 10 as in a ring of this host.
    spool_mib : int
        How much it keeps.
    """

    def __init__(
        self,
        host: RelayHost,
        stream: str,
        *,
        start: StartAt = "now",
        lossless: bool = True,
        compression: str = "",
        spool_seconds: float = 10.0,
        spool_mib: int = 512,
    ) -> None:
        self.stream = stream
        self._reader = RelayReader(
            host,
            stream,
            start=start,
            lossless=lossless,
            compression=compression,
            spool_seconds=spool_seconds,
            spool_mib=spool_mib,
        )
        self._most_bytes = _MOST_BYTES if lossless else 1
        self._clock = borrow_clock(host)
        self._has_waited = False
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ended = False
        self._error: RigmeshError | None = None
        self._is_closed = False
        self._last: tuple[int, float] | None = None
        self._lost_since: float | None = None
        self._thread = threading.Thread(target=self._listen, name=f"stream {stream}", daemon=True)
        self._thread.start()

    @property
    def reader(self) -> RelayReader:
        """The link, for its state and counters."""
        return self._reader

    @property
    def clock(self) -> HostClock:
        """The clock of the other host."""
        return self._clock

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk, or None when the stream is over.

        Raises
        ------
        WaitTimeout
            If nothing comes for `timeout` seconds.
        StreamLost
            If its writer died and nothing follows.
        NotPermitted
            If the token is not, or no more, good.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._chunks:
                if self._error is not None:
                    raise self._error
                if self._ended or self._is_closed:
                    return None
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    why = f": {self._reader.failure}" if self._reader.failure else ""
                    raise WaitTimeout(f"no sample of {self.stream} within {timeout} s{why}")
                self._changed.wait(remaining)
            chunk = self._chunks.popleft()
            self._bytes -= _size(chunk)
            self._changed.notify_all()
        return self._finished(chunk)

    def chunks(self, seconds: float | None = None, timeout: float | None = None) -> Iterator[Chunk]:
        """Yield chunks until the stream is over, or for some seconds.

        Parameters
        ----------
        seconds : float
            Stop after so long.
        timeout : float
            Raise if nothing comes for so long.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            patience = timeout
            if end is not None:
                rest = max(0.0, end - time.monotonic())
                patience = rest if timeout is None else min(timeout, rest)
            try:
                chunk = self.read(patience)
            except WaitTimeout:
                if end is not None and time.monotonic() >= end:
                    return
                raise
            if chunk is None:
                return
            yield chunk

    @property
    def ring(self) -> NoReturn:
        """Not here.

        Raises
        ------
        Unsupported
            Always: the ring lies in the memory of the other host.
        """
        raise Unsupported(
            f"{self.stream} comes from another host, whose memory cannot be looked at from here; "
            "read chunks, or relay it to this host by a node relay.Inlet and read that one's ring"
        )

    @property
    def is_closed(self) -> bool:
        """Whether reading has been stopped."""
        return self._is_closed

    def close(self) -> None:
        """Stop reading."""
        if self._is_closed:
            return
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._reader.stop()
        self._thread.join()
        return_clock(self._clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    # --- inside ------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while not self._is_closed:
                was_connected = self._reader.is_connected
                event = self._reader.read()
                if self._reader.is_connected and not was_connected:
                    self._clock.refresh()
                self._look_for_lost_writer()
                if isinstance(event, Chunk):
                    self._add(event)
                elif isinstance(event, Ended):
                    break
        except RigmeshError as error:
            self._error = error
        finally:
            self._reader.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _look_for_lost_writer(self) -> None:
        if not self._reader.writer_lost:
            self._lost_since = None
            return
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since > _FOLLOW_WITHIN:
            raise StreamLost(f"the process that made {self.stream} died")

    def _add(self, chunk: Chunk) -> None:
        with self._changed:
            while self._bytes >= self._most_bytes and not self._is_closed:
                self._changed.wait()
            self._chunks.append(chunk)
            self._bytes += _size(chunk)
            self._changed.notify_all()

    def _finished(self, chunk: Chunk) -> Chunk:
        if not self._has_waited:
            self._has_waited = True
            self._clock.wait(_CLOCK_WITHIN)
        chunk.clock = composed(chunk.clock, self._clock.model())
        if len(chunk):
            self._note_restart(chunk)
        return chunk

    def _note_restart(self, chunk: Chunk) -> None:
        """Find, as a reader of a ring does, how long the writer was away."""
        stamps = chunk.timestamps
        last = self._last
        if last is not None and last[0] != chunk.epoch:
            rate = chunk.info.sampling_rate if chunk.info is not None else 0.0
            duration = float(stamps[0]) - last[1]
            count = max(0, round(duration * rate) - 1)
            gap = Gap(Cause.RESTART, chunk.epoch, chunk.index, count, duration, exact=False)
            chunk.gaps = (gap, *chunk.gaps)
        self._last = chunk.epoch, float(stamps[-1])


def _size(chunk: Chunk) -> int:
    """Return about how much memory a chunk takes."""
    data = chunk.data
    return sum(map(len, data)) + 64 if isinstance(data, list) else int(data.nbytes) + 64

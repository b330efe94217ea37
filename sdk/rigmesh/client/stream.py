"""Reading a stream in a script: straight from shared memory, the daemon only says where."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from rigmesh.client.connection import Connection
from rigmesh.client.retry import BACK_WITHIN, PatientConnection
from rigmesh.errors import DaemonUnavailable, RigmeshError, StreamLost, UnknownName, WaitTimeout
from rigmesh.streams import Cause, Chunk, Gap
from rigmesh.transports import Bell, NoBell, RingReader, RingState, ShmTransport, StartAt
from rigmesh_proto.v1 import control_pb2 as pb
from rigmesh_proto.v1.stream_pb2 import Ring

__all__ = ["StreamReader"]

_POLL = 0.2
_FOLLOW_WITHIN = 10.0
"""How long a stream whose writer died may take to come back, in seconds."""
_ASK_AGAIN_AFTER = 0.1
_LEAVE_WITHIN = 5.0
"""For the thread that listens to the daemon, in seconds."""


class StreamReader:
    """Reads one stream; a context manager and an iterator over chunks.

    It does not need the daemon to read a ring. If that dies and comes back, it is asked again where
    the stream goes on.

    Parameters
    ----------
    connection : Connection
        To the stream's daemon.
    stream : str
        ``node.port``.
    start : int, "now" or "oldest"
        Where to begin.
    look_every : float
        Look for samples so often, in seconds, instead of being woken for each chunk: whoever makes
        them then does not notice this reader.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        *,
        start: StartAt = "now",
        look_every: float = 0.0,
    ) -> None:
        self.stream = stream
        self._connection = connection
        self._start = start
        self._answers: queue.Queue[pb.SubscribeResponse | RigmeshError] = queue.Queue()
        self._reader: RingReader | None = None
        self._bell: Bell | None = NoBell(look_every) if look_every else None
        self._transport: ShmTransport | None = None
        self._ended = False
        self._error: RigmeshError | None = None
        self._away: tuple[float, DaemonUnavailable] | None = None
        self._waiting: list[Ring] = []
        self._known: set[str] = set()
        self._leave = threading.Event()
        self._last: float | None = None
        self._thread = threading.Thread(target=self._listen, name=f"stream {stream}", daemon=True)
        self._thread.start()

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return the next chunk, or None when the stream is over.

        Raises
        ------
        WaitTimeout
            If nothing comes for `timeout` seconds.
        StreamLost
            If its writer died and nothing follows.
        DaemonUnavailable
            If there is no daemon to say where it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        lost_since: float | None = None
        while True:
            self._take_answers()
            if self._reader is None and not self._next_ring():
                self._raise_if_that_was_all()
                if self._ended:
                    return None
            elif (chunk := self._receive()) is not None:
                return chunk
            elif self._reader is not None and self._reader.state is RingState.LOST:
                lost_since = lost_since or time.monotonic()
                if self._reader.is_finished and time.monotonic() - lost_since > _FOLLOW_WITHIN:
                    raise StreamLost(f"the process that made {self.stream} died")
            else:
                self._raise_if_that_was_all()
            remaining = _POLL if deadline is None else min(_POLL, deadline - time.monotonic())
            if remaining <= 0:
                raise WaitTimeout(f"no sample of {self.stream} within {timeout} s")
            self._sleep(remaining)

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
    def ring(self) -> RingReader:
        """The ring itself, for ``[a:b]`` and `window`.

        Raises
        ------
        StreamLost
            If the stream has not begun, or is over.
        """
        deadline = time.monotonic() + _FOLLOW_WITHIN
        while self._reader is None and time.monotonic() < deadline and not self._ended:
            self._take_answers()
            if not self._next_ring():
                self._raise_if_that_was_all()
                self._sleep(0.01)
        if self._reader is None:
            raise StreamLost(f"{self.stream} has no ring: it has not begun, or is over")
        return self._reader

    @property
    def is_closed(self) -> bool:
        """Whether reading has been stopped."""
        return self._leave.is_set()

    def close(self) -> None:
        """Stop reading."""
        self._leave.set()
        # Not for ever: a Ctrl-C in a script, unlike in `rigmesh` (`spare_locks`), can leave one of
        # gRPC's locks taken, and this thread may need it to cancel its call.
        self._thread.join(_LEAVE_WITHIN)
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    # --- inside ------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Collect the daemon's answers, also those of the next daemon."""
        was_away = False
        while (error := self._subscribe()) is not None and not self._leave.is_set():
            if isinstance(error, DaemonUnavailable):
                if isinstance(self._connection, PatientConnection):
                    was_away = True
                    self._away = self._away or (time.monotonic(), error)
                    self._leave.wait(_ASK_AGAIN_AFTER)
                    continue
            elif was_away and isinstance(error, UnknownName):
                error = StreamLost(f"the daemon was started anew, and has no more: {error}")
            self._answers.put(error)
            return

    def _subscribe(self) -> RigmeshError | None:
        """Ask once; leaving cancels the call, and with it our lease. Return why it broke."""
        request = pb.SubscribeRequest(stream=self.stream)
        stub = self._connection.stub
        errors: list[RigmeshError] = []
        try:
            with self._connection.stream(stub.Subscribe, request) as answers:
                watch = threading.Thread(target=self._forward, args=(answers, errors), daemon=True)
                watch.start()
                while watch.is_alive() and not self._leave.wait(_POLL):
                    pass
            watch.join()
        except RigmeshError as error:
            errors.append(error)
        return errors[0] if errors else None

    def _forward(self, answers: Iterator[pb.SubscribeResponse], errors: list[RigmeshError]) -> None:
        try:
            for answer in answers:
                self._away = None
                self._answers.put(answer)
        except RigmeshError as error:
            errors.append(error)

    def _take_answers(self) -> None:
        while True:
            try:
                answer = self._answers.get_nowait()
            except queue.Empty:
                return
            if isinstance(answer, RigmeshError):
                self._error = answer
            elif not answer.HasField("ring"):
                self._ended = True
            elif answer.ring.segment not in self._known:
                if self._transport is None:
                    self._transport = ShmTransport.like(answer.session, answer.ring.segment)
                    self._bell = self._bell or self._transport.bell()
                self._known.add(answer.ring.segment)
                self._waiting.append(answer.ring)

    def _raise_if_that_was_all(self) -> None:
        """Raise what keeps us from reading on, once there is nothing left to read."""
        away, reader = self._away, self._reader
        if self._error is None and away is None:
            return
        if reader is not None and reader.writer_is_alive and not reader.is_finished:
            return
        if self._error is not None:
            raise self._error
        if reader is not None and reader.state is RingState.OPEN:
            reader.declare_lost()  # nobody else does while there is no daemon
        elif away is not None and time.monotonic() - away[0] > BACK_WITHIN:
            raise DaemonUnavailable(str(away[1])) from away[1]

    def _next_ring(self) -> bool:
        if not self._waiting or self._transport is None or self._bell is None:
            return False
        ring = self._waiting.pop(0)
        start: StartAt = self._start
        if self._last is None and start == "now":
            del self._waiting[:-1]  # only the newest epoch has a now
            if self._waiting:
                ring = self._waiting.pop()
        elif self._last is not None:
            start = "oldest"
        self._reader = self._transport.reader(ring.segment, self._bell, name="script", start=start)
        return True

    def _receive(self) -> Chunk | None:
        reader = self._reader
        if reader is None:
            return None
        chunk = reader.receive()
        if chunk is not None:
            reader.release()
            if len(chunk):
                self._note_restart(chunk)
            return chunk
        if reader.is_finished and (self._waiting or reader.state is RingState.ENDED):
            self._ended = self._ended or not self._waiting
            reader.close()
            self._reader = None
        return None

    def _note_restart(self, chunk: Chunk) -> None:
        first = float(chunk.timestamps[0])
        rate = chunk.info.sampling_rate if chunk.info is not None else 0.0
        restarted = self._last is not None and chunk.index == 0
        known = any(gap.cause is Cause.RESTART for gap in chunk.gaps)
        if restarted and not known and self._last is not None:
            duration = first - self._last
            count = max(0, round(duration * rate) - 1)
            gap = Gap(Cause.RESTART, chunk.epoch, 0, count, duration, exact=False)
            chunk.gaps = (gap, *chunk.gaps)
        self._last = float(chunk.timestamps[-1])

    def _sleep(self, seconds: float) -> None:
        if self._reader is not None and self._bell is not None:
            self._bell.wait(seconds)
        else:
            time.sleep(min(seconds, 0.01))

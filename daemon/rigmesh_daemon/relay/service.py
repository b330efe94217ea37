"""The relay's service: each RPC, and who its consumers are.

It is served with threads, not with asyncio. The thread that answers a call sleeps on the doorbell
of the ring itself; an event loop cannot: a second thread would have to wake it for each chunk.
Measured with chunks of 3,840 bytes at 1 kHz over loopback, on two cores, from the producer's clock
to the consumer's, the median is the lower one for it: see ``benchmarks/results/relay.md``.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import grpc

from rigmesh.errors import DaemonError, RigmeshError
from rigmesh.relay.compression import Compressor
from rigmesh.relay.wire import PART_BYTES, parts
from rigmesh.rpc import FAILURE_KEY, failure_of, status_of
from rigmesh.streams import clock_id
from rigmesh_daemon.relay.consumer import Consumer, Limits, Superseded, Viewer
from rigmesh_daemon.relay.feed import ASK_EVERY, Feed
from rigmesh_daemon.relay.lease import DaemonLink
from rigmesh_daemon.relay.spool import Item, Spool
from rigmesh_daemon.security.callers import token_of
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = ["ClockKey", "Relay", "handler"]

_log = logging.getLogger(__name__)

_ALIVE = pb.CarryResponse(alive=pb.Alive()).SerializeToString()
SERVICE = "rigmesh_proto.v1.RelayService"
_ALIVE_EVERY = 0.5
_KEEP_EVERY = 0.1
_LEAST_SECONDS = 1.0
_LONGEST_NAME = 500
_PUBLISHED_WITHIN = 10.0

Context = Any
Key = tuple[str, str, str]
"""Of a lossless consumer: its token, its own name, and the stream."""
ClockKey = Callable[[], tuple[bytes, int]]
"""Returns the key and the UDP port of this host's clock responder."""


class Relay:
    """Hands the streams of this host to consumers on others.

    Parameters
    ----------
    link : DaemonLink
        To the daemon of this host.
    clock_key : callable
        Returns key and port of the clock responder; port 0 if there is none.
    limits : Limits
        What consumers may ask for.
    host : str
        Name of this machine.
    """

    def __init__(
        self,
        link: DaemonLink,
        clock_key: ClockKey = lambda: (b"", 0),
        *,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        host: str = "",
    ) -> None:
        self._link = link
        self._clock_key = clock_key
        self._limits = limits
        self._host = host
        self._clock_id = clock_id()
        self._lock = threading.Lock()
        self._consumers: dict[Key, Consumer] = {}
        self._viewers: dict[Viewer, str] = {}
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="relay keeper", daemon=True)
        self._keeper.start()

    # --- what it keeps -----------------------------------------------------------------------

    @property
    def n_consumers(self) -> int:
        """Lossless consumers, also those that are away."""
        return len(self._consumers)

    @property
    def n_bytes(self) -> int:
        """What is kept for all of them."""
        return sum(consumer.spool.n_bytes for consumer in list(self._consumers.values()))

    @property
    def waiting(self) -> int:
        """Samples that lie in the rings, of the consumer that has most."""
        everybody: list[Consumer | Viewer] = [*list(self._consumers.values()), *list(self._viewers)]
        return max((consumer.feed.waiting for consumer in everybody), default=0)

    # --- RPCs --------------------------------------------------------------------------------

    def carry(self, requests: Iterator[pb.CarryRequest], context: Context) -> Iterator[bytes]:
        """Send a stream, for as long as the consumer listens."""
        try:
            yield from self._carry(requests, context)
        except Superseded:
            return
        except RigmeshError as error:
            self._abort(context, error)

    def get_clock_key(
        self, _request: pb.GetClockKeyRequest, _context: Context
    ) -> pb.GetClockKeyResponse:
        """Tell what is needed to measure this host's clock."""
        key, port = self._clock_key()
        return pb.GetClockKeyResponse(key=key, udp_port=port, clock_id=self._clock_id)

    def probe_clock(
        self, request: pb.ProbeClockRequest, _context: Context
    ) -> pb.ProbeClockResponse:
        """Tell the time, for who cannot reach the responder."""
        t1 = time.monotonic_ns()
        return pb.ProbeClockResponse(t0=request.t0, t1=t1, t2=time.monotonic_ns())

    def stop(self) -> None:
        """Let the calls end."""
        self._closing.set()
        with self._lock:
            consumers: list[Consumer | Viewer] = [*self._consumers.values(), *self._viewers]
        for consumer in consumers:
            consumer.wake()

    def close(self) -> None:
        """Forget all consumers; their calls are over by then."""
        self._closing.set()
        self._keeper.join()
        with self._lock:
            consumers: list[Consumer | Viewer] = [*self._consumers.values(), *self._viewers]
            self._consumers.clear()
            self._viewers.clear()
        for consumer in consumers:
            consumer.close()

    # --- carrying ----------------------------------------------------------------------------

    def _carry(self, requests: Iterator[pb.CarryRequest], context: Context) -> Iterator[bytes]:
        first = next(requests, None)
        if first is not None and first.HasField("told"):
            self._hear(first.told, token_of(context))
            yield _ALIVE
            return
        if first is None or not first.HasField("open"):
            raise DaemonError("a call of Carry begins with `open`")
        wanted = first.open
        if not wanted.stream or max(len(wanted.stream), len(wanted.reader)) > _LONGEST_NAME:
            raise DaemonError(f"a stream and a reader have names of up to {_LONGEST_NAME} letters")
        identity = token_of(context)
        consumer: Consumer | Viewer
        if wanted.lossless:
            key = identity, wanted.reader, wanted.stream
            kept = consumer = self._consumer(key, wanted)
            call = kept.enter(wanted.resume if wanted.HasField("resume") else None)
            take: Callable[[], Item | None] = partial(kept.next, call)
            leave = partial(self._leave, key, kept, call)
        else:
            viewer = consumer = self._viewer(identity, wanted)
            take, leave = viewer.next, partial(self._forget_viewer, viewer)
        try:
            context.add_callback(consumer.wake)
            listener = threading.Thread(
                target=_listen, args=(requests, consumer), name="relay requests", daemon=True
            )
            listener.start()
            # Who hears of `begun` may have the source started: nothing of it is to be missed.
            consumer.feed.wait_published(_PUBLISHED_WITHIN)
            begun = consumer.begin()
            begun.clock_id = self._clock_id
            yield pb.CarryResponse(begun=begun).SerializeToString()
            yield from self._messages(consumer, take, context)
        finally:
            leave()

    def _hear(self, told: pb.Told, identity: str) -> None:
        """Take what a consumer says in a call of its own."""
        with self._lock:
            mine: list[Consumer | Viewer] = [
                c for k, c in self._consumers.items() if k[0] == identity
            ]
            mine += [viewer for viewer, who in self._viewers.items() if who == identity]
        for consumer in mine:
            if consumer.id == told.feed:
                _pass_on(told, consumer)

    def _messages(
        self, consumer: Consumer | Viewer, take: Callable[[], Item | None], context: Context
    ) -> Iterator[bytes]:
        alive_at = 0.0
        is_active, wait = context.is_active, consumer.wait
        while is_active() and not consumer.is_done and not self._closing.is_set():
            item = take()
            if item is not None:
                if item.is_hole:
                    # It is one message, with the number of the last that it stands for.
                    begun = pb.Begun(feed=consumer.id, number=item.number - 1)
                    yield pb.CarryResponse(begun=begun).SerializeToString()
                message = item.message()
                if len(message) <= PART_BYTES:
                    yield message
                else:
                    yield from parts(message)
                alive_at = 0.0 if item.is_data else alive_at
                continue
            now = time.monotonic()
            if now >= alive_at:
                if alive_at:
                    feed = consumer.feed
                    alive = pb.Alive(waiting=feed.waiting, writer_lost=feed.writer_lost)
                    yield pb.CarryResponse(alive=alive).SerializeToString()
                alive_at = now + _ALIVE_EVERY
                continue
            wait(min(alive_at - now, ASK_EVERY) if consumer.feed.is_waiting else alive_at - now)

    def _consumer(self, key: Key, wanted: pb.OpenStream) -> Consumer:
        with self._lock:
            known = self._consumers.get(key)
            if known is not None:
                return known
            self._check_room(key[0])
            limits = self._limits
            seconds = min(max(wanted.spool_seconds, _LEAST_SECONDS), limits.seconds)
            n_bytes = min((wanted.spool_mib or 2**20) * 2**20, limits.n_bytes)
            made = Consumer(self._feed_maker(wanted), Spool(seconds, n_bytes))
            self._consumers[key] = made
            return made

    def _leave(self, key: Key, consumer: Consumer, call: int) -> None:
        consumer.leave(call)
        if consumer.is_done:
            with self._lock:
                if self._consumers.get(key) is consumer:
                    del self._consumers[key]
            consumer.close()

    def _viewer(self, identity: str, wanted: pb.OpenStream) -> Viewer:
        with self._lock:
            self._check_room(identity)
            viewer = Viewer(self._feed_maker(wanted), wanted.credits)
            self._viewers[viewer] = identity
        return viewer

    def _forget_viewer(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.pop(viewer, None)
        viewer.close()

    def _check_room(self, identity: str) -> None:
        mine = sum(1 for key in self._consumers if key[0] == identity)
        mine += sum(1 for who in self._viewers.values() if who == identity)
        if mine >= self._limits.per_identity:
            raise DaemonError(
                f"{mine} streams go to this client already, the most there are for one"
            )

    def _feed_maker(self, wanted: pb.OpenStream) -> Callable[[Callable[[], None]], Feed]:
        compressor = Compressor(wanted.compression) if wanted.compression else None

        def make(changed: Callable[[], None]) -> Feed:
            return Feed(
                partial(self._link.lease, wanted.stream),
                name=f"relay {wanted.reader}"[:60],
                start="oldest" if wanted.oldest else "now",
                resume=wanted.resume if wanted.HasField("resume") else None,
                compressor=compressor,
                live=wanted.live,
                skips=not wanted.lossless,
                changed=changed,
            )

        return make

    def _abort(self, context: Context, error: RigmeshError) -> NoReturn:
        failure = failure_of(error, host=self._host)
        context.set_trailing_metadata(((FAILURE_KEY, failure.SerializeToString()),))
        context.abort(grpc.StatusCode[status_of(error)], failure.message[:1000])
        raise AssertionError("abort raises")

    # --- keeping -----------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closing.wait(_KEEP_EVERY):
            with self._lock:
                consumers = dict(self._consumers)
            more = True
            while more and not self._closing.is_set():
                more = sum(consumer.keep() for consumer in consumers.values()) > 0
                self._bound(consumers.values())
            for key, consumer in consumers.items():
                self._look_after(key, consumer)

    def _bound(self, consumers: Any) -> None:
        """Take from who has most, when all together have too much."""
        excess = sum(c.spool.n_bytes for c in consumers) - self._limits.total_bytes
        if excess > 0:
            largest = max(consumers, key=lambda c: c.spool.n_bytes)
            largest.shrink(excess)

    def _look_after(self, key: Key, consumer: Consumer) -> None:
        dropped = consumer.newly_dropped()
        if dropped and not consumer.has_told:
            consumer.has_told = True
            _log.warning(
                "%s: a consumer on another host is too slow or away; %d samples of its spool are "
                "dropped, further ones are counted", key[2], dropped,
            )  # fmt: skip
        if consumer.is_given_up:
            with self._lock:
                # It may have called this very moment.
                if not consumer.is_given_up:
                    return
                del self._consumers[key]
                consumer.close()
            _log.info("%s: a consumer on another host did not come back", key[2])


def handler(relay: Relay) -> grpc.GenericRpcHandler:
    """Return the service, as a server takes it."""
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            # Messages are bytes already: the generated class would copy them again.
            "Carry": grpc.stream_stream_rpc_method_handler(
                relay.carry, pb.CarryRequest.FromString, None
            ),
            "GetClockKey": grpc.unary_unary_rpc_method_handler(
                relay.get_clock_key,
                pb.GetClockKeyRequest.FromString,
                pb.GetClockKeyResponse.SerializeToString,
            ),
            "ProbeClock": grpc.unary_unary_rpc_method_handler(
                relay.probe_clock,
                pb.ProbeClockRequest.FromString,
                pb.ProbeClockResponse.SerializeToString,
            ),
        },
    )


def _listen(requests: Iterator[pb.CarryRequest], consumer: Consumer | Viewer) -> None:
    """Take what the consumer says after its first words."""
    # The call ends, and says why, where messages are sent.
    with contextlib.suppress(Exception):
        for request in requests:
            _pass_on(request.told, consumer)


def _pass_on(told: pb.Told, consumer: Consumer | Viewer) -> None:
    if told.HasField("seen"):
        consumer.seen(told.seen)
    if told.credits:
        consumer.add_credits(told.credits)
    if told.done:
        consumer.is_done = True
        consumer.wake()

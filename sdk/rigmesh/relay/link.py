"""The link to a relay: made, watched, and made again."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Any

import grpc

from rigmesh.errors import (
    DaemonUnavailable,
    NotPermitted,
    RigmeshError,
    StreamNotFound,
    UnknownName,
    Unsupported,
)
from rigmesh.relay.target import RELAY_PORT_OFFSET, RelayHost
from rigmesh.rpc import FAILURE_KEY, error_of
from rigmesh_proto.v1 import relay_pb2 as pb
from rigmesh_proto.v1.control_pb2 import Failure

__all__ = ["Link"]

Requests = queue.SimpleQueue[pb.CarryRequest | None]

_CARRY = "/rigmesh_proto.v1.RelayService/Carry"
_SILENCE = 3.0
"""A relay says something every 0.5 s; one that does not for so long is gone, in seconds."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_TOLD_WITHIN = 1.0

_WAITABLE = (UnknownName, StreamNotFound, DaemonUnavailable)
"""Somebody may still start the graph, the node or the daemon."""


class Link:
    """One call of Carry after the other.

    One thread uses it; `stop` may be called from any.

    Parameters
    ----------
    host : RelayHost
        Where the relay is.

    Attributes
    ----------
    is_stopped : bool
        Whether `stop` was called.
    failure : RigmeshError or None
        Why the last call broke.
    """

    def __init__(self, host: RelayHost) -> None:
        self.failure: RigmeshError | None = None
        self._host = host
        self._channel: grpc.Channel | None = None
        self._call: Any = None
        self._feed = ""
        self._requests: Requests | None = None
        self._telling: set[Any] = set()
        self._has_failed = False
        self._pause = 0.0
        self._stopping = threading.Event()
        self._waits_since: float | None = None
        self._watch: threading.Thread | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether it is over for good."""
        return self._stopping.is_set()

    @property
    def is_open(self) -> bool:
        """Whether there is a call."""
        return self._call is not None

    def open(self, wanted: pb.OpenStream) -> bool:
        """Make a call, after a pause if the one before broke; False if stopped meanwhile."""
        if self._stopping.wait(self._pause):
            return False
        self._pause = min(_LONGEST_PAUSE, 2 * self._pause or _FIRST_PAUSE)
        if self._watch is None:
            self._watch = threading.Thread(target=self._look, name="relay watch", daemon=True)
            self._watch.start()
        if self._channel is None:
            self._channel = self._host.channel(RELAY_PORT_OFFSET)
        request = pb.CarryRequest(open=wanted)
        self._feed, self._requests = "", None
        if wanted.credits:
            self._call = self._open_both_ways(self._channel, request)
        else:
            carry: Any = self._channel.unary_stream(_CARRY, pb.CarryRequest.SerializeToString, None)
            self._call = carry(request)
        if self._stopping.is_set():  # said while we were at it
            self._call.cancel()
        return True

    def _open_both_ways(self, channel: grpc.Channel, request: pb.CarryRequest) -> Any:
        """Make a call to speak in, too: for who has something to say to each message."""
        requests: Requests = queue.SimpleQueue()
        requests.put(request)
        carry: Any = channel.stream_stream(_CARRY, pb.CarryRequest.SerializeToString, None)
        call = carry(iter(requests.get, None))
        # Its thread would wait for requests for ever.
        if not call.add_callback(lambda: requests.put(None)):
            requests.put(None)
        self._requests = requests
        return call

    def works(self) -> None:
        """Take note that the other side has answered."""
        self.failure, self._pause = None, 0.0

    def name(self, feed: str) -> None:
        """Learn what our call is called in another one."""
        self._feed = feed

    def next(self) -> bytes | None:
        """Wait for a message; None if the call is over.

        Raises
        ------
        NotPermitted
            If the token is not, or no more, good.
        RigmeshError
            What the other side raised, if trying again is of no use.
        """
        self._waits_since = time.monotonic()
        try:
            raw: bytes = next(self._call)
        except grpc.RpcError as error:
            self._hang_up()
            self._judge(error)
            return None
        except StopIteration:
            self._hang_up()
            return None
        finally:
            self._waits_since = None
        return raw

    def tell(self, told: pb.Told) -> None:
        """Say something, and do not wait for it to arrive; `has_failed` tells whether it did."""
        requests = self._requests
        if requests is not None:
            requests.put(pb.CarryRequest(told=told))
        else:
            self._tell_aside(told)

    def has_failed(self) -> bool:
        """Whether something that was told has not arrived, since this was asked last."""
        failed, self._has_failed = self._has_failed, False
        return failed

    def stop(self) -> None:
        """Let `next` return soon, and say that nothing need be kept; from any thread."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        call = self._call
        if call is None:
            return
        # It would say in vain what is still on its way when the call is cancelled.
        told = self._tell_aside(pb.Told(done=True))
        if told is not None:
            told.add_done_callback(lambda _: call.cancel())
        else:
            call.cancel()

    def _tell_aside(self, told: pb.Told) -> Any:
        channel = self._channel
        if channel is None or not self._feed:
            return None
        told.feed = self._feed
        tell: Any = channel.unary_unary(_CARRY, pb.CarryRequest.SerializeToString, None)
        try:
            telling = tell.future(pb.CarryRequest(told=told), timeout=_TOLD_WITHIN)
        except ValueError:  # the channel was closed meanwhile
            return None
        # gRPC cancels a call that nobody holds.
        self._telling.add(telling)
        telling.add_done_callback(self._note_told)
        return telling

    def _note_told(self, telling: Any) -> None:
        self._telling.discard(telling)
        if telling.code() is not grpc.StatusCode.OK:
            self._has_failed = True

    def close(self) -> None:
        """Stop, and hang up; by the thread that reads, or after it has ended."""
        self.stop()
        if self._call is not None:
            with contextlib.suppress(grpc.RpcError):
                for _ in self._call:
                    pass  # until the other side has heard of it
        self._hang_up()
        if self._watch is not None:
            self._watch.join()
            self._watch = None

    # --- inside ------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        self._call = None
        # gRPC would wait before it connects again; a new channel does not.
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _judge(self, error: grpc.RpcError) -> None:
        """Raise if trying again makes no sense."""
        if self._stopping.is_set() or not isinstance(error, grpc.Call):
            return
        code, details = error.code(), error.details() or ""
        failure: RigmeshError | None = None
        for key, value in error.trailing_metadata() or ():
            if key == FAILURE_KEY and isinstance(value, bytes):
                failure = error_of(Failure.FromString(value))
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            raise failure or NotPermitted(f"{self._host.address}: {details}")
        if code is grpc.StatusCode.UNIMPLEMENTED:
            raise Unsupported(f"{self._host.address} has no relay that this rigmesh knows")
        if failure is not None and not isinstance(failure, _WAITABLE):
            raise failure
        self.failure = failure or DaemonUnavailable(
            f"the relay of {self._host.address} does not answer: {details or code.name}"
        )

    def _look(self) -> None:
        """Cancel a call that says nothing any more."""
        while not self._stopping.wait(_SILENCE / 6):
            since, call = self._waits_since, self._call
            if since is not None and call is not None and time.monotonic() - since > _SILENCE:
                call.cancel()

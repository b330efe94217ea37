"""Answers probes of this host's clock: ``python -m rigmesh.clocks.responder --port P``.

A process of its own, so that nothing that the daemon does delays an answer. It reads the session
key, a line of 64 hexadecimal digits, from its standard input, prints a line of JSON when it
listens, and ends, with another line, when its standard input is closed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rigmesh.clocks.probe import SIZE, Cipher, key_from_hex
from rigmesh.errors import ParameterError

__all__ = ["Responder", "bind", "main"]

_PACKET_INFO = 8
"""IP_PKTINFO, which the socket module of Python 3.11 does not name."""


def bind(address: str, port: int) -> socket.socket:
    """Make a UDP socket that tells where a datagram was sent to.

    Raises
    ------
    OSError
        If the address is not one of this host, or the port is taken.
    """
    family, kind, protocol, _, where = socket.getaddrinfo(
        address, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, _PACKET_INFO, 1)
        made.bind(where)
    except BaseException:
        made.close()
        raise
    return made


class Responder:
    """Answers what is signed with the session key; ignores and counts the rest.

    Parameters
    ----------
    listening : socket
        As `bind` makes it.
    key : bytes
        32 bytes.
    clock : callable
        Returns the time, in ns.
    """

    def __init__(
        self,
        listening: socket.socket,
        key: bytes,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.n_answered = 0
        self.n_ignored = 0
        self._socket = listening
        self._cipher = Cipher(key)
        self._clock = clock
        self._buffer = bytearray(SIZE + 1)  # what is longer than a question is not one
        self._view = memoryview(self._buffer)

    def answer_one(self) -> None:
        """Wait for a datagram, and answer it."""
        # With the packet's info the answer leaves from the address that was asked, even on a host
        # with several: from another one it would not reach a connected socket.
        size, info, _, peer = self._socket.recvmsg_into([self._buffer], 64)
        t1 = self._clock()
        question = self._cipher.read_question(self._view[:size])
        if question is None:
            self.n_ignored += 1
            return
        nonce, t0 = question
        answer = self._cipher.answer(nonce, t0, t1, self._clock())
        try:
            self._socket.sendmsg([answer], info, 0, peer)
        except OSError:  # the network went away, and the question will be asked again
            self.n_ignored += 1
        else:
            self.n_answered += 1

    def counts(self) -> dict[str, Any]:
        """Return what has been answered and ignored."""
        return {"n_answered": self.n_answered, "n_ignored": self.n_ignored}


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _end_with_input(responder: Responder) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    _say(responder.counts())
    # The main thread sleeps in the kernel; there is nothing to finish.
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer until the standard input is closed."""
    parser = argparse.ArgumentParser(prog="rigmesh.clocks.responder", description=__doc__)
    parser.add_argument("--address", default="0.0.0.0", help="where to listen")
    parser.add_argument("--port", type=int, required=True, help="0 for any that is free")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    try:
        key = key_from_hex(sys.stdin.buffer.readline().decode("ascii", "replace").strip())
        listening = bind(options.address, options.port)
    except (OSError, ParameterError) as error:
        sys.exit(f"no clock responder on {options.address}:{options.port}: {error}")
    responder = Responder(listening, key)
    threading.Thread(target=_end_with_input, args=(responder,), daemon=True).start()
    address, port = listening.getsockname()[:2]
    _say({"address": address, "port": port})
    gc.freeze()
    gc.disable()
    while True:
        responder.answer_one()


if __name__ == "__main__":
    main()

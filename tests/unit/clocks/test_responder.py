"""Who answers a probe, without a process of its own."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from rigmesh.clocks.probe import KEY_SIZE, NONCE_SIZE, SIZE, Cipher
from rigmesh.clocks.responder import Responder, bind

KEY = bytes(range(KEY_SIZE))
NONCE = bytes(range(NONCE_SIZE))


class Asker:
    """A responder with a clock that ticks once a look, and a socket that asks it."""

    def __init__(self, address: str) -> None:
        self.listening = bind(address, 0)
        self.responder = Responder(self.listening, KEY, clock=itertools.count(1000).__next__)
        self.socket = socket.socket(self.listening.family, socket.SOCK_DGRAM)
        self.socket.settimeout(5)

    def ask(self, datagram: bytes, host: str = "127.0.0.1") -> None:
        self.socket.connect((host, self.listening.getsockname()[1]))
        self.socket.send(datagram)
        self.responder.answer_one()

    def close(self) -> None:
        self.socket.close()
        self.listening.close()


@pytest.fixture
def asker() -> Iterator[Asker]:
    made = Asker("0.0.0.0")
    yield made
    made.close()


def test_an_answer_tells_when_the_question_came_and_the_answer_left(asker: Asker) -> None:
    asker.ask(Cipher(KEY).question(NONCE, 7))

    answer = Cipher(KEY).read_answer(asker.socket.recv(2 * SIZE))
    assert answer == (NONCE, 7, 1000, 1001)
    assert asker.responder.counts() == {"n_answered": 1, "n_ignored": 0}


def test_what_is_no_question_of_the_session_is_counted_and_not_answered(asker: Asker) -> None:
    cipher = Cipher(KEY)
    for datagram in (
        b"",
        b"LSL:timedata\r\n1 2.0",
        bytes(SIZE),
        bytes(60_000),
        Cipher(bytes(KEY_SIZE)).question(NONCE, 1),
        cipher.answer(NONCE, 1, 2, 3),
        cipher.question(NONCE, 1) + b"\n",
        cipher.question(NONCE, 1)[:-1],
    ):
        asker.ask(datagram)

    assert asker.responder.counts() == {"n_answered": 0, "n_ignored": 8}
    asker.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        asker.socket.recv(1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_the_answer_comes_from_the_address_that_was_asked(asker: Asker, host: str) -> None:
    asker.ask(Cipher(KEY).question(NONCE, 7), host)

    assert Cipher(KEY).read_answer(asker.socket.recv(2 * SIZE)) is not None


def test_ipv6_is_answered_too() -> None:
    try:
        asker = Asker("::1")
    except OSError:
        pytest.skip("this system has no IPv6")

    asker.ask(Cipher(KEY).question(NONCE, 7), "::1")

    assert Cipher(KEY).read_answer(asker.socket.recv(2 * SIZE)) is not None
    asker.close()


def test_a_port_is_not_shared(asker: Asker) -> None:
    with pytest.raises(OSError, match="in use"):
        bind("0.0.0.0", asker.listening.getsockname()[1])

"""The datagrams that ask for the time and tell it: signed, small, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.clocks.probe import KEY_SIZE, NONCE_SIZE, SIZE, Cipher, Probe, key_from_hex
from rigmesh.errors import ParameterError

KEY = bytes(range(KEY_SIZE))
NONCE = bytes(range(NONCE_SIZE))
times = st.integers(-(2**63), 2**63 - 1)


def test_a_question_is_read_as_it_was_written() -> None:
    cipher = Cipher(KEY)

    assert cipher.read_question(cipher.question(NONCE, 12)) == (NONCE, 12)


@given(t0=times, t1=times, t2=times)
def test_an_answer_is_read_as_it_was_written(t0: int, t1: int, t2: int) -> None:
    cipher = Cipher(KEY)

    assert cipher.read_answer(cipher.answer(NONCE, t0, t1, t2)) == (NONCE, t0, t1, t2)


def test_an_answer_is_not_larger_than_its_question() -> None:
    cipher = Cipher(KEY)

    assert len(cipher.answer(NONCE, 1, 2, 3)) == len(cipher.question(NONCE, 1)) == SIZE


def test_a_question_that_is_sent_back_is_not_an_answer() -> None:
    cipher = Cipher(KEY)

    assert cipher.read_answer(cipher.question(NONCE, 1)) is None
    assert cipher.read_question(cipher.answer(NONCE, 1, 2, 3)) is None


def test_another_session_cannot_answer() -> None:
    forged = Cipher(bytes(KEY_SIZE)).answer(NONCE, 1, 2, 3)

    assert Cipher(KEY).read_answer(forged) is None


@given(position=st.integers(0, SIZE - 1), change=st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, change: int) -> None:
    cipher = Cipher(KEY)
    datagram = bytearray(cipher.answer(NONCE, 1, 2, 3))

    datagram[position] ^= change

    assert cipher.read_answer(bytes(datagram)) is None


@given(st.binary(max_size=2 * SIZE))
def test_anything_else_is_neither_question_nor_answer(datagram: bytes) -> None:
    cipher = Cipher(KEY)

    assert cipher.read_question(datagram) is None
    assert cipher.read_answer(memoryview(datagram)) is None


def test_a_probe_tells_offset_and_round_trip() -> None:
    probe = Probe(t0=1_000, t1=501_100, t2=501_150, t3=1_450)

    assert probe.round_trip == 400
    assert probe.offset == -499_900


@pytest.mark.parametrize(
    "probe",
    [
        Probe(t0=10, t1=0, t2=0, t3=9),
        Probe(t0=0, t1=5, t2=4, t3=100),
        Probe(t0=0, t1=0, t2=200, t3=100),
    ],
    ids=["local clock goes back", "remote clock goes back", "a longer stay than the round trip"],
)
def test_times_that_cannot_be_are_recognised(probe: Probe) -> None:
    assert not probe.is_possible


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "00" * 31, "00" * 33])
def test_a_key_is_64_hexadecimal_digits(text: str) -> None:
    with pytest.raises(ParameterError, match="64 hexadecimal digits"):
        key_from_hex(text)


def test_a_wrong_key_is_not_repeated_in_the_message() -> None:
    with pytest.raises(ParameterError) as failure:
        key_from_hex("secret" * 5)

    assert "secret" not in str(failure.value)


def test_a_key_is_not_shown() -> None:
    assert KEY.hex() not in repr(Cipher(KEY))
    assert repr(KEY) not in repr(Cipher(KEY))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ParameterError, match="32 bytes, not 3"):
        Cipher(b"abc")

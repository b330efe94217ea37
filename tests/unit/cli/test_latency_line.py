"""The virtual serial line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rigmesh.cli._latency_line import VirtualLine
from rigmesh_nodes._serial_line import SerialLine


def receive(line: SerialLine, n_bytes: int) -> bytes:
    received = b""
    while len(received) < n_bytes:
        part = line.read(5.0)
        assert part, "nothing came"
        received += part
    return received


def test_what_is_written_to_the_one_port_is_read_from_the_other_both_ways() -> None:
    with VirtualLine() as line:
        first, second = SerialLine(line.output, 115200), SerialLine(line.into, 115200)

        first.write(b"\x01\n\x03A")
        there = receive(second, 4)
        second.write(b"back")
        back = receive(first, 4)
        first.close()
        second.close()

    assert (there, back) == (b"\x01\n\x03A", b"back")


def test_a_port_that_nobody_reads_does_not_hold_up_the_other() -> None:
    with VirtualLine() as line:
        first, second = SerialLine(line.output, 115200), SerialLine(line.into, 115200)

        first.write(b"x" * 4096)
        first.write(b"x" * 4096)
        first.write(b"x" * 4096)
        second.write(b"y")
        got = receive(first, 1)
        first.close()
        second.close()

    assert got == b"y"


def test_a_node_that_closes_its_port_may_open_it_again() -> None:
    with VirtualLine() as line:
        SerialLine(line.output, 115200).close()
        first, second = SerialLine(line.output, 115200), SerialLine(line.into, 115200)

        first.write(b"again")
        got = receive(second, 5)
        first.close()
        second.close()

    assert got == b"again"


def test_the_ports_are_gone_with_the_line() -> None:
    with VirtualLine() as line:
        port = Path(line.into)
        assert port.exists()

    with pytest.raises(OSError, match="No such file"):
        os.close(os.open(port, os.O_RDWR | os.O_NOCTTY))

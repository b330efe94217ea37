"""Names, permissions, limits and leftovers of what lies in /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rigmesh.errors import (
    NameTaken,
    OutOfMemory,
    SecondWriter,
    StreamError,
    StreamNotFound,
    Unsupported,
)
from rigmesh.streams import StreamInfo
from rigmesh.transports import (
    SharedBell,
    ShmTransport,
    check_platform,
    process_token,
    sweep,
    token_is_alive,
)
from rigmesh.transports.segment import SharedSegment, shm_free

SHM = Path("/dev/shm")
INFO = StreamInfo.signal("node.out", channels=2, sampling_rate=100.0)

LEAVER = """
import sys
from rigmesh.streams import StreamInfo
from rigmesh.transports import ShmTransport, process_token

transport = ShmTransport(sys.argv[1] if len(sys.argv) > 1 else process_token())
bell = transport.bell()
writer = transport.writer(StreamInfo.from_json(sys.stdin.readline()), 64)
print(process_token(), flush=True)
sys.stdin.readline()
"""


@contextmanager
def leaver(*session: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process with a ring and a doorbell, in its own session or in another's."""
    with subprocess.Popen(
        [sys.executable, "-c", LEAVER, *session],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            print(INFO.to_json(), file=child.stdin, flush=True)
            assert child.stdout is not None
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


def left_of(session: str) -> list[str]:
    """What lies in /dev/shm of a session, rings first."""
    return sorted(path.name for path in SHM.iterdir() if f"rigmesh-{session}-" in path.name)


@pytest.fixture
def transport() -> ShmTransport:
    return ShmTransport(process_token())


def test_a_ring_is_private_unless_something_else_is_said(transport: ShmTransport) -> None:
    private = transport.writer(INFO, 64)
    shared = ShmTransport(process_token(), mode=0o660)
    grouped = shared.writer(INFO.renamed("node.other"), 64)
    bell = shared.bell()

    modes = [
        (SHM / name.lstrip("/")).stat().st_mode & 0o777
        for name in (private.segment.name, grouped.segment.name, f"sem.{bell.name[1:]}")
    ]

    private.close()
    grouped.close()
    bell.close()
    assert modes == [0o600, 0o660, 0o660]


def test_a_stream_has_one_writer(transport: ShmTransport) -> None:
    writer = transport.writer(INFO, 64)

    with pytest.raises(SecondWriter, match="a stream has one writer"):
        transport.writer(INFO, 64)

    writer.close()


def test_streams_whose_names_differ_only_in_odd_characters_do_not_meet(
    transport: ShmTransport,
) -> None:
    names = ["node.a b", "node.a_b", "node.a/b", "x" * 200 + "1", "x" * 200 + "2"]

    segments = {transport.segment_name(name, 0) for name in names}

    assert len(segments) == len(names)
    assert all(len(segment) < 200 for segment in segments)


def test_a_closed_writer_leaves_no_name(transport: ShmTransport) -> None:
    writer = transport.writer(INFO, 64)

    writer.close()
    writer.close()

    assert not (SHM / transport.segment_name(INFO.name, 0)[1:]).exists()
    with pytest.raises(StreamNotFound, match="its stream is over"):
        SharedSegment.attach(transport.segment_name(INFO.name, 0))


def test_a_ring_that_takes_more_than_its_share_is_refused(transport: ShmTransport) -> None:
    frugal = ShmTransport(process_token(), share=0.0)

    with pytest.raises(OutOfMemory, match=r"ask for fewer seconds of buffer, or enlarge it"):
        frugal.writer(INFO, 64)

    assert not (SHM / transport.segment_name(INFO.name, 0)[1:]).exists()


def test_memory_that_turns_out_to_be_full_is_refused_and_given_back() -> None:
    name = f"/rigmesh-{process_token()}-full.0"
    stat = os.statvfs(SHM)
    more_than_there_is = 2 * stat.f_blocks * stat.f_frsize
    before = shm_free()

    with pytest.raises(OutOfMemory, match="has no room"):
        SharedSegment.create(name, more_than_there_is, share=1e9)

    assert not (SHM / name[1:]).exists()
    assert shm_free() > before // 2


def test_a_segment_without_a_size_yet_is_not_found() -> None:
    name = f"rigmesh-{process_token()}-young.0"
    (SHM / name).touch()

    with pytest.raises(StreamNotFound, match="only just being made"):
        SharedSegment.attach("/" + name)

    (SHM / name).unlink()


def test_something_else_in_shared_memory_is_no_ring(transport: ShmTransport) -> None:
    name = f"rigmesh-{process_token()}-other.0"
    (SHM / name).write_bytes(b"\0" * 20_000)
    bell = transport.bell()

    with pytest.raises(StreamError, match="is not a ring of rigmesh"):
        transport.reader("/" + name, bell)

    (SHM / name).unlink()
    bell.close()


def test_a_reader_that_keeps_an_array_gives_its_place_back(transport: ShmTransport) -> None:
    writer = transport.writer(INFO, 64)
    bell = transport.bell()
    reader = transport.reader(writer.segment.name, bell)

    kept = reader.window(0, 0).data
    taken = writer.segment.is_locked(1)
    reader.close()

    assert len(kept) == 0
    assert taken
    assert not writer.segment.is_locked(1)
    writer.close()
    bell.close()


def test_doorbells_of_two_transports_in_one_process_have_different_names() -> None:
    bells = [ShmTransport(process_token()).bell() for _ in range(3)]

    names = {bell.name for bell in bells}

    for bell in bells:
        bell.close()
    assert len(names) == 3


def test_a_doorbell_is_made_once() -> None:
    bell = ShmTransport(process_token()).bell()

    with pytest.raises(NameTaken):
        SharedBell(bell.name, create=True)

    bell.close()


def test_a_sweep_removes_what_a_dead_session_left() -> None:
    with leaver() as (child, session):
        before = left_of(session)
        child.kill()
        child.wait()

        removed = sweep()

    assert len(before) == 2
    assert set(before) <= set(removed)
    assert left_of(session) == []


def test_a_sweep_keeps_what_living_processes_use() -> None:
    with leaver() as (child, session):
        before = left_of(session)

        sweep()

        kept = left_of(session)
        child.kill()
        child.wait()
        sweep()
    assert kept == before


def test_what_a_living_process_uses_outlives_its_daemon() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as daemon:
        session = process_token(daemon.pid)
        with leaver(session) as (group, _):
            daemon.kill()
            daemon.wait()
            sweep()
            kept = left_of(session)
            group.kill()
            group.wait()
            sweep()

    assert len(kept) == 2
    assert left_of(session) == []


def test_an_ending_daemon_removes_what_its_dead_processes_left() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as daemon:
        session = process_token(daemon.pid)
        with leaver(session) as (group, _):
            group.kill()
            group.wait()
            sweep()
            kept = left_of(session)
            sweep(session=session)
            left = left_of(session)

    assert len(kept) == 2
    assert left == []


def test_a_daemon_can_remove_the_doorbells_of_one_process_that_ended() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as daemon:
        session = process_token(daemon.pid)
        with leaver(session) as (group, token):
            group.kill()
            group.wait()
            sweep(owner=token)
            left = left_of(session)
            sweep(session=session)

    assert [name.startswith("sem.") for name in left] == [False]


def test_a_process_is_alive_until_it_is_not() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        token = process_token(child.pid)
        alive = token_is_alive(token)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        as_zombie = token_is_alive(token)
        child.wait()

    assert (alive, as_zombie, token_is_alive(token)) == (True, False, False)


def test_a_process_id_that_is_used_again_is_another_process() -> None:
    pid, _, start = process_token().partition(".")

    assert not token_is_alive(f"{pid}.{int(start) - 1}")


def test_the_rings_are_for_linux_on_x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    check_platform()
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(Unsupported, match="this is darwin"):
        check_platform()

"""What a reader on another host may rely on when the link breaks, or somebody is slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.bad_cable import Cable
from tests.contract.relay_rig import Rig, Source, until

from rigmesh.relay.target import SocketHost
from rigmesh.streams import Cause, Gap


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def source(rig: Rig) -> Source:
    return Source(rig).begin()


@pytest.fixture
def cable(rig: Rig, tmp_path: Path) -> Iterator[Cable]:
    with Cable(str(tmp_path / "cable.sock"), str(rig.socket)) as made:
        yield made


def through(cable: Cable) -> SocketHost:
    return SocketHost(Path(cable.address))


def places(n: int, epoch: int = 0, first: int = 0) -> list[tuple[int, int]]:
    return [(epoch, index) for index in range(first, first + n)]


def flood(rig: Rig, source: Source, n: int) -> None:
    """Write samples, and see that none of them is overwritten in the ring."""
    for _ in range(n // 10_000):
        source.send(10_000, at_once=1000)
        until(lambda: rig.relay.waiting == 0)


# --- samples ---------------------------------------------------------------------------------


# --- outages ---------------------------------------------------------------------------------


def test_nothing_is_lost_when_the_connection_breaks(rig: Rig, source: Source, cable: Cable) -> None:
    with rig.reader(host=through(cable)) as seen:
        for _ in range(5):
            source.send(200)
            cable.drop()
            source.send(200)
            seen.wait(seen.n + 1)
        source.end()
        seen.wait_for_end()

    assert seen.places == places(2000)
    assert seen.numbers == list(range(2000))
    assert seen.gaps == []
    assert seen.reader.n_outages >= 1


def test_a_dead_link_is_noticed_and_nothing_is_lost(rig: Rig, source: Source, cable: Cable) -> None:
    with rig.reader(host=through(cable), spool_seconds=30) as seen:
        source.send(100)
        seen.wait(100)
        cable.cut()
        source.send(100)
        until(lambda: not seen.reader.is_connected, within=5.0)
        # More than the ring holds: only the spool has it all.
        flood(rig, source, 40_000)
        cable.heal()
        source.end()
        seen.wait_for_end()

    assert seen.numbers == list(range(40_200))
    assert seen.places == places(40_200)
    assert seen.gaps == []


def test_what_a_spool_cannot_hold_is_a_gap_of_exactly_that(
    rig: Rig, source: Source, cable: Cable
) -> None:
    with rig.reader(host=through(cable), spool_seconds=30, spool_mib=1) as seen:
        source.send(100)
        seen.wait(100)
        cable.cut()
        until(lambda: not seen.reader.is_connected, within=5.0)
        flood(rig, source, 100_000)
        cable.heal()
        source.send(10)
        source.end()
        seen.wait_for_end()

    lost = sum(gap.count for gap in seen.gaps)
    assert lost > 0
    assert {gap.cause for gap in seen.gaps} == {Cause.TRANSPORT}
    assert seen.n + lost == 100_110
    assert len(set(seen.numbers)) == seen.n
    assert seen.numbers == sorted(seen.numbers)
    assert [number for _, number in seen.places] == seen.numbers


def test_gaps_of_the_device_within_what_was_dropped_are_still_told(
    rig: Rig, source: Source, cable: Cable
) -> None:
    with rig.reader(host=through(cable), spool_seconds=30, spool_mib=1) as seen:
        source.send(100)
        seen.wait(100)
        cable.cut()
        until(lambda: not seen.reader.is_connected, within=5.0)
        for _ in range(10):
            flood(rig, source, 10_000)
            source.lose(11)
        cable.heal()
        source.send(10)
        source.end()
        seen.wait_for_end()

    by_cause = dict.fromkeys(Cause, 0)
    for gap in seen.gaps:
        by_cause[gap.cause] += gap.count
    assert by_cause[Cause.DEVICE] == 10 * 11
    assert seen.n + by_cause[Cause.TRANSPORT] == 100_110


def test_who_is_away_for_longer_than_its_spool_gets_what_the_ring_has(
    rig: Rig, source: Source, cable: Cable
) -> None:
    with rig.reader(host=through(cable), spool_seconds=1) as seen:
        source.send(100)
        seen.wait(100)
        cable.cut()
        cable.drop()
        source.send(1000)
        until(lambda: rig.relay.n_consumers == 0)
        source.send(40_000, at_once=1000)
        cable.heal()
        source.end()
        seen.wait_for_end()

    assert seen.gaps == [Gap(Cause.TRANSPORT, 0, 21_100, 21_000)]
    assert seen.numbers == [*range(100), *range(21_100, 41_100)]


def test_nothing_in_the_ring_is_lost_when_the_relay_is_started_again(
    rig: Rig, source: Source
) -> None:
    with rig.reader() as seen:
        source.send(300)
        source.lose(5)
        source.send(200)
        seen.wait(500)
        rig.stop_relay()
        source.send(900)
        rig.start_relay()
        source.send(100)
        source.end()
        seen.wait_for_end()

    assert seen.places == places(1500)
    assert seen.gaps == [Gap(Cause.DEVICE, 0, 300, 5)]
    assert [a.epoch for a in seen.announced] == [0]


def test_an_epoch_that_began_during_an_outage_follows(
    rig: Rig, source: Source, cable: Cable
) -> None:
    with rig.reader(host=through(cable), spool_seconds=30) as seen:
        source.send(100)
        seen.wait(100)
        cable.cut()
        until(lambda: not seen.reader.is_connected, within=5.0)
        source.send(100)
        source.begin()
        source.send(70)
        cable.heal()
        source.end()
        seen.wait_for_end()

    assert seen.places == places(200) + places(70, epoch=1)
    assert seen.gaps == []


def test_samples_that_were_not_acknowledged_are_not_repeated(
    rig: Rig, source: Source, cable: Cable
) -> None:
    with rig.reader(host=through(cable)) as seen:
        for number in range(40):
            source.send(25)
            if number % 3 == 0:
                seen.wait(seen.n + 1)
                cable.drop()
        source.end()
        seen.wait_for_end()

    assert seen.places == places(1000)


# --- slow and stalled readers ----------------------------------------------------------------


def test_two_consumers_share_nothing_but_the_ring(rig: Rig, source: Source) -> None:
    with rig.reader() as first, rig.reader() as second:
        until(lambda: first.announced and second.announced)
        first.goes_on.clear()
        source.send(500)
        second.wait(500)
        first.goes_on.set()
        first.wait(500)

    assert first.numbers == second.numbers == list(range(500))


def test_a_stalled_viewer_gets_the_newest_samples_and_is_told_what_it_missed(
    rig: Rig, source: Source
) -> None:
    with rig.reader(lossless=False, start="now") as seen:
        until(lambda: seen.announced)
        source.send(100)
        seen.wait(100)
        seen.goes_on.clear()
        for _ in range(20):
            source.send(1000)
        seen.goes_on.set()
        until(lambda: seen.numbers[-1] == 20_099)

    lost = sum(gap.count for gap in seen.gaps)
    assert {gap.cause for gap in seen.gaps} == {Cause.OVERRUN}
    assert seen.n + lost == 20_100
    assert [index for _, index in seen.places] == seen.numbers
    late = seen.chunks[-1]
    assert late.index >= 20_100 - 250


def test_a_viewer_that_begins_with_the_oldest_gets_what_there_is_and_then_the_newest(
    rig: Rig, source: Source
) -> None:
    source.send(5000)
    with rig.reader(lossless=False, start="oldest") as seen:
        seen.wait(5000)
        past = list(seen.numbers)
        seen.goes_on.clear()
        for _ in range(20):
            source.send(1000)
        seen.goes_on.set()
        until(lambda: seen.numbers[-1] == 24_999)

    assert past == list(range(5000))
    assert {gap.cause for gap in seen.gaps} == {Cause.OVERRUN}
    assert seen.n + sum(gap.count for gap in seen.gaps) == 25_000
    assert seen.chunks[-1].index >= 25_000 - 250


def test_a_viewer_that_begins_with_the_oldest_gets_it_of_each_epoch(
    rig: Rig, source: Source
) -> None:
    source.send(2000)
    source.begin()
    source.send(3000)
    with rig.reader(lossless=False, start="oldest") as seen:
        seen.wait(5000)

    assert seen.places == places(2000) + places(3000, epoch=1)


def test_a_viewer_has_no_more_messages_under_way_than_it_gave_credit_for(
    rig: Rig, source: Source
) -> None:
    with rig.reader(lossless=False, start="now") as seen:
        until(lambda: seen.announced)
        seen.goes_on.clear()
        for _ in range(50):
            source.send(20)
            until(lambda: rig.relay.waiting <= source.writer.ring.written)
        waiting = rig.relay.waiting
        seen.goes_on.set()
        source.send(1)
        until(lambda: seen.numbers and seen.numbers[-1] == 1000)

    assert waiting > 0


def test_a_writer_that_may_wait_waits_for_a_slow_link(rig: Rig, cable: Cable) -> None:
    source = Source(rig, blocking=True, channels=256)
    source.begin()
    with rig.reader(host=through(cable), spool_mib=8) as seen:
        until(lambda: seen.announced)
        source.send(60_000, at_once=500)
        source.end()
        seen.wait_for_end()

    assert seen.numbers == list(range(60_000))
    assert seen.gaps == []


# --- caps ------------------------------------------------------------------------------------


def test_a_client_gets_no_more_streams_than_are_allowed(tmp_path: Path) -> None:
    with Rig(tmp_path, per_identity=2) as rig:
        Source(rig).begin()
        with rig.reader() as first, rig.reader() as second:
            until(lambda: first.announced and second.announced)
            with rig.reader() as third:
                until(lambda: third.error is not None)

    assert "2 streams" in str(third.error)


def test_a_reader_that_says_it_is_done_leaves_nothing_behind(rig: Rig, source: Source) -> None:
    with rig.reader() as seen:
        source.send(10)
        seen.wait(10)

    until(lambda: rig.relay.n_consumers == 0, within=2.0)


def test_all_spools_together_are_bounded(tmp_path: Path) -> None:
    with Rig(tmp_path, total_bytes=2**20) as rig:
        source = Source(rig).begin()
        with (
            Cable(str(tmp_path / "cable.sock"), str(rig.socket)) as cable,
            rig.reader(host=through(cable), spool_seconds=30) as seen,
        ):
            source.send(100)
            seen.wait(100)
            cable.cut()
            until(lambda: not seen.reader.is_connected, within=5.0)
            flood(rig, source, 100_000)
            until(lambda: rig.relay.n_bytes <= 2**20)
            cable.heal()
            source.end()
            seen.wait_for_end()

    assert seen.n + sum(gap.count for gap in seen.gaps) == 100_100

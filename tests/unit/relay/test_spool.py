"""Whatever is kept, dropped, acknowledged and sent again: each sample once, or in one gap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.relay.wire import Decoder, encode_data, is_data
from rigmesh.streams import IDENTITY, Cause, Gap, Signal, StreamInfo
from rigmesh_daemon.relay.spool import Item, Spool

DECODER = Decoder(StreamInfo("a.b", sample_shape=(1,)))


@dataclass
class Feed:
    """Makes items as a feed does."""

    spool: Spool
    epoch: int = 0
    index: int = 0
    now: float = 0.0
    produced: int = 0
    device_lost: int = 0
    overrun: int = 0

    def samples(self, n: int, *, device: int = 0, overrun: int = 0) -> None:
        gaps: tuple[Gap, ...] = ()
        if overrun:
            self.index += overrun
            self.overrun += overrun
            gaps += (Gap(Cause.OVERRUN, self.epoch, self.index, overrun),)
        if device:
            self.device_lost += device
            gaps += (Gap(Cause.DEVICE, self.epoch, self.index, device),)
        data = np.arange(self.index, self.index + n, dtype=float)[:, None]
        chunk = Signal(data, data[:, 0].copy(), index=self.index, epoch=self.epoch, gaps=gaps)
        item = Item(encode_data(chunk), self.epoch, self.index, n, gaps, is_data=True)
        self.index += n
        self.produced += n
        self.spool.add(item, self.now)

    def describe(self, *, new_epoch: bool = False) -> None:
        if new_epoch:
            self.epoch, self.index = self.epoch + 1, 0
        self.spool.add(Item(b"\x1a\x00", self.epoch, self.index), self.now)


@dataclass
class Consumer:
    """Takes what is sent as a reader does, and forgets what was under way when the link breaks."""

    spool: Spool
    number: int = 0
    epoch: int = 0
    index: int = 0
    got: list[tuple[int, int]] = field(default_factory=list)
    lost: dict[Cause, int] = field(default_factory=dict)

    def take(self, n: int = 10**9) -> None:
        while n and (item := self.spool.next()) is not None:
            n -= 1
            raw = item.message()
            self.number = item.number
            if not is_data(raw):
                self.epoch, self.index = item.epoch, item.index
                continue
            chunk = DECODER.decode(raw, IDENTITY).chunk
            for gap in chunk.gaps:
                self.lost[gap.cause] = self.lost.get(gap.cause, 0) + gap.count
            self.got += [(chunk.epoch, index) for index in range(chunk.index, chunk.stop)]
            self.index = chunk.stop if len(chunk) else max(self.index, chunk.index)

    def send_into_a_broken_link(self, n: int) -> None:
        while n and self.spool.next() is not None:
            n -= 1

    def acknowledge(self) -> None:
        self.spool.trim(self.number)

    def reconnect(self) -> None:
        self.spool.rewind(self.number, self.epoch, self.index)


def begin(seconds: float = 60.0, n_bytes: int = 10**9) -> tuple[Feed, Consumer]:
    spool = Spool(seconds, n_bytes)
    feed = Feed(spool)
    feed.describe()
    return feed, Consumer(spool)


def test_what_was_not_acknowledged_is_sent_again_and_nothing_else() -> None:
    feed, consumer = begin()
    for _ in range(5):
        feed.samples(10)
    consumer.take(4)
    consumer.acknowledge()
    consumer.send_into_a_broken_link(2)

    consumer.reconnect()
    consumer.take()

    assert consumer.got == [(0, index) for index in range(50)]
    assert consumer.lost == {}


def test_what_was_acknowledged_takes_no_memory() -> None:
    feed, consumer = begin()
    for _ in range(100):
        feed.samples(10)
        consumer.take()
        consumer.acknowledge()

    assert feed.spool.n_bytes == 0


def test_old_messages_are_dropped_by_time() -> None:
    feed, consumer = begin(seconds=5.0)
    for second in range(20):
        feed.now = float(second)
        feed.samples(10)

    consumer.take()

    assert consumer.got == [(0, index) for index in range(140, 200)]
    assert consumer.lost == {Cause.TRANSPORT: 140}


def test_what_follows_while_a_slow_consumer_takes_is_told_as_a_gap_too() -> None:
    feed, consumer = begin(n_bytes=1000)
    for _ in range(50):
        feed.samples(5)
        feed.samples(5)
        consumer.take(1)
    consumer.take()

    assert len(consumer.got) + consumer.lost[Cause.TRANSPORT] == 500
    assert consumer.got == sorted(set(consumer.got))


def test_a_gap_that_was_told_is_not_told_again() -> None:
    feed, consumer = begin(n_bytes=1000)
    for _ in range(50):
        feed.samples(10)
    consumer.take()

    consumer.reconnect()
    consumer.take()

    assert len(consumer.got) + consumer.lost[Cause.TRANSPORT] == 500


Action = Callable[[Feed, Consumer], None]


def break_link(feed: Feed, consumer: Consumer, n: int) -> None:
    consumer.send_into_a_broken_link(n)
    consumer.reconnect()


def pass_time(feed: Feed, consumer: Consumer, seconds: float) -> None:
    feed.now += seconds


few = st.integers(0, 2)
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        lambda n, a, b: lambda feed, _: feed.samples(n, device=a, overrun=b),
        st.integers(1, 30), few, few,
    ),
    st.just(lambda feed, _: feed.describe(new_epoch=True)),
    st.just(lambda feed, _: feed.describe()),
    st.builds(lambda n: lambda _, consumer: consumer.take(n), st.integers(1, 8)),
    st.just(lambda _, consumer: consumer.acknowledge()),
    st.builds(lambda n: partial(break_link, n=n), st.integers(0, 8)),
    st.builds(lambda seconds: partial(pass_time, seconds=seconds), st.floats(0.0, 3.0)),
    st.just(lambda feed, _: feed.spool.drop_oldest()),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(actions, max_size=60), st.integers(200, 4000))
def test_every_sample_comes_once_or_is_counted_once(todo: list[Action], n_bytes: int) -> None:
    feed, consumer = begin(seconds=8.0, n_bytes=n_bytes)
    for act in todo:
        act(feed, consumer)
    consumer.take()

    assert consumer.got == sorted(set(consumer.got))
    assert len(consumer.got) + consumer.lost.get(Cause.TRANSPORT, 0) == feed.produced
    assert consumer.lost.get(Cause.DEVICE, 0) == feed.device_lost
    assert consumer.lost.get(Cause.OVERRUN, 0) == feed.overrun

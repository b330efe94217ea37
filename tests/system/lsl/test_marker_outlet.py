from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.system.lsl.harness import Peer

from rigmesh.node import InputLink, NodeRunner
from rigmesh.node.testing import TestRuntime
from rigmesh.streams import ClockModel, Markers, StreamInfo
from rigmesh_nodes.lsl import MarkerOutlet

StartPeer = Callable[..., Peer]


class Feed:
    """Feeds a marker outlet that runs; its clock stands at 100 s."""

    def __init__(self, node: MarkerOutlet) -> None:
        self.runner = NodeRunner(node, "out")
        runtime = TestRuntime()
        runtime.now = 100.0
        node.runtime = runtime
        self.link = InputLink("control.events")
        node.events.links.append(self.link)
        self.runner.open()
        self.announce()
        self.runner.start()

    def announce(self, source_id: str = "", *, new_epoch: bool = False) -> None:
        info = StreamInfo.markers("control.events", source_id=source_id)
        self.runner.input_announced(self.link, info, new_epoch=new_epoch)
        assert self.runner.failure is None

    def push(self, chunk: Markers) -> None:
        take = self.runner.handler("events")
        with self.runner.lane:
            take(chunk)
        assert self.runner.failure is None


@pytest.fixture
def feed(name: str) -> Iterator[Callable[..., Feed]]:
    """Start a marker outlet under the test's name."""
    with ExitStack() as stack:

        def start(**parameters: Any) -> Feed:
            feed = Feed(MarkerOutlet(stream_name=name, linger=0, **parameters))
            stack.callback(feed.runner.finish, timeout=10)
            return feed

        yield start


def test_events_are_received_with_their_local_times(
    feed: Callable[..., Feed], peer: StartPeer, name: str
) -> None:
    running = feed()
    inlet = peer("inlet", name=name)

    remote = Markers.at([3.0], ["spindle"])
    remote.clock = ClockModel(offset=10.0)

    running.push(Markers.at([1.0, 2.5], ["ripple", "ä€😀"]))
    running.push(remote)
    received = inlet.ask(pull=3)

    assert received["rows"] == [["ripple"], ["ä€😀"], ["spindle"]]
    assert received["stamps"] == [1.0, 2.5, 13.0]
    assert (inlet.answer["type"], inlet.answer["format"]) == ("Markers", "string")


def test_events_are_chosen_renamed_and_given_a_prefix(
    feed: Callable[..., Feed], peer: StartPeer, name: str
) -> None:
    running = feed(messages={"ripple": "1", "spindle": "2"}, prefix="loop/")
    inlet = peer("inlet", name=name)

    running.push(Markers.at([1.0, 2.0, 3.0], ["ripple", "noise", "spindle"]))
    running.push(Markers.at([4.0], ["noise"]))
    received = inlet.ask(pull=2)

    assert received == {"rows": [["loop/1"], ["loop/2"]], "stamps": [1.0, 3.0]}
    node = running.runner.node
    assert isinstance(node, MarkerOutlet)
    assert (node.n_sent, node.n_left_out) == (2, 2)


def test_markers_can_be_stamped_when_they_are_sent(
    feed: Callable[..., Feed], peer: StartPeer, name: str
) -> None:
    running = feed(stamps="sent")
    inlet = peer("inlet", name=name)

    running.push(Markers.at([1.0], ["ripple"]))

    assert inlet.ask(pull=1)["stamps"] == [100.0]


def test_a_receiver_keeps_the_stream_when_the_loop_starts_anew(
    feed: Callable[..., Feed], peer: StartPeer, name: str
) -> None:
    running = feed(source_id="stimulator-1")
    inlet = peer("inlet", name=name)

    running.push(Markers.at([1.0], ["before"]))
    running.announce("another", new_epoch=True)
    running.push(Markers.at([2.0], ["after"]))
    received = inlet.ask(pull=2)

    assert received["rows"] == [["before"], ["after"]]
    assert inlet.answer["source_id"] == "stimulator-1"


def test_what_is_sent_can_change_while_it_runs(
    feed: Callable[..., Feed], peer: StartPeer, name: str
) -> None:
    running = feed()
    inlet = peer("inlet", name=name)
    running.push(Markers.at([1.0], ["ripple"]))

    running.runner.set_parameters({"messages": {"ripple": "go"}, "prefix": "!"})
    running.push(Markers.at([2.0], ["ripple"]))

    assert inlet.ask(pull=2)["rows"] == [["ripple"], ["!go"]]


def test_every_name_is_documented() -> None:
    assert MarkerOutlet.__doc__
    assert all(field.description for field in MarkerOutlet.declared().fields.values())

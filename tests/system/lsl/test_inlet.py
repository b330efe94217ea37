import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import pytest
from tests.system.lsl.harness import Live, Peer, live, wait_for

from rigmesh.errors import NodeError, ParameterError, StreamNotFound
from rigmesh.node import NodeState
from rigmesh.streams import Cause, ChannelInfo
from rigmesh_nodes.lsl import Inlet, visible_streams

StartPeer = Callable[..., Peer]

STAMPS = [1000.25, 1000.5, 1000.5000000001]


@pytest.mark.parametrize(
    ("lsl_format", "dtype", "rate", "rows"),
    [
        ("int8", "int8", 0.0, [[-128, 127], [0, 1], [-1, 5]]),
        ("int16", "int16", 250.0, [[-(2**15), 2**15 - 1], [0, 1], [-1, 5]]),
        ("int32", "int32", 0.0, [[-(2**31), 2**31 - 1], [0, 1], [-1, 5]]),
        ("int64", "int64", 250.0, [[-(2**63), 2**63 - 1], [2**53 + 1, 1], [-1, 5]]),
        ("float32", "float32", 250.0, [[math.inf, -math.inf], [-0.0, 0.1], [math.nan, 3.4e38]]),
        ("double64", "float64", 0.0, [[math.inf, -math.inf], [-0.0, 0.1], [math.nan, 1.7e308]]),
    ],
)
def test_numbers_of_every_format_arrive_as_they_were_sent(
    peer: StartPeer, name: str, lsl_format: str, dtype: str, rate: float, rows: list[list[float]]
) -> None:
    outlet = peer("outlet", name=name, format=lsl_format, n_channels=2, rate=rate)

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=rows, stamps=STAMPS)
        tape = running.wait_for_samples("signal", 3)

    sent = np.array(rows, dtype=dtype)
    assert tape.infos[0].dtype == dtype
    assert tape.infos[0].sampling_rate == rate
    assert tape.data.tobytes() == sent.tobytes()
    assert tape.stamps.tolist() == STAMPS


def test_an_inlet_that_takes_samples_rarely_takes_all_of_them_in_larger_pieces(
    peer: StartPeer, name: str
) -> None:
    outlet = peer("outlet", name=name, n_channels=2, rate=500.0, format="int32")

    with live(Inlet(stream=name, interval=0.2)) as running:
        outlet.ask(forever=0)
        tape = running.wait_for_samples("signal", 500)

    numbers = tape.data[:, 0]
    assert (np.diff(numbers) == 1).all()
    assert np.median([len(chunk) for chunk in tape.chunks]) > 50


def test_it_has_the_last_samples_of_a_sender_that_ended(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, rate=100.0, format="double64", source_id="amp-1")
    node = Inlet(stream=name, interval=1.0, recover=False)

    with live(node) as running:
        tape = running.tapes["signal"]
        connection = node._connected
        outlet.ask(push=[[7.0], [8.0], [9.0]], stamps=STAMPS)
        wait_for(lambda: len(tape) + np.isfinite(connection._stamps).sum() >= 3, "samples")
        outlet.kill()
        wait_for(lambda: running.runner.state is NodeState.FAILED, "failure")

    assert tape.data[:, 0].tolist() == [7.0, 8.0, 9.0]
    assert not tape.gaps


def test_a_text_is_taken_at_once_however_rarely_samples_are(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, format="string", type="Markers")

    with live(Inlet(stream=name, interval=1.0)) as running:
        outlet.ask(push=[["go"], ["stop"]], stamps=[1.0, 2.0])
        tape = running.wait_for_samples("markers", 2)

    assert tape.data == ["go", "stop"]


def test_texts_arrive_as_they_were_sent(peer: StartPeer, name: str) -> None:
    texts = ["start", "", "ä€😀", "a\x00b", "x" * 100_000]
    outlet = peer("outlet", name=name, format="string", type="Markers")

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[[text] for text in texts], stamps=[1.0, 2.0, 3.0, 4.0, 5.0])
        tape = running.wait_for_samples("markers", 5)

    assert tape.data == texts
    assert tape.stamps.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert (tape.infos[0].kind, tape.infos[0].stype) == ("markers", "Markers")


def test_several_text_channels_arrive_as_json_lists(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, format="string", n_channels=2)

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[["left", 'a "b"'], ["", "ü"]], stamps=[1.0, 2.0])
        tape = running.wait_for_samples("markers", 2)

    assert tape.data == ['["left", "a \\"b\\""]', '["", "ü"]']
    assert tape.infos[0].n_channels == 2


def test_bytes_that_are_no_utf8_are_kept(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, format="string")

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[["ff41"]], stamps=[1.0], hex=True)
        tape = running.wait_for_samples("markers", 1)

    assert tape.data[0].encode("utf-8", "surrogateescape") == b"\xffA"


def test_a_text_that_no_ring_takes_is_counted_and_the_next_arrives(
    peer: StartPeer, name: str
) -> None:
    outlet = peer("outlet", name=name, format="string")

    with live(Inlet(stream=name)) as running:
        outlet.ask(push=[["x" * (2**20 + 1)], ["next"]], stamps=[1.0, 2.0])
        tape = running.wait_for_samples("markers", 1)

    assert tape.data == ["next"]
    assert [(gap.cause, gap.count) for gap in tape.gaps] == [(Cause.TRANSPORT, 1)]


def test_labels_units_types_and_description_are_kept(peer: StartPeer, name: str) -> None:
    peer(
        "outlet",
        name=name,
        type="EEG",
        n_channels=2,
        rate=500.0,
        source_id="amp-7",
        labels=["Cz", "A<b&c"],
        units=["microvolts", "volts"],
        types=["EEG", "EOG"],
        desc={"manufacturer": "Müller & Söhne"},
    )

    with live(Inlet(stream=name)) as running:
        info = running.tapes["signal"].infos[0]

    assert info.channels == (
        ChannelInfo("Cz", "microvolts", "EEG"),
        ChannelInfo("A<b&c", "volts", "EOG"),
    )
    assert (info.stype, info.source_id, info.sampling_rate) == ("EEG", "amp-7", 500.0)
    assert info.description == "<desc><manufacturer>Müller &amp; Söhne</manufacturer></desc>"


def test_a_stream_of_this_host_is_on_the_local_clock(peer: StartPeer, name: str) -> None:
    peer("outlet", name=name)

    with live(Inlet(stream=name)) as running:
        tape = running.tapes["signal"]

    assert tape.clocks[0].is_identity
    assert tape.infos[0].clock_id == ""


def test_an_inlet_waits_for_a_stream_that_is_not_there_yet(peer: StartPeer, name: str) -> None:
    running = Live(Inlet(stream=name))
    thread = threading.Thread(target=running.start)
    thread.start()
    outlet = peer("outlet", name=name)
    try:
        thread.join(10)
        outlet.ask(push=[[7.0]], stamps=[5.0])
        tape = running.wait_for_samples("signal", 1)
    finally:
        running.runner.finish(timeout=10)

    assert tape.data.tolist() == [[7.0]]


def test_a_stream_that_does_not_come_is_an_error_that_lists_those_that_are_there(
    peer: StartPeer, name: str
) -> None:
    peer("outlet", name=name, type="EEG", source_id="amp-7")
    inlet = Inlet(predicate="name='nobody'", timeout=1.5)

    with pytest.raises(NodeError) as caught, live(inlet):
        pass

    assert isinstance(caught.value.__cause__, StreamNotFound)
    assert "name='nobody' within 1.5 s" in str(caught.value)
    assert f"{name!r} (type 'EEG', source_id 'amp-7'" in str(caught.value)


def test_two_streams_that_match_are_an_error_that_names_both(peer: StartPeer, name: str) -> None:
    peer("outlet", name=name, source_id="amp-1")
    peer("outlet", name=name, source_id="amp-2")
    wait_for(lambda: len([s for s in visible_streams() if s.info.name == name]) == 2, "two streams")

    with (
        pytest.raises(NodeError, match=r"2 LSL streams match.*amp-1.*amp-2"),
        live(Inlet(stream=name)),
    ):
        pass


def test_waiting_for_a_stream_can_be_stopped(name: str) -> None:
    running = Live(Inlet(stream=name, timeout=60))
    failures: list[Exception] = []

    def start() -> None:
        try:
            running.start()
        except NodeError as error:
            failures.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    wait_for(lambda: thread.is_alive(), "waiting inlet")
    begin = time.monotonic()
    while thread.is_alive() and time.monotonic() < begin + 5:
        running.runner.request_stop()
        thread.join(0.05)
    took = time.monotonic() - begin
    running.runner.finish()

    assert took < 1.0
    assert "stopped while waiting" in str(failures[0])


def test_a_running_inlet_stops_within_half_a_second(peer: StartPeer, name: str) -> None:
    peer("outlet", name=name)

    with live(Inlet(stream=name)) as running:
        begin = time.monotonic()
        running.runner.finish(timeout=10)
        took = time.monotonic() - begin

    assert took < 0.5


@pytest.mark.parametrize("parameters", [{}, {"stream": "a", "predicate": "name='a'"}])
def test_an_inlet_is_told_either_a_name_or_a_predicate(parameters: dict[str, Any]) -> None:
    with (
        pytest.raises(NodeError, match="either `stream` or `predicate`") as caught,
        live(Inlet(**parameters)),
    ):
        pass

    assert isinstance(caught.value.__cause__, ParameterError)


def test_a_name_with_both_kinds_of_quotes_is_found(peer: StartPeer, name: str) -> None:
    quoted = f"{name}'\""
    outlet = peer("outlet", name=quoted)

    with live(Inlet(stream=quoted)) as running:
        outlet.ask(push=[[1.0]], stamps=[1.0])
        tape = running.wait_for_samples("signal", 1)

    assert len(tape) == 1


def test_visible_streams_say_how_to_find_them(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, type="EEG", n_channels=3, rate=100.0, source_id="amp-7")

    found = [stream for stream in visible_streams() if stream.info.name == name]

    assert len(found) == 1
    assert found[0].info.n_channels == 3
    with live(Inlet(predicate=found[0].predicate)) as running:
        outlet.ask(push=[[1.0, 2.0, 3.0]], stamps=[1.0])
        running.wait_for_samples("signal", 1)


def test_streams_are_found_when_all_ports_that_lsl_begins_with_are_taken(
    peer: StartPeer, name: str
) -> None:
    with ExitStack() as taken:
        for port in range(16572, 16572 + 32):
            taker = taken.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with suppress(OSError):
                taker.bind(("", port))
        outlets = {f"{name}-{number}": 1.0 * number for number in range(4)}
        peers = {one: peer("outlet", name=one, n_channels=1, rate=0.0) for one in outlets}

        for one, number in outlets.items():
            with live(Inlet(stream=one)) as running:
                peers[one].ask(push=[[number]], stamps=[1000.0])
                tape = running.wait_for_samples("signal", 1)
            assert tape.data.tolist() == [[number]]

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest
from tests.system.lsl.harness import Peer

from rigmesh.errors import NodeError
from rigmesh.node import InputLink, NodeRunner
from rigmesh.node.testing import run
from rigmesh.streams import ChannelInfo, Chunk, Frames, Markers, Signal, StreamInfo
from rigmesh.streams.lslxml import from_xml
from rigmesh_nodes.lsl import Outlet

StartPeer = Callable[..., Peer]

STAMPS = np.array([1000.25, 1000.5, 1000.5000000001])


class Feed:
    """Feeds an outlet that runs."""

    def __init__(self, outlet: Outlet, info: StreamInfo) -> None:
        self.runner = NodeRunner(outlet, "out")
        self.link = InputLink(info.name)
        outlet.stream.links.append(self.link)
        self._take = self.runner.handler("stream")
        self.runner.open()
        self.announce(info)
        self.runner.start()

    def announce(self, info: StreamInfo, *, new_epoch: bool = False) -> None:
        self.runner.input_announced(self.link, info, new_epoch=new_epoch)
        if self.runner.failure is not None:
            raise self.runner.failure

    def push(self, chunk: Chunk) -> None:
        self._take(chunk)
        if self.runner.failure is not None:
            raise self.runner.failure


@contextmanager
def feeding(outlet: Outlet, info: StreamInfo) -> Iterator[Feed]:
    feed = Feed(outlet, info)
    try:
        yield feed
    finally:
        feed.runner.finish(timeout=10)


def numbers(dtype: str) -> npt.NDArray[np.generic]:
    if np.dtype(dtype).kind == "f":
        return np.array([[math.nan, math.inf], [-0.0, 0.1], [-math.inf, 3e38]], dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return np.array([[low, high], [0, 1], [high - 1, 5]], dtype)


@pytest.mark.parametrize(
    ("dtype", "lsl_format", "rate"),
    [
        ("int8", "int8", 0.0),
        ("int16", "int16", 250.0),
        ("int32", "int32", 0.0),
        ("int64", "int64", 250.0),
        ("float32", "float32", 0.0),
        ("float64", "double64", 250.0),
        ("uint8", "int16", 0.0),
        ("uint16", "int32", 250.0),
        ("uint32", "int64", 0.0),
    ],
)
def test_numbers_of_every_dtype_are_received_as_they_are(
    peer: StartPeer, name: str, dtype: str, lsl_format: str, rate: float
) -> None:
    data = numbers(dtype)
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=rate, dtype=dtype)

    with feeding(Outlet(stream_name=name), info) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Signal(data, STAMPS))
        received = inlet.ask(pull=3)

    assert (inlet.answer["format"], inlet.answer["rate"]) == (lsl_format, rate)
    assert np.array(received["rows"]).astype(dtype).tobytes() == data.tobytes()
    assert received["stamps"] == STAMPS.tolist()


def test_texts_are_received_as_they_are(peer: StartPeer, name: str) -> None:
    texts = ["start", "", "ä€😀", "a\x00b", "x" * 100_000]

    with feeding(Outlet(stream_name=name), StreamInfo.markers("keys.out")) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Markers.at([1.0, 2.0, 3.0, 4.0, 5.0], texts))
        received = inlet.ask(pull=5)

    assert received == {"rows": [[text] for text in texts], "stamps": [1.0, 2.0, 3.0, 4.0, 5.0]}
    assert inlet.answer["type"] == "Markers"


def test_json_lists_are_received_as_several_text_channels(peer: StartPeer, name: str) -> None:
    with feeding(Outlet(stream_name=name), StreamInfo.markers("keys.out", n_channels=2)) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Markers.at([1.0, 2.0], ['["left", "a \\"b\\""]', '["", "ü"]']))
        received = inlet.ask(pull=2)

    assert received["rows"] == [["left", 'a "b"'], ["", "ü"]]


@pytest.mark.parametrize("text", ["left", '["left"]', '{"a": 1}'])
def test_a_text_that_is_no_list_of_the_channels_is_an_error(name: str, text: str) -> None:
    with (
        pytest.raises(NodeError, match="each marker is a JSON list"),
        feeding(Outlet(stream_name=name), StreamInfo.markers("keys.out", n_channels=2)) as feed,
    ):
        feed.push(Markers.at([1.0], [text]))


def test_stamps_that_mean_something_else_to_lsl_stay_stamps(peer: StartPeer, name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100)

    with feeding(Outlet(stream_name=name), info) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Signal(np.zeros((2, 1)), np.array([-1.0, 0.0])))
        received = inlet.ask(pull=2)

    assert received["stamps"] == pytest.approx([-1.0, 0.0], abs=1e-8)


def test_labels_units_types_and_description_are_published(peer: StartPeer, name: str) -> None:
    channels = (ChannelInfo("Cz", "microvolts", "EEG"), ChannelInfo("A<b&c", "volts", "EOG"))
    info = StreamInfo(
        "amp.signal",
        sample_shape=(2,),
        sampling_rate=500.0,
        channels=channels,
        stype="EEG",
        description='<desc><cap size="54">Müller</cap></desc>',
    )

    with feeding(Outlet(stream_name=name), info):
        inlet = peer("inlet", name=name)

    published = from_xml(inlet.answer["xml"])
    assert inlet.answer["labels"] == ["Cz", "A<b&c"]
    assert inlet.answer["units"] == ["microvolts", "volts"]
    assert inlet.answer["types"] == ["EEG", "EOG"]
    assert inlet.answer["type"] == "EEG"
    assert (published.channels, published.description) == (channels, info.description)


def test_the_source_id_names_host_and_stream_not_the_origin_of_the_data(
    peer: StartPeer, name: str
) -> None:
    info = StreamInfo.signal(f"filter.{name}", channels=1, sampling_rate=1, source_id="amp-7")

    with feeding(Outlet(), info):
        inlet = peer("inlet", name=f"filter.{name}")

    assert inlet.answer["source_id"].endswith(f":filter.{name}")
    assert inlet.answer["source_id"].startswith("rigmesh:")


def test_name_type_and_source_id_can_be_chosen(peer: StartPeer, name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1)

    with feeding(Outlet(stream_name=name, stype="Gaze", source_id="eye-1"), info):
        inlet = peer("inlet", name=name)

    assert (inlet.answer["type"], inlet.answer["source_id"]) == ("Gaze", "eye-1")


def test_a_new_epoch_of_the_same_format_keeps_the_outlet(peer: StartPeer, name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100)

    with feeding(Outlet(stream_name=name), info) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Signal(np.zeros((1, 1)), np.array([1.0])))
        feed.announce(info, new_epoch=True)
        feed.push(Signal(np.ones((1, 1)), np.array([2.0])))
        received = inlet.ask(pull=2)

    assert received["rows"] == [[0.0], [1.0]]


def test_a_change_of_format_makes_another_outlet(peer: StartPeer, name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=100)
    wider = StreamInfo.signal("amp.signal", channels=2, sampling_rate=100)

    with feeding(Outlet(stream_name=name), info) as feed:
        before = peer("inlet", name=name)
        feed.announce(wider, new_epoch=True)
        after = peer("inlet", name=name)
        feed.push(Signal(np.ones((1, 2)), np.array([2.0])))
        received = after.ask(pull=1)

    assert received["rows"] == [[1.0, 1.0]]
    assert before.answer["uid"] != after.answer["uid"]
    assert before.answer["source_id"] == after.answer["source_id"]


def test_receivers_get_the_last_samples_of_a_stream_that_ends(peer: StartPeer, name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=8, sampling_rate=1000)

    with feeding(Outlet(stream_name=name), info) as feed:
        inlet = peer("inlet", name=name)
        feed.push(Signal(np.ones((5000, 8)), np.arange(5000) / 1000 + 1))
    received = inlet.ask(pull=5000)

    assert len(received["stamps"]) == 5000


def test_an_outlet_without_receivers_closes_at_once(name: str) -> None:
    info = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)

    with feeding(Outlet(stream_name=name, linger=5), info) as feed:
        feed.push(Signal(np.ones((1, 1)), np.array([1.0])))
        begin = time.monotonic()
    took = time.monotonic() - begin

    assert took < 1.0


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (
            Frames(
                np.zeros((1, 2, 2), np.uint8),
                np.zeros(1),
                info=StreamInfo.frames("cam.out", shape=(2, 2), sampling_rate=1),
            ),
            "cam.out gives frames; LSL carries signals and markers only",
        ),
        (
            Signal(
                np.zeros((1, 1), np.uint64),
                np.zeros(1),
                info=StreamInfo.signal("n.out", channels=1, sampling_rate=1, dtype="uint64"),
            ),
            "n.out has uint64 samples",
        ),
    ],
)
def test_what_lsl_cannot_carry_is_refused_before_the_start(chunk: Chunk, message: str) -> None:
    with pytest.raises(NodeError, match=f"prepare.*{message}"):
        run(Outlet(), chunk)

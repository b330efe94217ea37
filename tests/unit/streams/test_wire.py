"""What crosses a machine's boundary comes out as it went in."""

from __future__ import annotations

import numpy as np
import pytest

from rigmesh.node.testing import markers, sine
from rigmesh.streams import Cause, ChannelInfo, Chunk, ClockModel, Frames, Gap, StreamInfo
from rigmesh.streams.wire import (
    chunk_from_wire,
    chunk_to_wire,
    gap_from_wire,
    gap_to_wire,
    info_from_wire,
    info_to_wire,
)
from rigmesh_proto.v1 import stream_pb2

GAP = Gap(Cause.DEVICE, epoch=2, index=7, count=3, duration=0.5, exact=False)


def test_a_description_survives() -> None:
    info = StreamInfo(
        name="eeg.signal",
        dtype="int16",
        sample_shape=(2,),
        sampling_rate=512.5,
        channels=(ChannelInfo("Cz", "µV", "EEG"), ChannelInfo("Oz", "µV", "EEG")),
        stype="EEG",
        source_id="amp-1",
        clock_id="boot:1",
        description="<desc><ref>Fz</ref></desc>",
    )

    message = stream_pb2.StreamInfo.FromString(info_to_wire(info).SerializeToString())

    assert info_from_wire(message) == info


def test_a_gap_survives() -> None:
    assert gap_from_wire(gap_to_wire(GAP)) == GAP


@pytest.mark.parametrize(
    "chunk",
    [
        sine(10, n_channels=3, dtype=np.float32),
        markers((1.0, "left"), (2.0, "ümlaut")),
        Frames(
            np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
            np.array([1.0, 2.0]),
            info=StreamInfo.frames("cam", shape=(3, 4), sampling_rate=25),
        ),
    ],
    ids=["signal", "markers", "frames"],
)
def test_a_chunk_survives(chunk: Chunk) -> None:
    assert chunk.info is not None
    chunk.index, chunk.epoch, chunk.gaps, chunk.clock = 5, 2, (GAP,), ClockModel(0.25)

    message = stream_pb2.Chunk.FromString(chunk_to_wire(chunk, "s").SerializeToString())
    arrived = chunk_from_wire(message, chunk.info)

    assert type(arrived) is type(chunk)
    assert (arrived.index, arrived.epoch, arrived.gaps) == (5, 2, (GAP,))
    np.testing.assert_array_equal(arrived.data, chunk.data)
    np.testing.assert_array_equal(arrived.raw_timestamps, chunk.raw_timestamps)
    np.testing.assert_array_equal(arrived.timestamps, chunk.timestamps)

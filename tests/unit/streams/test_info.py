"""Descriptions of streams: made, checked, compared, stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import StreamFormatError
from rigmesh.streams import ChannelInfo, StreamInfo


def test_channels_are_made_of_a_number_of_names_or_of_descriptions() -> None:
    numbered = StreamInfo.signal("s", channels=11, sampling_rate=100)
    named = StreamInfo.signal("s", channels=["Cz", "Pz"], sampling_rate=100, unit="uV", stype="EEG")
    described = StreamInfo.signal("s", channels=[ChannelInfo("x", "mm")], sampling_rate=100)

    assert numbered.channel_names[::10] == ("ch00", "ch10")
    assert named.channels[1] == ChannelInfo("Pz", "uV", "EEG")
    assert described.channels == (ChannelInfo("x", "mm"),)


def test_channels_without_a_label_get_one() -> None:
    info = StreamInfo.markers("m", n_channels=2)

    assert info.channels == ()
    assert info.channel_names == ("ch0", "ch1")


@pytest.mark.parametrize(
    ("info", "n_bytes"),
    [
        (StreamInfo.signal("s", channels=3, sampling_rate=1, dtype="int16"), 6),
        (StreamInfo.frames("f", shape=(4, 5, 3), sampling_rate=30), 60),
        (StreamInfo.markers("m"), 0),
    ],
)
def test_the_size_of_a_sample_follows_from_its_type_and_shape(
    info: StreamInfo, n_bytes: int
) -> None:
    assert info.sample_bytes == n_bytes


def test_a_rate_of_zero_means_irregular() -> None:
    assert not StreamInfo.signal("s", channels=1, sampling_rate=0).is_regular
    assert StreamInfo.signal("s", channels=1, sampling_rate=0.1).is_regular


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "video"}, "kind is one of"),
        ({"dtype": "float16"}, "dtype is one of"),
        ({"dtype": "text"}, "markers, and only they, have the dtype text"),
        ({"kind": "markers"}, "markers, and only they, have the dtype text"),
        ({"sampling_rate": -1.0}, "sampling_rate is ≥ 0 Hz"),
        ({"sampling_rate": float("nan")}, "sampling_rate is ≥ 0 Hz"),
        ({"sample_shape": ()}, "is empty"),
        ({"sample_shape": (0,)}, "is empty"),
        ({"sample_shape": (2, 2)}, r"has the shape \(n_channels,\)"),
        ({"channels": (ChannelInfo("a"), ChannelInfo("b"))}, "1 channels, 2 labels"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(StreamFormatError, match=message):
        StreamInfo("node.out", **values)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other.out"}, True),
        ({"source_id": "x", "description": "<desc/>", "clock_id": "y"}, True),
        ({"dtype": "int16"}, False),
        ({"sampling_rate": 50.0}, False),
        ({"channels": (ChannelInfo("Oz"), ChannelInfo("Fz"))}, False),
    ],
)
def test_streams_of_one_format_can_follow_each_other(change: dict[str, Any], same: bool) -> None:
    info = StreamInfo.signal("s", channels=["Cz", "Pz"], sampling_rate=100)

    other = StreamInfo.from_dict({**info.to_dict(), **_plain(change)})

    assert info.same_format(other) is same


def _plain(change: dict[str, Any]) -> dict[str, Any]:
    if "channels" not in change:
        return change
    return {"channels": [{"name": c.name, "unit": c.unit} for c in change["channels"]]}


def test_a_renamed_description_is_otherwise_the_same() -> None:
    info = StreamInfo.signal("s", channels=2, sampling_rate=100)

    assert info.renamed("t").renamed("s") == info


@given(
    name=st.text(max_size=20),
    labels=st.lists(st.text(max_size=8), min_size=1, max_size=5),
    rate=st.floats(0, 1e6),
    description=st.text(max_size=50),
)
def test_a_description_survives_json(
    name: str, labels: list[str], rate: float, description: str
) -> None:
    info = StreamInfo(
        name,
        sample_shape=(len(labels),),
        sampling_rate=rate,
        channels=tuple(ChannelInfo(label, "µV", "EEG") for label in labels),
        description=description,
    )

    assert StreamInfo.from_json(info.to_json()) == info

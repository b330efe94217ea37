from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from rigmesh.errors import NodeError, ParameterError, UnknownName
from rigmesh.node import Node
from rigmesh.node.testing import NodeTests, collect, run
from rigmesh.streams import ChannelInfo, Signal, StreamInfo
from rigmesh_nodes.channels import (
    Reference,
    Rename,
    Scale,
    Select,
    channel_index,
    channel_indices,
)

NAMES = ["F3", "F4", "C3", "C4", "A1", "A2"]


def eeg(dtype: str = "float64", units: str = "uV") -> Signal:
    data = np.random.default_rng(0).normal(0, 100, (200, 6)).astype(dtype)
    info = StreamInfo.signal(
        "amp.signal", channels=NAMES, sampling_rate=250, dtype=dtype, unit=units
    )
    return Signal(data, np.arange(200) / 250, info=info)


def info_after(node: Node, feed: Signal) -> StreamInfo:
    (collector,) = collect(node, feed).values()
    return collector.infos[-1]


class TestSelect(NodeTests):
    make = partial(Select, channels=["C3", 0, "4:"])
    feed = eeg("int16")


class TestRename(NodeTests):
    make = partial(Rename, names={"C3": "left"})
    feed = eeg()


class TestScale(NodeTests):
    make = partial(Scale, gain=0.195, offset=[1, 2, 3, 4, 5, 6])
    feed = eeg("int16")


class TestAverageReference(NodeTests):
    make = Reference
    feed = eeg()


class TestLinkedReference(NodeTests):
    make = partial(Reference, references=["A1", "A2"])
    feed = eeg("float32")


class TestBipolarReference(NodeTests):
    make = partial(Reference, pairs=["F3-C3"])
    feed = eeg("int16")


# --- finding channels ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["C3", "F3"], [2, 0]),
        ([5, -1, 0], [5, 5, 0]),
        (["1:3"], [1, 2]),
        (["::2"], [0, 2, 4]),
        (["-2:", "A1"], [4, 5, 4]),
        (["::-1"], [5, 4, 3, 2, 1, 0]),
        (["3"], [3]),
    ],
)
def test_channels_are_found_by_label_index_and_slice(
    channels: list[int | str], expected: list[int]
) -> None:
    info = eeg().info
    assert info is not None

    found = channel_indices(info, channels)

    assert found == expected


def test_a_label_goes_before_an_index_or_slice_that_looks_the_same() -> None:
    info = StreamInfo.signal("amp.signal", channels=["1", "0", "0:1"], sampling_rate=250)

    found = channel_indices(info, ["0", "1", "0:1", 0])

    assert found == [1, 0, 2, 0]


def test_a_misspelt_label_is_answered_with_the_one_that_is_meant() -> None:
    info = eeg().info
    assert info is not None

    with pytest.raises(UnknownName, match=r"no channel of amp.signal 'c3' \(did you mean C3\?\)"):
        channel_index(info, "c3")


@pytest.mark.parametrize("index", [6, -7])
def test_an_index_out_of_range_is_answered_with_the_range(index: int) -> None:
    info = eeg().info
    assert info is not None

    with pytest.raises(UnknownName, match=rf"no channel {index} .* it has 6: 0 to 5"):
        channel_index(info, index)


def test_a_slice_of_nothing_is_refused() -> None:
    info = eeg().info
    assert info is not None

    with pytest.raises(ParameterError, match=r"'6:' holds none of the 6 channels of amp\.signal"):
        channel_indices(info, ["6:"])


# --- Select -------------------------------------------------------------------------------------


def test_selected_channels_come_in_the_order_asked_with_their_labels() -> None:
    node = Select(channels=["A1", 0])
    feed = eeg("int16")

    selected = run(node, feed)

    np.testing.assert_array_equal(selected.data, feed.data[:, [4, 0]])
    assert selected.data.dtype == np.int16
    assert node.selected.info.channels == (ChannelInfo("A1", "uV"), ChannelInfo("F3", "uV"))


def test_selecting_an_unknown_channel_fails_before_the_first_sample() -> None:
    with pytest.raises(NodeError, match=r"UnknownName: no channel of amp\.signal 'Cz'") as caught:
        run(Select(channels=["Cz"]), eeg())

    assert caught.value.hook == "prepare"


# --- Rename -------------------------------------------------------------------------------------


def test_labels_and_units_change_and_samples_do_not() -> None:
    node = Rename(names={"F3": "F4", "F4": "F3"}, units={"F3": "mV"})
    feed = eeg()

    renamed = run(node, feed)

    np.testing.assert_array_equal(renamed.data, feed.data)
    assert node.renamed.info.channels[:3] == (
        ChannelInfo("F4", "mV"),
        ChannelInfo("F3", "uV"),
        ChannelInfo("C3", "uV"),
    )


def test_channels_without_labels_can_get_some() -> None:
    bare = StreamInfo("amp.signal", sample_shape=(2,), sampling_rate=100)
    feed = Signal(np.zeros((3, 2)), np.arange(3) / 100, info=bare)

    info = info_after(Rename(names={"ch1": "Cz"}), feed)

    assert info.channel_names == ("ch0", "Cz")


# --- Scale --------------------------------------------------------------------------------------


def test_gain_and_offset_are_those_of_each_channel() -> None:
    node = Scale(gain=[1, 2, 3, 4, 5, 6], offset=10, unit="V")
    feed = eeg("int16")

    scaled = run(node, feed)

    np.testing.assert_array_equal(scaled.data, feed.data * np.arange(1.0, 7.0) + 10)
    assert scaled.data.dtype == np.float64
    assert {c.unit for c in node.scaled.info.channels} == {"V"}


def test_scaling_keeps_float32_and_the_unit_when_none_is_given() -> None:
    node = Scale(gain=0.1)

    scaled = run(node, eeg("float32"))

    assert scaled.data.dtype == np.float32
    assert {c.unit for c in node.scaled.info.channels} == {"uV"}


# --- Reference ----------------------------------------------------------------------------------


def test_the_average_reference_takes_the_mean_of_all_off_each() -> None:
    feed = eeg()

    referenced = run(Reference(), feed)

    expected = feed.data - feed.data.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(referenced.data, expected, atol=1e-12)


def test_a_linked_reference_takes_the_mean_of_some_off_each() -> None:
    feed = eeg("int16")

    referenced = run(Reference(references=["A1", "A2"]), feed)

    expected = feed.data - feed.data[:, [4, 5]].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(referenced.data, expected, atol=1e-12)


def test_bipolar_pairs_are_differences_under_their_own_names() -> None:
    node = Reference(pairs=["F3-C3", "C4-F4"])
    feed = eeg()

    referenced = run(node, feed)

    expected = np.stack(
        [feed.data[:, 0] - feed.data[:, 2], feed.data[:, 3] - feed.data[:, 1]], axis=1
    )
    np.testing.assert_array_equal(referenced.data, expected)
    assert node.referenced.info.channels == (
        ChannelInfo("F3-C3", "uV"),
        ChannelInfo("C4-F4", "uV"),
    )


def test_labels_of_a_pair_may_have_hyphens_themselves() -> None:
    info = StreamInfo.signal("amp.signal", channels=["F3-Ref", "F4-Ref"], sampling_rate=250)
    feed = Signal(np.array([[5.0, 3.0]]), np.zeros(1), info=info)

    referenced = run(Reference(pairs=["F3-Ref-F4-Ref"]), feed)

    assert referenced.data.tolist() == [[2.0]]


# --- what is refused ----------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Node], str]] = [
    (partial(Rename, names={"Fz": "F"}), "UnknownName: no channel of amp.signal 'Fz'"),
    (partial(Rename, names={"F3": "F4"}), "gives several channels .* the label 'F4'"),
    (partial(Scale, gain=[1, 2]), "gain is one number, or .* 6 channels .*; found 2"),
    (partial(Scale, offset=[1]), "offset is one number, or .* 6 channels .*; found 1"),
    (partial(Reference, references=["A11"]), r"UnknownName: .* 'A11' \(did you mean A1\?\)"),
    (partial(Reference, pairs=["F3-Fz"]), "UnknownName: no channel of amp.signal 'Fz'"),
    (partial(Reference, pairs=["F3"]), "two labels with a hyphen, such as 'F3-A2'; found 'F3'"),
    (partial(Reference, pairs=["F3-F4"], references=["A1"]), "references or pairs; found both"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_does_not_fit_the_signal_is_refused(make: Callable[[], Node], message: str) -> None:
    with pytest.raises(NodeError, match=message):
        run(make(), eeg())


def test_channels_of_different_units_are_not_subtracted() -> None:
    channels = [ChannelInfo("Cz", "uV"), ChannelInfo("trigger")]
    info = StreamInfo.signal("amp.signal", channels=channels, sampling_rate=250)
    feed = Signal(np.zeros((3, 2)), np.arange(3) / 250, info=info)

    with pytest.raises(NodeError, match="their units differ: none, uV"):
        run(Reference(), feed)

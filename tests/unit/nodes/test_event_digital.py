from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.errors import NodeError, ParameterError
from rigmesh.node.testing import NodeTests, chunked, collect, run
from rigmesh.streams import Cause, ClockModel, Gap, Markers, Signal, StreamInfo
from rigmesh_nodes._digital_trigger import BitEdge, BitEdges, Debounce, bits_of
from rigmesh_nodes.events import DigitalTrigger, Direction


def port(
    values: Any, *, dtype: str = "uint8", start: int = 0, rate: float = 100, **more: Any
) -> Signal:
    """A port of one channel, at 100 Hz."""
    data = np.asarray(values).astype(dtype)[:, None]
    info = StreamInfo.signal("daq.port", channels=["port0"], sampling_rate=rate, dtype=dtype)
    stamps = (start + np.arange(len(data))) / 100
    return Signal(data, stamps, index=start, info=info, **more)


def bouncing() -> Signal:
    """Three bits that stay long or bounce, and one that never changes."""
    random = np.random.default_rng(4)
    stays = [random.choice([1, 2, 3, 8, 15], 300).cumsum() for _ in range(3)]
    at = np.arange(1200)
    levels = [np.searchsorted(changes, at, side="right") % 2 for changes in stays]
    return port(sum(level << bit for bit, level in enumerate(levels)) | 8)


class TestDigitalTrigger(NodeTests):
    make = partial(DigitalTrigger, direction="both", text="{name} {bit} {direction} {value}")
    feed = bouncing()


class TestDigitalTriggerAfterStable(NodeTests):
    make = partial(
        DigitalTrigger, channel="port0", bits=[0, 2], direction="both",
        debounce_mode="after-stable", debounce=0.05,
    )  # fmt: skip
    feed = bouncing()


class TestDigitalTriggerBeforeStable(NodeTests):
    make = partial(
        DigitalTrigger, bits=0b101, direction="both", debounce_mode="before-stable", debounce=0.03
    )
    feed = bouncing()


def found(node: DigitalTrigger, *chunks: Signal) -> list[tuple[float, str]]:
    result = run(node, list(chunks))
    if result is None:
        return []
    return list(zip(result.raw_timestamps.tolist(), result.data, strict=True))


# --- edges --------------------------------------------------------------------------------------


def test_each_bit_that_is_set_makes_a_marker_at_its_first_sample() -> None:
    events = found(DigitalTrigger(), port([0, 1, 1, 3, 2, 6]))

    assert events == [(0.01, "bit0"), (0.03, "bit1"), (0.05, "bit2")]


def test_bits_that_change_together_come_in_their_order() -> None:
    events = found(DigitalTrigger(direction="both", text="{name} {direction}"), port([1, 6]))

    assert events == [(0.01, "bit0 falling"), (0.01, "bit1 rising"), (0.01, "bit2 rising")]


def test_what_is_set_at_the_beginning_is_no_edge() -> None:
    assert found(DigitalTrigger(direction="both"), port([255, 255])) == []


def test_an_edge_between_two_chunks_is_found() -> None:
    assert found(DigitalTrigger(), port([0]), port([1], start=1)) == [(0.01, "bit0")]


@pytest.mark.parametrize("bits", [[1, 3], 0b1010])
def test_other_bits_do_not_count(bits: int | list[int]) -> None:
    events = found(DigitalTrigger(bits=bits, text="{bit} {value}"), port([0, 1, 3, 15]))

    assert events == [(0.02, "1 2"), (0.03, "3 10")]


def test_bits_have_names() -> None:
    node = DigitalTrigger(names={0: "lick {bit}", 2: "poke"}, text="{name}!")

    assert [text for _, text in found(node, port([0, 7]))] == ["lick {bit}!", "bit1!", "poke!"]


@pytest.mark.parametrize(
    ("dtype", "top"), [("int8", 7), ("uint16", 15), ("int32", 31), ("int64", 63), ("uint64", 63)]
)
def test_the_highest_bit_of_a_type_is_one_like_the_others(dtype: str, top: int) -> None:
    values = np.array([0, 1 << top], dtype=np.uint64).astype(dtype)

    assert found(DigitalTrigger(), port(values, dtype=dtype)) == [(0.01, f"bit{top}")]


def test_a_port_may_come_as_floats() -> None:
    assert found(DigitalTrigger(), port([0, 5.0], dtype="float32")) == [
        (0.01, "bit0"), (0.01, "bit2"),
    ]  # fmt: skip


def test_one_channel_of_several_is_the_port() -> None:
    info = StreamInfo.signal("daq.ports", channels=["a", "b"], sampling_rate=100, dtype="uint8")
    data = np.array([[0, 0], [1, 0], [1, 2]], dtype=np.uint8)

    assert found(DigitalTrigger(channel="b"), Signal(data, np.arange(3) / 100, info=info)) == [
        (0.02, "bit1")
    ]


def test_markers_keep_the_clock_of_the_port() -> None:
    markers = run(DigitalTrigger(), port([0, 1], clock=ClockModel(offset=100.0)))

    assert markers.raw_timestamps.tolist() == [0.01]
    assert markers.timestamps.tolist() == [100.01]


# --- debouncing ---------------------------------------------------------------------------------

BOUNCES = [0] * 6 + [1, 0, 1, 0] + [1] * 8 + [0] * 6
#          0        6  7  8  9   10       18


@pytest.mark.parametrize(
    ("mode", "rising", "falling"),
    [
        ("none", [6, 8, 10], [7, 9, 18]),
        ("after-stable", [10], [18]),
        ("before-stable", [6], []),  # the falling one is not followed by eight samples
    ],
)
def test_a_group_of_bounces_gives(mode: Debounce, rising: list[int], falling: list[int]) -> None:
    feed = port(BOUNCES)

    wanted: list[tuple[Direction, list[int]]] = [("rising", rising), ("falling", falling)]
    for direction, expected in wanted:
        node = DigitalTrigger(direction=direction, debounce_mode=mode, debounce=0.04)
        events = found(node, *[c for c in chunked(feed, 5) if isinstance(c, Signal)])
        assert [round(time * 100) for time, _ in events] == expected


def test_a_debounced_edge_comes_as_soon_as_it_is_certain() -> None:
    times: list[tuple[Debounce, int]] = [("after-stable", 4), ("before-stable", 8)]
    for mode, n in times:
        node = DigitalTrigger(debounce_mode=mode, debounce=0.04)
        values = [0] * 5 + [1] * n
        feed = [port([value], start=i) for i, value in enumerate(values)]

        assert found(node, *feed[:-1]) == []
        assert found(node, *feed) == [(0.05, "bit0")]


def by_definition(levels: npt.NDArray[np.int_], mode: str, n: int) -> list[int]:
    """Edges as Pyacq's three modes define them; what is before the first sample is unknown."""
    edges = []
    for at in np.flatnonzero(np.diff(levels)) + 1:
        new = levels[at]
        after, later = levels[at : at + n], levels[at + n : at + 2 * n]
        before = levels[max(at - n, 0) : at]
        if mode == "after-stable" and (len(after) < n or (after != new).any()):
            continue
        if mode == "before-stable" and (
            len(before) < n or (before == new).any() or len(later) < n or (later != new).any()
        ):
            continue
        edges.append(int(at))
    return edges


@given(
    stays=st.lists(st.integers(1, 9), max_size=25),
    mode=st.sampled_from(["none", "after-stable", "before-stable"]),
    n=st.integers(1, 5),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_edges_are_those_of_the_definition(
    stays: list[int], mode: Debounce, n: int, cuts: list[int]
) -> None:
    levels = np.repeat(np.arange(len(stays)) % 2, stays)
    finder = BitEdges([3], mode, n)

    edges: list[BitEdge] = []
    stamps = np.arange(len(levels), dtype=np.float64)
    sizes = itertools.islice(itertools.cycle(cuts), len(levels))
    for start, stop in itertools.pairwise(itertools.accumulate(sizes, initial=0)):
        edges += finder.find(levels[start:stop] << 3, stamps[start:stop])

    assert [edge.at for edge in edges] == by_definition(levels, mode, n)
    assert [edge.is_rising for edge in edges] == [bool(levels[edge.at]) for edge in edges]
    assert [edge.time for edge in edges] == [edge.at for edge in edges]


# --- holes --------------------------------------------------------------------------------------


def test_values_that_are_not_finite_are_counted_and_leave_the_bits_as_they_were() -> None:
    node = DigitalTrigger(direction="both", text="{direction}")
    nan, inf = np.nan, np.inf

    events = found(
        node,
        port([nan, 0, nan, 1, inf, -inf, 1, nan, 0], dtype="float64"),
        port([nan] * 2, dtype="float64", start=9),
    )

    assert events == [(0.03, "rising"), (0.08, "falling")]
    assert node.n_not_finite == 7


def hole(values: Any, start: int) -> Signal:
    gap = Gap(Cause.DEVICE, 0, start, 5, 0.05, True)
    return port(values, start=start, gaps=(gap,))


def test_an_edge_within_missing_samples_is_found_at_the_first_one_that_is_there() -> None:
    assert found(DigitalTrigger(), port([0, 0]), hole([1, 1], 7)) == [(0.07, "bit0")]


def test_what_is_debounced_while_samples_are_missing_is_dropped() -> None:
    for mode in ("after-stable", "before-stable"):
        node = DigitalTrigger(debounce_mode=mode, debounce=0.04)

        assert found(node, port([0] * 5 + [1]), hole([1] * 20, 11)) == []


def test_a_bit_must_have_stayed_since_the_missing_samples() -> None:
    node = DigitalTrigger(debounce_mode="before-stable", debounce=0.04)

    assert found(node, port([0] * 5), hole([0] * 3 + [1] * 20, 10)) == []
    assert found(node, port([0] * 5), hole([0] * 4 + [1] * 20, 10)) == [(0.14, "bit0")]


def test_a_new_epoch_knows_nothing_of_the_one_before() -> None:
    node = DigitalTrigger()

    assert found(node, port([0, 0]), port([1, 0, 1], start=50, epoch=1)) == [(0.52, "bit0")]


# --- refusals, changes --------------------------------------------------------------------------


def test_a_bit_that_the_type_does_not_have_is_refused() -> None:
    with pytest.raises(NodeError, match=r"daq\.port is uint8, which has the bits 0 to 7; found 8"):
        run(DigitalTrigger(bits=[0, 8]), port([0]))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"DigitalTrigger\.bits"):
        DigitalTrigger(bits=0)


def test_an_irregular_port_cannot_be_debounced() -> None:
    feed = port([0, 1], rate=0)

    assert found(DigitalTrigger(), feed) == [(0.01, "bit0")]
    with pytest.raises(NodeError, match=r"debounces a regular signal; daq\.port is irregular"):
        run(DigitalTrigger(debounce_mode="after-stable"), feed)


def test_a_direction_can_be_changed_while_it_runs() -> None:
    node = DigitalTrigger()
    collected = collect(node, port([0, 1]))["events"]
    assert [chunk.data for chunk in collected.chunks] == [["bit0"]]

    node.set_parameters({"direction": "falling"})
    markers = node.process(port([0, 1, 0], start=2))

    assert isinstance(markers, Markers)
    assert markers.raw_timestamps.tolist() == [0.02, 0.04]


def test_a_mask_names_its_bits() -> None:
    assert bits_of(0b1000_0101) == [0, 2, 7]

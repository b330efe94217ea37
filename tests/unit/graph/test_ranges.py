"""Ranges in names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import GraphError
from rigmesh.graph.ranges import names_of, numbers_of, streams_of


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("eeg", ("eeg",)),
        ("sink(1-3)", ("sink1", "sink2", "sink3")),
        ("sink(1,3-5)", ("sink1", "sink3", "sink4", "sink5")),
        (" sink( 0 , 2 - 3 ) ", ("sink0", "sink2", "sink3")),
        ("ch_(8-9)", ("ch_8", "ch_9")),
        ("sink(4)", ("sink4",)),
    ],
)
def test_a_range_stands_for_names(text: str, names: tuple[str, ...]) -> None:
    assert names_of(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sink(3-1)", "goes from small to large"),
        ("sink(1,1)", "holds a number twice"),
        ("sink(1-3,2)", "holds a number twice"),
        ("sink()", "numbers are written such as"),
        ("sink(a-b)", "numbers are written such as"),
        ("sink(01)", "numbers are written such as"),
        ("sink(1-999999)", "more than 1024"),
        ("sink(1-3)x", r"written such as sink\(1-3\)"),
        ("(1-3)", r"written such as sink\(1-3\)"),
        ("sink(1", "it needs quotes"),
        ("3)", "it needs quotes"),
    ],
)
def test_what_is_no_range_is_refused_with_the_form_of_one(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        names_of(text)


def test_the_nodes_of_a_reference_may_be_a_range() -> None:
    assert streams_of("up(1,3).out") == ("up1.out", "up3.out")
    assert streams_of("up(1-2)") == ("up1", "up2")
    assert streams_of("up.out") == ("up.out",)


@given(st.lists(st.integers(0, 999), min_size=1, unique=True))
def test_numbers_that_are_listed_are_read_as_they_are(numbers: list[int]) -> None:
    assert numbers_of(",".join(map(str, numbers))) == tuple(numbers)

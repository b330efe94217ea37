from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
from tests.unit.nodes.event_loop import EventLoop

from rigmesh.errors import NotPermitted, ParameterError
from rigmesh.node.testing import NodeTests, markers
from rigmesh_nodes._event_texts import TextRules
from rigmesh_nodes.event_logic import EventState
from rigmesh_nodes.events import EventConvert, EventLog

FEED = markers(*[(i / 10, f"S {i % 4}") for i in range(40)])


class TestEventConvert(NodeTests):
    make = partial(
        EventConvert, mapping={"S 1": "left"}, pattern=r"S ([23])", replacement=r"right \1",
        prefix="x/", drop=True,
    )  # fmt: skip
    feed = FEED


class TestEventLog(NodeTests):
    make = EventLog
    feed = FEED


class TestEventState(NodeTests):
    make = partial(EventState, switch_off=["S 3"])
    feed = FEED


# --- converting ---------------------------------------------------------------------------------


def converted(*texts: str, **parameters: Any) -> list[str]:
    loop = EventLoop(EventConvert(**parameters)).start()
    loop.feed(*[(float(i), text) for i, text in enumerate(texts)])
    return [text for _, text in loop.given]


def test_texts_are_looked_up_and_others_stay() -> None:
    assert converted("S 1", "S 2", mapping={"S 1": "left"}) == ["left", "S 2"]


def test_a_pattern_is_looked_for_in_texts_that_are_not_mapped() -> None:
    texts = converted(
        "S 1", "S 12", "R 1", mapping={"S 1": "left"}, pattern=r"^S (\d+)", replacement=r"stim \1"
    )

    assert texts == ["left", "stim 12", "R 1"]


def test_every_text_gets_the_prefix() -> None:
    assert converted("a", "b", mapping={"a": "A"}, prefix="rig1/") == ["rig1/A", "rig1/b"]


def test_what_gets_no_new_text_is_dropped_and_counted_if_so_asked() -> None:
    node = EventConvert(mapping={"b": "B"}, drop=True)
    loop = EventLoop(node).start()

    loop.feed((1.0, "a"), (2.0, "b"), (3.0, "c"))
    loop.feed((4.0, "a"))

    assert loop.given == [(2.0, "B")]
    assert node.n_dropped == 3


@pytest.mark.parametrize(("pattern", "replacement"), [("(", ""), ("a", r"\1"), ("a", r"\g<x>")])
def test_a_pattern_that_cannot_be_used_is_refused_and_changes_nothing(
    pattern: str, replacement: str
) -> None:
    node = EventConvert(mapping={"a": "b"})
    loop = EventLoop(node).start()

    with pytest.raises(ParameterError, match=r"found the pattern"):
        loop.runner.set_parameters({"pattern": pattern, "replacement": replacement, "mapping": {}})
    loop.feed((1.0, "a"))

    assert loop.given == [(1.0, "b")]


def test_a_new_mapping_holds_from_the_next_event() -> None:
    loop = EventLoop(EventConvert(mapping={"a": "b"})).start()

    loop.feed((1.0, "a"))
    loop.runner.set_parameters({"mapping": {"a": "c"}})
    loop.feed((2.0, "a"))

    assert loop.given == [(1.0, "b"), (2.0, "c")]


def test_texts_that_never_end_take_no_memory_for_ever() -> None:
    rules = TextRules({}, prefix="x")

    assert [rules(str(i)) for i in range(5000)] == [f"x{i}" for i in range(5000)]
    assert len(rules._known) <= 1024


# --- logging ------------------------------------------------------------------------------------


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="rigmesh_nodes.events")
    return caplog


def test_events_that_count_are_logged(logged: pytest.LogCaptureFixture) -> None:
    node = EventLog(texts=["ripple"])
    loop = EventLoop(node).start()

    loop.feed((1.0, "noise"), (1.5, "ripple"))

    assert logged.messages == ["'ripple' at 1.500000 s"]
    assert (node.n_events, node.last) == (1, "ripple")


def test_events_that_come_too_fast_are_only_counted(logged: pytest.LogCaptureFixture) -> None:
    node = EventLog(per_second=2)
    loop = EventLoop(node).start()

    loop.feed(*[(float(i), f"{i}") for i in range(100)])
    loop.clock.advance(1.0)
    loop.feed((100.0, "next"))

    assert logged.messages == [
        "'0' at 0.000000 s",
        "'1' at 1.000000 s",
        "'next' at 100.000000 s; 98 before it were not logged",
    ]
    assert (node.n_events, node.n_not_logged, node.last) == (101, 98, "next")


def test_a_text_cannot_pretend_to_be_a_line_of_the_log(logged: pytest.LogCaptureFixture) -> None:
    EventLoop(EventLog()).start().feed((1.0, "a\nERROR the rig is on fire" + "!" * 1000))

    (line,) = logged.messages
    assert "\n" not in line
    assert len(line) < 250


# --- states -------------------------------------------------------------------------------------


def test_events_switch_a_state_on_and_off() -> None:
    node = EventState(switch_on=["start"], switch_off=["stop"])
    loop = EventLoop(node).start()

    seen = []
    for text in ("other", "start", "other", "stop", "other"):
        loop.feed((1.0, text))
        seen.append(node.is_on)

    assert seen == [False, True, True, False, False]


def test_without_texts_every_event_switches_on() -> None:
    node = EventState()
    EventLoop(node).start().feed((1.0, "anything"))

    assert node.is_on


def test_clients_may_switch_it_too() -> None:
    assert EventState.states().validate("is_on", True, writer="clients")
    with pytest.raises(NotPermitted):
        EventLog.states().validate("n_events", 5, writer="clients")

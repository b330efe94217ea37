"""The process of windows as its script sees it: requests in, answers and events out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PyQt5 import QtWidgets

from rigmesh.viewers.process import WindowProcess


class Script:
    """Asks, and keeps what it is told."""

    def __init__(self) -> None:
        self.out = io.StringIO()
        self.process = WindowProcess(self.out)
        self._n = 0

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        self._n += 1
        self.process.asked.emit({"id": self._n, "do": what, "window": "w", **arguments})
        (answer,) = [said for said in self.said if said.get("id") == self._n]
        return answer

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [said for said in self.said if "event" in said]


@pytest.fixture
def script(application: object) -> Script:
    return Script()


def opened(script: Script, type_: str = "viewers.Raster", **params: Any) -> Any:
    answer = script.ask("open", type=type_, params=params)
    assert "error" not in answer, answer
    (window,) = [
        each
        for each in QtWidgets.QApplication.topLevelWidgets()
        if type(each).__module__.startswith("rigmesh.viewers") and each.isVisible()
    ]
    return window


def test_what_a_person_changes_is_told(script: Script) -> None:
    window = opened(script)

    window.change(seconds=3)

    assert script.events == [
        {"event": "changed", "window": "w", "params": {"seconds": 3.0}, "worker": {}}
    ]


def test_what_the_script_sets_is_not_told_again(script: Script) -> None:
    window = opened(script)

    script.ask("set", params={"seconds": 3})

    assert window.settings.seconds == 3
    assert script.events == []


def test_a_value_that_cannot_be_is_told_in_the_window(script: Script) -> None:
    window = opened(script)

    window.change(seconds=-1)

    assert script.events == []
    assert "seconds" in window.status


def test_a_window_that_a_person_closes_is_told(script: Script) -> None:
    window = opened(script)

    window.close()

    assert script.events == [{"event": "closed", "window": "w"}]
    assert script.ask("set", params={})["kind"] == "UnknownName"


def test_mistakes_are_answered(script: Script, tmp_path: Path) -> None:
    assert script.ask("open", type="viewers.Nothing", params={})["kind"] == "UnknownName"
    assert script.ask("open", type="viewers.Raster", params={"x": 1})["kind"] == "ParameterError"
    opened(script)
    assert script.ask("grab", path=str(tmp_path / "no" / "x.png"))["kind"] == "ParameterError"
    assert script.ask("dance")["kind"] == "AttributeError"


def test_the_title_is_the_name_or_what_is_set(script: Script) -> None:
    window = opened(script)
    assert window.windowTitle() == "w"

    script.ask("set", params={"title": "Events"})

    assert window.windowTitle() == "Events"


def test_a_standing_picture_is_not_drawn(script: Script) -> None:
    window = opened(script)
    drawn: list[None] = []
    window.refresh = lambda: drawn.append(None)

    window._pause.trigger()
    window._draw()
    assert (window.is_paused, len(drawn)) == (True, 0)

    window._pause.trigger()
    window._draw()
    assert len(drawn) == 1

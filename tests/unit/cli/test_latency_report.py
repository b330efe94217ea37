"""What passes and what fails, and how it is shown."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from rigmesh.cli._latency_report import Link, Load, Measurement, Place
from rigmesh.cli._latency_show import check_plot, plot, shown
from rigmesh.errors import GraphError
from rigmesh.node.histogram import Histogram


def counted(*milliseconds: float) -> Histogram:
    histogram = Histogram()
    for each in milliseconds:
        histogram.add(round(each * 1e6))
    return histogram


def measured(*places: Place, links: tuple[Link, ...] = ()) -> Measurement:
    loads = [Load("loop", 0.25, "ttl", 0.125, 3, 1)]
    return Measurement("test", 10.0, [*places], [], [*links], loads)


def on_the_terminal(measurement: Measurement) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        for item in shown(measurement):
            console.print(item)
    return capture.get()


def test_limits_that_are_held_pass() -> None:
    place = Place("ttl.events", "loop", counted(1, 1, 2), {"p50": 0.0012, "max": 0.003})

    assert place.is_ok
    assert measured(place).failures() == []


def test_a_limit_that_is_not_held_is_told_with_how_much_it_lacks() -> None:
    place = Place("ttl.events", "loop", counted(1, 1, 8), {"p50": 0.01, "p99": 0.005})

    assert not place.is_ok
    (failure,) = measured(place).failures()
    assert failure.startswith("ttl.events: p99 is 8.")
    assert failure.endswith(" ms over the limit of 5 ms")


def test_a_limit_on_what_never_got_a_chunk_is_not_held() -> None:
    place = Place("ttl.events", "loop", counted(), {"p50": 1.0})

    assert measured(place).failures() == ["ttl.events: nothing came, so its limits cannot be held"]


def test_a_message_that_never_came_back_fails_without_any_limit() -> None:
    place = Place("out.fired → in.events", "", counted(1, 1, 1), missing=1)

    assert not place.is_ok
    assert measured(place).failures() == ["out.fired → in.events: 1 of 4 messages never came back"]


def test_any_loss_fails() -> None:
    links = (Link("a.out", "b.in", counted(1), {"overrun": 7}), Link("c.out", "d.in", counted(1)))

    failures = measured(links=links).failures()

    assert failures == ["a.out: 7 samples lost by b.in (overrun)"]


def test_tables_show_places_limits_losses_and_loads() -> None:
    place = Place("ttl.events", "loop", counted(1, 1, 8), {"p50": 0.01, "p99": 0.005})
    link = Link("a.out", "b.in", counted(1), {"overrun": 7})

    text = on_the_terminal(measured(place, links=(link,)))

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "limit 10 ms 5 ms" in lines
    assert any(line.startswith("ttl.events 3 1.") and line.endswith("FAILED") for line in lines)
    assert any(line.startswith("a.out → b.in 1") and line.endswith("7 overrun") for line in lines)
    assert "loop 25.0% ttl 12.5% 3 1" in lines


@pytest.mark.parametrize("times", [(1.0,), (0.001, 900.0), (1.0, 1.1, 1.2, 1.3), (0.0,)])
def test_every_chunk_is_in_a_bar(times: tuple[float, ...]) -> None:
    text = on_the_terminal(measured(Place("x.in", "loop", counted(*times), {"max": 1.0})))

    bars = [line for line in text.splitlines() if "≤" in line]
    assert len(bars) <= 32
    assert sum(int(line.replace("← max limit", "").split()[-1]) for line in bars) == len(times)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_figure_is_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure{suffix}"
    check_plot(path)

    plot(measured(Place("x.in", "loop", counted(1, 2), {"max": 1.0})), path)

    assert path.stat().st_size > 1000
    if suffix == ".svg":
        assert ET.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_figure_of_a_graph_without_limits_shows_every_node(tmp_path: Path) -> None:
    few, many = tmp_path / "few.svg", tmp_path / "many.svg"

    plot(measured(Place("a.in", "loop", counted(1))), few)
    plot(measured(*(Place(f"{n}.in", "loop", counted(1)) for n in "abcd")), many)

    assert len(many.read_text()) > len(few.read_text())


def test_a_figure_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    plot(measured(), tmp_path / "nothing.png")

    assert (tmp_path / "nothing.png").exists()


def test_a_figure_in_a_format_there_is_not_is_refused_before_anything_runs() -> None:
    with pytest.raises(GraphError, match=r"a figure is \.svg, \.png or \.pdf"):
        check_plot(Path("figure.jpeg2"))


def test_everything_can_be_had_as_json() -> None:
    place = Place("ttl.events", "loop", counted(1, 1, 8), {"p99.9": 0.005}, late=1)

    values = json.loads(json.dumps(measured(place).to_dict()))

    (node,) = values["nodes"]
    assert not values["passed"]
    assert (node["n_chunks"], node["n_late"], node["is_ok"]) == (3, 1, False)
    assert sum(count for *_, count in node["bins"]) == 3
    assert values["processes"][0]["switches"] == 3

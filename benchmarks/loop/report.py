"""The tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from benchmarks.hop import machine
from benchmarks.loop.cells import BARE, HOPS, LOOPS, RECORDED, RING, SOURCES, Hop, Loop
from benchmarks.loop.measured import HISTOGRAM, OURS, SPINNING, Figures, in_words, median_of

__all__ = ["Results", "conditions", "report"]


@dataclass
class Results:
    """What was measured, round after round.

    Attributes
    ----------
    rounds : dict
        By cell and by who, the figures of each round.
    notes : list of str
        Who is missing, and what failed.
    """

    rounds: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, cell: str, who: str, figures: Figures) -> None:
        """Take in one measurement."""
        self.rounds.setdefault(cell, {}).setdefault(who, []).append(figures)

    def of(self, cell: Loop | Hop) -> dict[str, Figures]:
        """Return the medians over the rounds, by who."""
        found = self.rounds.get(cell.name, {})
        order = (OURS, HISTOGRAM, SPINNING, *cell.peers)
        return {who: median_of(found[who]) for who in order if who in found}


def report(results: Results) -> str:
    """Return the tables as Markdown, from what there is to reach down to what others wrote."""
    lines = ["## To reach", "", *_to_reach(results)]
    lines += ["", "## Closed loop: packet received → byte written", "", *_loops(results)]
    lines += ["", "## One hop between two processes", "", *_hops(results)]
    lines += ["", "## Recorded, not measured in this run", "", *_recorded()]
    if results.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in results.notes)]
    return "\n".join(lines) + "\n"


def _to_reach(results: Results) -> Iterator[str]:
    yield "| cell | to reach | found | |"
    yield "|---|---|---|---|"
    for cell in (*LOOPS, *HOPS):
        figures = results.of(cell)
        for check in cell.checks if OURS in figures else ():
            verdict = check.verdict(figures)
            yield f"| {cell.name} | {check.text} | {check.found(figures)} | {verdict} |"


def _loops(results: Results) -> Iterator[str]:
    yield "| pipelines × stages | | median µs | p99 µs | × bare loop | CPU | lost |"
    yield "|---|---|" + 5 * "---:|"
    for cell in LOOPS:
        figures = results.of(cell)
        bare = figures.get(BARE)
        for who, one in figures.items():
            ratio = f"{one.median / bare.median:.2f}" if bare else "–"
            yield (
                f"| {_once(cell, who, figures)} | {who} | {one.median:.0f} | {one.p99:.0f} | "
                f"{ratio} | {in_words('cpu', one.cpu)} | {one.lost:g} |"
            )


def _hops(results: Results) -> Iterator[str]:
    yield "| messages | | median µs | p99 µs | rate | × bare ring | CPU of both | lost |"
    yield "|---|---|" + 6 * "---:|"
    for cell in HOPS:
        figures = results.of(cell)
        ring = figures.get(RING)
        for who, one in figures.items():
            if cell.unit == "µs":
                rate, ratio = "–", one.median / ring.median if ring else None
                times = f"{one.median:.0f} | {one.p99:.0f}"
            else:
                rate, ratio = f"{one.rate:,.0f} {cell.unit}", one.rate / ring.rate if ring else None
                times = "– | –"
            yield (
                f"| {_once(cell, who, figures)} | {who} | {times} | {rate} | "
                f"{'–' if ratio is None else f'{ratio:.2f}'} | {in_words('cpu', one.cpu)} | "
                f"{one.lost:g} |"
            )


def _once(cell: Loop | Hop, who: str, figures: Mapping[str, Figures]) -> str:
    """Return the name of a cell in its first row only."""
    return cell.name if who == next(iter(figures)) else ""


def _recorded() -> Iterator[str]:
    yield "| cell | system | figure (recorded) | source |"
    yield "|---|---|---|---|"
    for one in RECORDED:
        yield f"| {one.cell} | {one.system} | {one.figure} | {one.source} |"
    yield ""
    for letter, source in SOURCES.items():
        yield f"{letter}. {source}"


def conditions(nice: int, compiler: str) -> list[str]:
    """Describe where this runs, and how."""
    priority = (
        f"nice {nice}, in sessions of their own with an autogroup of {nice}"
        if nice < 0
        else "as any process: this user may not raise it, so p99 shows what else the machine does"
    )
    return [
        machine().rstrip(),
        f"- numba {version('numba')}; {compiler or 'no g++'}",
        f"- priority of everything that is measured, peers and senders, too: {priority}",
    ]

"""What a measurement gives, and what is expected of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

__all__ = [
    "HISTOGRAM",
    "OURS",
    "SPINNING",
    "Check",
    "Figures",
    "in_words",
    "median_of",
    "of_latencies",
]

OURS = "rigmesh"
HISTOGRAM = "rigmesh, by its own histogram"
SPINNING = "rigmesh, wait: spin"

WARM_UP_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement, or the medians of several.

    Parameters
    ----------
    median, p99 : float
        Latency, in µs; NaN where none was measured.
    rate : float
        Messages or megabytes per second; NaN where it was given.
    cpu : float
        Of one core, of all processes that are measured.
    lost : float
        Packets, messages and triggers that were called for and did not come.
    """

    median: float = np.nan
    p99: float = np.nan
    rate: float = np.nan
    cpu: float = np.nan
    lost: float = 0.0


def of_latencies(
    latencies: Sequence[float], warm_up: int = WARM_UP_EVENTS, **others: float
) -> Figures:
    """Return the figures of latencies in µs, without the first of them."""
    settled = latencies[warm_up:]
    if not len(settled):
        return Figures(**others)
    median, p99 = np.percentile(settled, (50, 99))
    return Figures(float(median), float(p99), **others)


def median_of(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure; what was lost in any round counts."""
    medians = {
        field.name: statistics.median(getattr(one, field.name) for one in rounds)
        for field in fields(Figures)
    }
    return Figures(**{**medians, "lost": sum(one.lost for one in rounds)})


@dataclass(frozen=True, slots=True)
class Check:
    """A figure that rigmesh has to reach.

    Parameters
    ----------
    figure : str
        Which of `Figures`.
    limit : float
        In the figure's unit, or times that of another.
    of : str
        Who that other is; nobody if empty.
    is_least : bool
        Whether it has to be as high, not as low.
    """

    figure: str
    limit: float
    of: str = ""
    is_least: bool = False

    @property
    def text(self) -> str:
        """What there is to reach, in words."""
        sign = "≥" if self.is_least else "≤"
        if self.of:
            return f"{self.figure} {sign} {self.limit:g} × {self.of}"
        return f"{self.figure} {sign} {in_words(self.figure, self.limit)}"

    def found(self, figures: dict[str, Figures]) -> str:
        """Return what was found, in words."""
        own = getattr(figures[OURS], self.figure)
        text = in_words(self.figure, own)
        if self.of in figures:
            other = getattr(figures[self.of], self.figure)
            text += f", {own / other:.2f} × {in_words(self.figure, other)}"
        return text

    def verdict(self, figures: dict[str, Figures]) -> str:
        """Return ``pass`` or ``MISS``, or who is missing to tell."""
        if self.of and self.of not in figures:
            return f"no {self.of}"
        own = getattr(figures[OURS], self.figure)
        bound = self.limit * (getattr(figures[self.of], self.figure) if self.of else 1)
        return "pass" if (own >= bound if self.is_least else own <= bound) else "MISS"


def in_words(figure: str, value: float) -> str:
    """Return a figure with its unit."""
    if np.isnan(value):
        return "–"
    if figure == "cpu":
        return f"{100 * value:.0f} %"
    if figure in ("median", "p99"):
        return f"{value:,.0f} µs"
    return f"{value:,.0f}"

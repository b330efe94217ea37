"""Parameters of the windows that show power by frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rigmesh.node import Hz, Node, Percent, Seconds, param

__all__ = ["MapParameters", "SpectrumParameters"]


class _Powers(Node):
    """What windows of power by frequency have."""

    channels: list[int | str] = param(
        default=[],
        doc="Labels, indices and slices of the channels to show; none: the first 16.",
        live=True,
        examples=[["Cz", "0:4"]],
    )
    normalisation: Literal["power", "density"] = param(
        default="power",
        doc="power: a sine gives its mean square. density: noise gives its power in one hertz.",
        live=True,
    )


class MapParameters(_Powers):
    """Those of maps of power over time and frequency."""

    seconds: Seconds = param(default=10.0, ge=0.5, le=600, doc="Width of the maps.", live=True)
    n_columns: int = param(default=4, ge=1, le=32, doc="Maps side by side, at most.", live=True)
    f_start: Hz = param(default=4.0, gt=0, doc="Lowest frequency.", live=True)
    f_stop: Hz = param(
        default=100.0, gt=0, doc="Highest frequency, below half the sampling rate.", live=True
    )
    n_frequencies: int = param(default=40, ge=1, le=400, doc="How many.", live=True)
    spacing: Literal["log", "linear"] = param(
        default="log",
        doc="log: the same ratio from each to the next; linear: the same distance.",
        live=True,
    )
    n_cycles: float = param(
        default=7.0,
        ge=1,
        le=100,
        doc="Width of the wavelets: more tells frequencies apart better, and times less well.",
        live=True,
    )
    rate: Hz = param(default=50.0, gt=0, doc="Least rate of what is drawn.", live=True)
    scale: Literal["dB", "linear"] = param(
        default="dB", doc="Whether colours stand for decibels or for power itself.", live=True
    )
    relative: bool = param(
        default=False,
        doc="Compares each frequency with its own median over the map, since low ones are stronger "
        "in most signals.",
        live=True,
    )
    colours: Literal["viridis", "inferno", "magma", "plasma", "cividis", "turbo", "grey"] = param(
        default="viridis", doc="Colour map.", live=True
    )
    limits: Literal["percentile", "MAD", "fixed"] = param(
        default="percentile",
        doc="What the ends of the colours are found by: percentiles of what is shown, its median "
        "and median absolute deviation, or not: `low` and `high`.",
        live=True,
    )
    percentile: Percent = param(
        default=99.0, gt=50, le=100, doc="Below the brightest colour; above the darkest.", live=True
    )
    deviations: float = param(
        default=3.0, gt=0, doc="From the median to either end of the colours.", live=True
    )
    low: float = param(default=-40.0, doc="Fixed value of the darkest colour.", live=True)
    high: float = param(default=40.0, doc="Fixed value of the brightest colour.", live=True)
    same_limits: bool = param(
        default=True, doc="Whether all channels have the same limits.", live=True
    )

    @staticmethod
    def map_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters of the `spectra.Morlet` that computes the map.

        Parameters
        ----------
        values : mapping
            Parameters of a window; those that are missing have their defaults.
        """
        own = MapParameters.declared()
        given = own.validate({key: value for key, value in values.items() if key in own.fields})
        chosen: list[int | str] = given["channels"] or ["0:16"]
        shared = ("f_start", "f_stop", "n_frequencies", "spacing", "n_cycles", "rate",
                 "normalisation")  # fmt: skip
        return {"channels": chosen, **{name: given[name] for name in shared}}


class SpectrumParameters(_Powers):
    """Those of power spectra."""

    segment: Seconds = param(
        default=2.0,
        gt=0,
        le=60,
        doc="Length of a segment; frequencies are apart by 1 / segment.",
        live=True,
    )
    overlap: Percent = param(
        default=75.0, ge=0, lt=100, doc="How much of it the next one shares.", live=True
    )
    window: Literal["hann", "hamming", "blackman", "blackmanharris", "flattop", "boxcar"] = param(
        default="hann", doc="What each segment is weighted with.", live=True
    )
    averaging: Literal["exponential", "last"] = param(
        default="exponential",
        doc="exponential: a new segment weighs 1 / n_segments; last: the mean of the last ones.",
        live=True,
    )
    n_segments: int = param(
        default=8, ge=1, le=1000, doc="Segments that are averaged; 1: no average.", live=True
    )
    normalisation: Literal["power", "density"] = param(
        default="density",
        doc="density: power in one hertz. power: in each bin; a sine gives its mean square.",
        live=True,
    )
    f_start: Hz = param(default=0.0, ge=0, doc="Lowest frequency shown.", live=True)
    f_stop: Hz = param(
        default=0.0, ge=0, doc="Highest frequency shown; 0: half the sampling rate.", live=True
    )
    frequency_axis: Literal["linear", "log"] = param(
        default="linear", doc="How frequencies are spread.", live=True
    )
    power_axis: Literal["dB", "log", "linear"] = param(
        default="dB", doc="How power is spread; dB counts from one unit of it.", live=True
    )
    limits: Literal["auto", "fixed"] = param(
        default="auto", doc="Whether the axis of power follows the curves.", live=True
    )
    low: float = param(default=-60.0, doc="Fixed lower end of the axis, as it counts.", live=True)
    high: float = param(default=40.0, doc="Fixed upper end of the axis, as it counts.", live=True)
    hold: bool = param(
        default=False, doc="Draws the highest values since it was switched on.", live=True
    )
    mean: bool = param(default=False, doc="Draws the mean of the channels.", live=True)

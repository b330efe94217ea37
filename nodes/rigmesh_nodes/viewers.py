"""Windows: what they show and how. Clients open them; `rigmesh.viewers` draws them."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from rigmesh.node import Hz, Input, Node, Seconds, param
from rigmesh.streams import Frames, Markers, Signal
from rigmesh_nodes._viewers_powers import MapParameters, SpectrumParameters

__all__ = [
    "DigitalOscilloscope",
    "ImageViewer",
    "Oscilloscope",
    "Panel",
    "Raster",
    "Spectrum",
    "TimeFreq",
    "TriggeredOscilloscope",
]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Range = Annotated[list[Finite], Field(min_length=2, max_length=2)]
Pattern = Annotated[str, AfterValidator(_compiles)]


class _Window(Node):
    """What all windows have."""

    is_window = True
    detached = "window"  # for plans: in a process of its own, behind a ring

    title: str = param(default="", doc="Of the window; its name if empty.", live=True)


class _Viewer(_Window):
    """What windows of streams have."""

    refresh_rate: Hz = param(
        default=30.0, gt=0, le=120, doc="How often it is drawn, at most.", live=True
    )


class _Traces(_Viewer):
    """What windows of traces have; channels are named as ``stream/channel``."""

    seconds: Seconds = param(default=10.0, gt=0, le=3600, doc="Width of the window.", live=True)
    mode: Literal["scan", "scroll"] = param(
        default="scan",
        doc="Whether a cursor writes over the oldest, or everything moves to the left.",
        live=True,
    )
    history: Seconds = param(
        default=60.0,
        gt=0,
        le=3600,
        doc="How far a paused window can be dragged back, as far as memory reaches.",
        live=True,
    )
    hidden: list[str] = param(
        default=[], doc="Channels that are not drawn.", live=True, examples=[["amp.signal/Cz"]]
    )
    colours: dict[str, Colour] = param(
        default={},
        doc="Colours of channels that have one of their own.",
        live=True,
        examples=[{"amp.signal/Cz": "#ff8800"}],
    )


class Oscilloscope(_Traces):
    """Traces of signals over the last seconds, with markers."""

    aliases: ClassVar[tuple[str, ...]] = ("QOscilloscope", "QOscilloscopeMultiPlot")

    signal = Input(Signal, many=True)
    markers = Input(Markers, many=True, optional=True)

    scale: Literal["same", "by channel", "real"] = param(
        default="same",
        doc="Whether all channels of a stream are scaled alike, each fills its row, or all lie on "
        "top of each other over one axis in their unit.",
        live=True,
    )
    gain: float = param(default=1.0, gt=0, doc="Enlarges all traces.", live=True)
    gains: dict[str, Positive] = param(
        default={}, doc="Enlarges single channels.", live=True, examples=[{"amp.signal/Cz": 2.0}]
    )
    offsets: dict[str, Finite] = param(
        default={},
        doc="Added to samples, in the channel's unit; else a channel's median is taken off.",
        live=True,
        examples=[{"amp.signal/Cz": -120.0}],
    )
    spans: dict[str, Positive] = param(
        default={},
        doc="What is as high as a row, in the unit: by stream if all are scaled alike, by channel "
        "if each fills its row; else found by the median absolute deviation.",
        live=True,
        examples=[{"amp.signal": 200.0}],
    )
    ranges: dict[str, Range] = param(
        default={},
        doc="Least and greatest value of the axis, by stream, if the scale is real.",
        live=True,
        examples=[{"amp.signal": [-100.0, 100.0]}],
    )


class DigitalOscilloscope(_Traces):
    """Bits of digital signals over the last seconds, a trace a bit."""

    aliases: ClassVar[tuple[str, ...]] = ("QDigitalOscilloscope",)

    signal = Input(Signal, many=True)
    markers = Input(Markers, many=True, optional=True)

    read_as: Literal["auto", "bits", "level"] = param(
        default="auto",
        doc="Draws the bits of integers, or one bit a channel that is set above the level; auto: "
        "bits of integers, the level of other numbers.",
        live=True,
    )
    level: float = param(
        default=0.5, doc="A channel that is above it is set, in the channel's unit.", live=True
    )
    only_active: bool = param(
        default=False, doc="Leaves out bits that have not changed yet.", live=True
    )
    names: dict[str, str] = param(
        default={},
        doc="What bits are called.",
        live=True,
        examples=[{"ports.signal/in.3": "Reward valve"}],
    )


class TriggeredOscilloscope(_Viewer):
    """The last sweeps of a signal around its triggers, on top of each other, and their average.

    For an average over a whole session, or of several conditions, there is
    ``averages.TriggerAverage``.
    """

    aliases: ClassVar[tuple[str, ...]] = ("QTriggeredOscilloscope",)

    signal = Input(Signal)
    events = Input(Markers, many=True, optional=True)

    before: Seconds = param(default=0.2, ge=0, le=60, doc="How much of it before a trigger.",
                            live=True)  # fmt: skip
    after: Seconds = param(default=0.8, gt=0, le=60, doc="How much of it after a trigger.",
                           live=True)  # fmt: skip
    n_sweeps: int = param(default=20, ge=1, le=500, doc="How many sweeps are kept.", live=True)
    trigger: Literal["events", "channel"] = param(
        default="events", doc="Whether events or a channel of the signal are the triggers.",
        live=True,
    )  # fmt: skip
    select: Pattern = param(
        default="",
        doc="Regular expression that the whole text of an event matches; empty: all are triggers.",
        live=True,
        examples=["S  1|S  2"],
    )
    channel: int | str = param(
        default=0, doc="Label or index of the channel that triggers.", live=True
    )
    level: Finite = param(default=0.0, doc="Level that it crosses, in its unit.", live=True)
    hysteresis: Finite = param(
        default=0.0, ge=0, doc="How far from the level it was before, in its unit.", live=True
    )
    direction: Literal["rising", "falling", "both"] = param(
        default="rising", doc="In which direction it crosses.", live=True
    )
    refractory: Seconds = param(
        default=0.0, ge=0, doc="Time after a crossing in which no other triggers.", live=True
    )
    channels: list[int | str] = param(
        default=[], doc="Channels that are drawn; none: the first 32.", live=True,
        examples=[["Cz", 3, "8:16"]],
    )  # fmt: skip
    view: Literal["panels", "stacked"] = param(
        default="panels", doc="Whether each channel has a panel, or all share one.", live=True
    )
    show_sweeps: bool = param(default=True, doc="Draws the single sweeps.", live=True)
    show_average: bool = param(default=True, doc="Draws their average.", live=True)
    show_band: bool = param(
        default=False, doc="Shades one standard deviation around the average.", live=True
    )
    baseline: bool = param(
        default=True,
        doc="Subtracts the mean of the time before the trigger; of all of a sweep without one.",
        live=True,
    )
    negative_up: bool = param(default=False, doc="Draws negative values upwards.", live=True)
    half_range: Finite = param(
        default=0.0,
        ge=0,
        doc="How far a panel reaches to either side, in the unit of the signal; 0: as far as the "
        "sweeps do.",
        live=True,
    )


class TimeFreq(MapParameters, _Viewer):
    """Power over time and frequency of a signal's channels, by Morlet wavelets: a map for each.

    The map comes from a `spectra.Morlet` that runs elsewhere, if `map` is linked; else the window
    computes it from `signal`.
    """

    aliases: ClassVar[tuple[str, ...]] = ("QTimeFreq",)
    workers: ClassVar[dict[str, tuple[str, str]]] = {"signal": ("spectra.Morlet", "map")}

    signal = Input(Signal, optional=True)
    map = Input(Signal, optional=True)
    markers = Input(Markers, many=True, optional=True)


class Spectrum(SpectrumParameters, _Viewer):
    """Power spectrum of a signal's channels, by Welch's method: a curve for each."""

    signal = Input(Signal)


class Raster(_Viewer):
    """Events of marker streams over the last seconds, a row for each text, and how often it comes.

    The first 200 texts get rows; further ones share the last.
    """

    events = Input(Markers, many=True)

    seconds: Seconds = param(default=10.0, gt=0, le=3600, doc="Width of the window.", live=True)
    rate_seconds: Seconds = param(
        default=5.0, gt=0, le=3600, doc="Time over which the rates are taken.", live=True
    )
    group: Pattern = param(
        default="",
        doc="Regular expression, looked for in texts: its first group, or what fits, names the "
        "row; texts without it have none. Empty: a row for each text.",
        live=True,
        examples=[r"unit \d+", r"^(\w+) "],
    )
    order: Literal["name", "first", "rate"] = param(
        default="name",
        doc="Whether rows are sorted by name, by their first event, or the busiest first.",
        live=True,
    )


class ImageViewer(_Viewer):
    """The newest frames of cameras, and of whatever else gives frames."""

    aliases: ClassVar[tuple[str, ...]] = ("QImageViewer",)

    frames = Input(Frames, many=True)

    n_columns: int = param(default=4, ge=1, le=32, doc="Cameras side by side.", live=True)
    levels: Literal["auto", "full", "fixed"] = param(
        default="auto",
        doc="Whether what is not 8-bit is drawn from its least to its greatest value, over the "
        "full range of its type, or from `low` to `high`.",
        live=True,
    )
    low: Finite = param(default=0.0, doc="What is black, if the levels are fixed.", live=True)
    high: Finite = param(default=255.0, doc="What is white, if the levels are fixed.", live=True)
    colours: Literal["gray", "viridis", "inferno", "diverging"] = param(
        default="gray", doc="Colours of frames that have none.", live=True
    )
    smooth: bool = param(
        default=False, doc="Smooths what is enlarged, instead of showing pixels.", live=True
    )


class Panel(_Window):
    """The whole rig: hosts, groups, nodes and links as they run, parameters, recorders, logs.

    It shows the machines of the script that opens it, and what they run, whoever began that.
    """

    hosts: list[str] = param(
        default=[],
        doc="Addresses of other machines that one is logged in to; those of the script, if it is "
        "not given.",
        live=True,
        examples=[["rec-pc"]],
    )

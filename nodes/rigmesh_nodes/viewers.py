"""Windows: what they show and how. Clients open them; `rigmesh.viewers` draws them."""

from __future__ import annotations

from typing import ClassVar, Literal

from rigmesh.node import Hz, Input, Node, Seconds, param
from rigmesh.streams import Frames, Markers, Signal

__all__ = [
    "DigitalOscilloscope",
    "ImageViewer",
    "Oscilloscope",
    "Raster",
    "Spectrum",
    "TimeFreq",
    "TriggeredOscilloscope",
]


class _Viewer(Node):
    """What all windows have."""

    is_window = True

    title: str = param(default="", doc="Of the window; its name if empty.", live=True)
    refresh_rate: Hz = param(
        default=30.0, gt=0, le=120, doc="How often it is drawn, at most.", live=True
    )


class Oscilloscope(_Viewer):
    """Traces of signals over the last seconds, with markers."""

    aliases: ClassVar[tuple[str, ...]] = ("QOscilloscope", "QOscilloscopeMultiPlot")

    signal = Input(Signal, many=True)
    markers = Input(Markers, many=True, optional=True)

    seconds: Seconds = param(default=10.0, gt=0, le=3600, doc="Width of the window.", live=True)
    mode: Literal["scan", "scroll"] = param(
        default="scan",
        doc="Whether a cursor writes over the oldest, or everything moves to the left.",
        live=True,
    )


class DigitalOscilloscope(_Viewer):
    """Bits of digital signals over the last seconds, a trace a bit."""

    aliases: ClassVar[tuple[str, ...]] = ("QDigitalOscilloscope",)

    signal = Input(Signal, many=True)

    seconds: Seconds = param(default=10.0, gt=0, le=3600, doc="Width of the window.", live=True)


class TriggeredOscilloscope(_Viewer):
    """The last sweeps of a signal around its triggers, on top of each other, and their average."""

    aliases: ClassVar[tuple[str, ...]] = ("QTriggeredOscilloscope",)

    signal = Input(Signal)
    events = Input(Markers, optional=True)

    before: Seconds = param(default=0.2, ge=0, doc="How much of it before a trigger.", live=True)
    after: Seconds = param(default=0.8, gt=0, doc="How much of it after a trigger.", live=True)


class TimeFreq(_Viewer):
    """Power over time and frequency of a signal's channels, by Morlet wavelets."""

    aliases: ClassVar[tuple[str, ...]] = ("QTimeFreq",)

    signal = Input(Signal, optional=True)
    map = Input(Signal, optional=True)

    seconds: Seconds = param(default=10.0, gt=0, le=600, doc="Width of the window.", live=True)


class Spectrum(_Viewer):
    """Power spectral density of a signal's channels, by Welch's method."""

    signal = Input(Signal)


class Raster(_Viewer):
    """Events of marker streams over the last seconds, a row for each text."""

    events = Input(Markers, many=True)

    seconds: Seconds = param(default=10.0, gt=0, le=3600, doc="Width of the window.", live=True)


class ImageViewer(_Viewer):
    """The newest frames of cameras."""

    aliases: ClassVar[tuple[str, ...]] = ("QImageViewer",)

    frames = Input(Frames, many=True)

    n_columns: int = param(default=4, ge=1, doc="Cameras side by side.", live=True)

"""Which objects of NWB the samples of a stream become."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rigmesh.recording.recorded import RecordedStream
from rigmesh.streams import StreamInfo

__all__ = ["NO_UNIT", "Series", "series_of", "storable", "volts"]

Kind = Literal["ElectricalSeries", "EventsTable", "ImageSeries", "SpatialSeries", "TimeSeries"]

NO_UNIT = "n.a."

_PREFIXES = {
    "": 1.0, "k": 1e3, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12,
    "kilo": 1e3, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9, "pico": 1e-12,
}  # fmt: skip
_VOLTAGE = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:e[+-]?\d+)?)?\s*(?P<prefix>[a-zµμ]*?)v(?:olts?)?"
    r"(?:\s*/\s*(?:bit|count|digit|lsb)s?)?"
)
# What electrodes in or on a body pick up. An electrocardiogram is among it: it comes from the
# same amplifiers and electrodes, often as a channel beside the EEG.
_ELECTRODES = {
    "EEG", "IEEG", "SEEG", "ECOG", "DBS", "LFP", "EPHYS", "ELECTROPHYSIOLOGY", "ELECTRICALSERIES",
    "EXTRACELLULAR", "NEURAL", "AP", "MUA", "SPIKE", "SPIKES", "EXG", "ECG", "EKG", "EMG", "EOG",
    "HEOG", "VEOG",
}  # fmt: skip
_POSITIONS = ("POSITION", "SPATIALSERIES", "TRACKING", "MOCAP")
_SPACE = {
    "m": "meters", "meter": "meters", "meters": "meters", "metre": "meters", "metres": "meters",
    "cm": "centimeters", "centimeters": "centimeters", "centimetres": "centimeters",
    "mm": "millimeters", "millimeters": "millimeters", "millimetres": "millimeters",
    "um": "micrometers", "µm": "micrometers", "μm": "micrometers", "micrometers": "micrometers",
    "px": "pixels", "pixel": "pixels", "pixels": "pixels",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Series:
    """Channels of a stream that one object of NWB holds.

    Parameters
    ----------
    kind : str
        Its type in NWB.
    name : str
        Its name.
    unit : str
        What the values are in, once they are multiplied by `conversion`.
    columns : tuple of int
        The channels; none means all there are.
    conversion : float
        Factor of all channels.
    channel_conversion : tuple of float
        A further factor of each channel; none if all are 1.
    """

    kind: Kind
    name: str
    unit: str = NO_UNIT
    columns: tuple[int, ...] = ()
    conversion: float = 1.0
    channel_conversion: tuple[float, ...] = ()

    @property
    def path(self) -> str:
        """Where it is in the file."""
        folder = {
            "EventsTable": "events",
            "SpatialSeries": "processing/behavior/Position",
        }.get(self.kind, "acquisition")
        return f"{folder}/{self.name}"

    def shape(self, info: StreamInfo) -> tuple[int, ...]:
        """Return the shape of one sample of it."""
        if self.columns:
            return (len(self.columns),)
        # A series has four axes at most.
        return info.sample_shape if len(info.sample_shape) <= 3 else (info.n_channels,)


def series_of(stream: RecordedStream) -> Sequence[Series]:
    """Return what the samples of a stream become; nothing if there are none.

    A series of NWB has one unit, so a stream with several becomes several, by their units. Of
    these the first has the most channels, and the stream's name.

    Examples
    --------
    >>> info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=250, unit="uV")
    >>> [found] = series_of(RecordedStream("amp.signal", info, 1, [0], [0], [0]))
    >>> found.kind, found.unit, found.conversion
    ('ElectricalSeries', 'volts', 1e-06)
    """
    info, key = stream.info, stream.key
    if not len(stream):
        return ()
    if info.kind == "markers":
        return (Series("EventsTable", key),)
    if info.kind == "frames":
        return (Series("ImageSeries" if len(info.sample_shape) in (2, 3) else "TimeSeries", key),)
    groups: dict[tuple[Kind, str, float], list[int]] = {}
    for column, group in enumerate(_groups(info)):
        groups.setdefault(group, []).append(column)
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))
    return tuple(
        # An ampersand is in no name of a stream in a file.
        _series(info, group, columns, f"{key}&{number}" if number > 1 else key, len(groups))
        for number, (group, columns) in enumerate(ranked, start=1)
    )


def volts(unit: str) -> float | None:
    """Return how many volts a unit is; None if it is not one of voltage.

    Examples
    --------
    >>> volts("uV"), volts("millivolts"), volts("0.5 µV/count"), volts("m"), volts("")
    (1e-06, 0.001, 5e-07, None, None)
    """
    found = _VOLTAGE.fullmatch(unit.strip().casefold())
    if found is None or found["prefix"] not in _PREFIXES:
        return None
    return float(found["number"] or 1) * _PREFIXES[found["prefix"]] or None


def storable(text: str) -> str:
    """Return a text that any reader of HDF5 takes: without NUL, and as Unicode."""
    return text.replace("\0", " ").encode("utf-8", "backslashreplace").decode()


def _groups(info: StreamInfo) -> Iterator[tuple[Kind, str, float]]:
    """For each channel return type and unit of the series that it belongs into, and a factor."""
    units = [channel.unit for channel in info.channels] or [""] * info.n_channels
    types = [channel.type for channel in info.channels] or [""] * info.n_channels
    untyped = not info.stype and not any(types)
    spaces = [_SPACE.get(unit.strip().casefold()) for unit in units]
    is_place = untyped and len(units) <= 3 and len(set(spaces)) == 1
    for unit, type_, space in zip(units, types, spaces, strict=True):
        what = re.sub("[^A-Z]", "", (type_ or info.stype).upper())
        factor = volts(unit)
        if factor is not None and (what in _ELECTRODES or (not what and factor < 1e-3)):
            yield "ElectricalSeries", "volts", 0.0
        elif space is not None and (is_place or what.startswith(_POSITIONS)):
            yield "SpatialSeries", space, 1.0
        elif factor is not None:
            yield "TimeSeries", "volts", factor
        else:
            yield "TimeSeries", storable(unit).strip() or NO_UNIT, 1.0


def _series(
    info: StreamInfo, group: tuple[Kind, str, float], columns: list[int], name: str, n_groups: int
) -> Series:
    kind, unit, factor = group
    ratios: tuple[float, ...] = ()
    if kind == "ElectricalSeries":
        factors = [volts(info.channels[column].unit) or 1.0 for column in columns]
        ((factor, count),) = Counter(factors).most_common(1)
        if count < len(factors):
            ratios = tuple(each / factor for each in factors)
    if kind == "SpatialSeries" and len(columns) > 3:
        kind = "TimeSeries"
    return Series(kind, name, unit, tuple(columns) if n_groups > 1 else (), factor, ratios)

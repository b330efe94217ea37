"""What an input asks of its stream beyond the kind: known when the stream is described."""

from __future__ import annotations

from dataclasses import dataclass

from rigmesh.streams import StreamInfo

__all__ = ["Demands"]


@dataclass(frozen=True, slots=True)
class Demands:
    """Properties that the stream of an input must have.

    Parameters
    ----------
    regular : bool or None
        Whether it has a sampling rate; None: no matter.
    dtypes : tuple of str
        Types of its values; none: any.
    units : tuple of str
        Units of its channels; none: any. A channel without a unit passes.
    channels : tuple of (int, int)
        Least and most channels.
    rates : tuple of (float, float)
        Least and highest sampling rate, in Hz.
    """

    regular: bool | None = None
    dtypes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    channels: tuple[int, int] = (1, 2**31)
    rates: tuple[float, float] = (0.0, float("inf"))

    def refusal(self, info: StreamInfo) -> str:
        """Return what is asked and what was found where a stream does not fit; else nothing.

        Examples
        --------
        >>> Demands(regular=True).refusal(StreamInfo.signal("a", channels=1, sampling_rate=0))
        'takes a regular stream; this one is irregular'
        """
        if self.regular is not None and self.regular != info.is_regular:
            words = ("irregular", "regular")
            article = "a" if self.regular else "an"
            found = words[info.is_regular]
            return f"takes {article} {words[self.regular]} stream; this one is {found}"
        if self.dtypes and info.dtype not in self.dtypes:
            return f"takes {' or '.join(self.dtypes)}; the samples are {info.dtype}"
        low, high = self.channels
        if not low <= info.n_channels <= high:
            return f"takes {_between(low, high, 2**31)} channels; there are {info.n_channels}"
        slowest, fastest = self.rates
        if info.is_regular and not slowest <= info.sampling_rate <= fastest:
            wanted = _between(slowest, fastest, float("inf"))
            return f"takes {wanted} Hz; the sampling rate is {info.sampling_rate:g} Hz"
        if self.units:
            for channel in info.channels:
                if channel.unit and channel.unit not in self.units:
                    wanted = " or ".join(self.units)
                    return f"takes {wanted}; channel {channel.name} is in {channel.unit}"
        return ""


def _between(low: float, high: float, most: float) -> str:
    if low == high:
        return f"{low:g}"
    return f"{low:g} or more" if high >= most else f"{low:g} to {high:g}"

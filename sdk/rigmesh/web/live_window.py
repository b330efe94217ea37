"""Streams between two times: what the page keeps of them, and before that what was recorded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rigmesh.display import MarkerBuffer, SignalBuffer
from rigmesh.web.live_messages import MOST_COLUMNS, Columns, columns_in, factor_of
from rigmesh.web.live_past import Past

__all__ = ["SignalWindow", "marker_window", "signal_window"]


class SignalWindow(NamedTuple):
    """A signal between two times.

    Attributes
    ----------
    columns : Columns
        To pixel width.
    factor : int
        Samples in each of those that are kept.
    reaches : float or None
        How far back one can go, local clock, in seconds.
    is_short : bool
        Whether the buffer does not reach the beginning.
    """

    columns: Columns
    factor: int
    reaches: float | None
    is_short: bool


def signal_window(
    buffer: SignalBuffer, start: float, stop: float, width: int, past: Past | None
) -> SignalWindow:
    """Return a signal between two times (local clock, in seconds).

    Parameters
    ----------
    buffer : SignalBuffer
        What is kept of it; described.
    start, stop : float
        Local clock, in seconds.
    width : int
        On so many pixels.
    past : Past or None
        Where to look for what is not kept any more.
    """
    info = buffer.info
    assert info is not None
    rate = info.sampling_rate
    with buffer.lock:
        if rate:
            factor = factor_of(rate, stop - start, min(width, MOST_COLUMNS))
        else:  # as many columns as samples, unless those are more than can be sent
            n_rows = buffer.row_at(stop) + 1 - max(0, buffer.row_at(start) - 1)
            factor = max(1, -(-n_rows // (2 * MOST_COLUMNS - 2)))
        begin = max(0, (buffer.row_at(start) - 1) // factor)
        n = min(-(-(buffer.row_at(stop) + 1) // factor) - begin, 2 * MOST_COLUMNS)
        own = columns_in(buffer, factor, begin, max(0, n))
        # What is not kept, or not so finely, is missing like a gap: the recording may have either.
        seen = np.flatnonzero(~np.isnan(own.least).all(axis=0))
        lead = int(seen[0]) if len(seen) else len(own.times)
        first, last = buffer.rows
        reaches = _time_of(buffer, first)
        period = 1 / rate if rate else 0.0
        if len(seen):
            seam = _time_of(buffer, (begin + lead) * factor) or float(own.times[lead])
            is_short = seam - start > 1.5 * period
        else:
            seam = stop
            is_short = start < (_time_of(buffer, last - 1) or np.inf)
    if seam >= stop:  # what is kept begins behind the window; a sample behind belongs to it
        seam, lead = stop + period, len(own.times)
    if past is None or not is_short:
        return SignalWindow(own, factor, reaches, is_short)
    most = int(rate * (seam - start) / factor) + 4 if rate else 2 * width
    found = past.signal(info, start, seam, min(most, 2 * MOST_COLUMNS))
    if found is None:
        return SignalWindow(own, factor, reaches, is_short)
    before, reached = found
    if before is not None:
        after = own.part(slice(lead, None))
        joined = zip(before, after, strict=True)
        own = Columns(*(np.concatenate(pair, axis=-1) for pair in joined))
    return SignalWindow(own, factor, min(reached, reaches or reached), is_short)


def marker_window(
    name: str, buffer: MarkerBuffer, start: float, stop: float, past: Past | None
) -> tuple[list[tuple[float, str]], bool]:
    """Return the markers between two times, and whether those that are kept begin later."""
    kept = buffer.since(start)
    own = [pair for pair in kept if pair[0] <= stop]
    # The first that is kept, whether it is asked for or not.
    first = next(iter(buffer.since(-np.inf)), None)
    is_short = first is None or first[0] > start
    if past is None or not is_short:
        return own, is_short
    seam = stop if first is None else min(stop, first[0])
    return [*past.markers(name, start, seam), *own], is_short


def _time_of(buffer: SignalBuffer, row: int) -> float | None:
    found = buffer.times(row, row + 1).tolist() if row >= 0 else []
    return found[0] if found else None

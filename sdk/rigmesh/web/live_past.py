"""What was recorded of the streams of this machine: the time before the page kept them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rigmesh.errors import RigmeshError
from rigmesh.streams import StreamInfo
from rigmesh.web.browse_open import Library, OpenRecording
from rigmesh.web.live_messages import Columns
from rigmesh.web.rigs import report_of
from rigmesh.web.watch import HostView, is_recorder

__all__ = ["Past", "recorded_files"]

_MOST_FILES = 16
_MOST_MARKERS = 2000
_MOST_HOLES = 64
_INSTANT = 1e-6

Span = tuple[float, float]


def recorded_files(views: list[HostView]) -> Iterator[str]:
    """Yield the files that the recorders of this machine tell of; those of each newest first."""
    for view in views:
        if view.address:
            continue  # its paths are those of another machine
        for node in view.status.nodes:
            if not is_recorder(node):
                continue
            report = report_of(node)
            # States are told while a recorder runs, and reports when it begins and ends.
            files = view.states.get(f"{node.spec.name}.files") or report.get("paths")
            yield from map(str, reversed(files or [report.get("path", "")]))


class Past:
    """Looks into the recordings that the recorders of this machine write, or have written.

    Only those are opened that lie in the folder which the page shows. All of it reads files: who
    must not wait asks in a thread.

    Parameters
    ----------
    library : Library
        The recordings that may be read.
    tell_files : callable
        Returns the paths of those that may hold the streams, see `recorded_files`.
    """

    def __init__(self, library: Library, tell_files: Callable[[], Iterable[str]]) -> None:
        self._library = library
        self._tell_files = tell_files

    def signal(
        self, info: StreamInfo, start: float, stop: float, n_columns: int
    ) -> tuple[Columns | None, float] | None:
        """Return what was recorded of a signal.

        Parameters
        ----------
        info : StreamInfo
            The signal; what was recorded of it with other channels is left out.
        start, stop : float
            Local clock, in seconds; the sample at `stop` is not wanted any more.
        n_columns : int
            For all the time, if all of it is recorded.

        Returns
        -------
        columns : Columns or None
            In the order of time, NaN where nothing is known in between; None if none is of then.
        reaches : float
            The first stamp of what is recorded, as far as it was looked for.

        None if nothing is known of it.
        """
        search = _Search((start, stop), info, n_columns)

        def look(recording: OpenRecording) -> bool:
            for key, line in recording.lines.items():
                known = line.stream.info
                if (known.name, known.kind) != (info.name, "signal"):
                    continue
                if known.n_channels == info.n_channels and line.first == line.first:
                    search.read(recording, key)
            return bool(search.open)

        self._each(look)
        return search.result()

    def markers(self, name: str, start: float, stop: float) -> list[tuple[float, str]]:
        """Return the last of the markers from `start` on and before `stop`, as recorded."""
        found: set[tuple[float, str]] = set()

        def look(recording: OpenRecording) -> bool:
            for line in recording.lines.values():
                known = line.stream.info
                if (known.name, known.kind) != (name, "markers"):
                    continue
                last = line.row_at(stop)
                first = max(line.row_at(start), last - _MOST_MARKERS)
                times = line.times(np.arange(first, last)).tolist()
                found.update(zip(times, map(str, line.stream.data[first:last]), strict=True))
            return True

        self._each(look)
        return sorted(found)[-_MOST_MARKERS:]

    def _each(self, look: Callable[[OpenRecording], bool]) -> None:
        """Look into one recording after the other, until there is nothing left to look for."""
        names = map(self._library.root.name_of, self._tell_files())
        for name in list(dict.fromkeys(filter(None, names)))[:_MOST_FILES]:
            try:
                with self._library.use(name) as recording:
                    if not look(recording):
                        return
            except (RigmeshError, OSError, ValueError):
                continue  # it is gone, just being made into a file, or none that may be read


class _Search:
    """Puts a signal together out of several recordings; nothing comes twice.

    Parameters
    ----------
    span : (float, float)
        From when to when it is looked for.
    info : StreamInfo
        The signal.
    n_columns : int
        For all of it.
    """

    def __init__(self, span: Span, info: StreamInfo, n_columns: int) -> None:
        self._is_regular = info.is_regular
        # A sample stands for so long before and after its stamp.
        self._half = 0.5 / info.sampling_rate if info.is_regular else _INSTANT
        self._span = span = (span[0], span[1] - self._half)
        self.open = [span]
        self._density = n_columns / max(span[1] - span[0], 1e-9)
        self._n_columns = n_columns
        self._parts: list[Columns] = []
        self._holes: list[Span] = []
        self._first = np.inf

    def read(self, recording: OpenRecording, key: str) -> None:
        """Read what is still looked for, as far as a stream of a recording has it."""
        line = recording.line(key)
        self._first = min(self._first, line.first)
        begin, end = line.first - self._half, line.last + self._half
        left: list[Span] = []
        for start, stop in self.open:
            low, high = max(start, begin), min(stop, end)
            if low >= high:
                left.append((start, stop))
                continue
            _, until = recording.prepared(key, low, high)
            if until > low:
                self._take(recording, key, (low, until), start)
            pieces = (start, low), (until, stop)
            left += [piece for piece in pieces if piece[1] - piece[0] > self._half]
        self.open = left

    def result(self) -> tuple[Columns | None, float] | None:
        """Return all columns, and the first stamp there is."""
        if not self._parts:
            return None if self._first == np.inf else (None, self._first)
        if self._is_regular:
            # Beyond the first that is recorded it is not missing, but out of reach.
            self._holes += [hole for hole in self.open if hole[0] > self._span[0]]
        marks = np.array([edge for hole in self._holes for edge in hole])
        marks = np.clip(marks, self._span[0], self._span[1])
        nan = np.full((len(self._parts[0].least), len(marks)), np.nan, np.float32)
        parts = [*self._parts, Columns(marks, nan, nan)]
        joined = Columns(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))
        return joined.part(np.argsort(joined.times, kind="stable")), self._first

    def _take(self, recording: OpenRecording, key: str, span: Span, start: float) -> None:
        line = recording.line(key)
        n_columns = min(self._n_columns, int(self._density * (span[1] - span[0])) + 4)
        made = line.traces(*span, n_columns)
        wanted = made.times < span[1]
        if start > self._span[0]:
            wanted &= made.times >= start  # else the one before the window, too
        with np.errstate(over="ignore"):  # what float32 cannot hold is off any screen
            lows, highs = made.minimum.T.astype(np.float32), made.maximum.T.astype(np.float32)
        self._parts.append(Columns(made.times, lows, highs).part(wanted))
        holes = sorted(line.holes(*span), key=lambda hole: hole.start - hole.stop)
        self._holes += [(hole.start, hole.stop) for hole in holes[:_MOST_HOLES]]

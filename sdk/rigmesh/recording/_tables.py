"""The epochs, gaps and clocks of a stream as JSON, for formats that have no tables of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rigmesh.recording.recorded import EpochRows, RecordedStream, RowClock, RowGap
from rigmesh.streams import Cause, ClockModel, Gap

__all__ = ["Tables"]


@dataclass(frozen=True, slots=True)
class Tables:
    """The epochs, gaps and clocks of a stream."""

    epochs: tuple[EpochRows, ...]
    gaps: tuple[RowGap, ...]
    clocks: tuple[RowClock, ...]

    @classmethod
    def of(cls, stream: RecordedStream) -> Tables:
        """Return those of a stream."""
        return cls(stream.epochs, stream.gaps, stream.clocks)

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` takes; only JSON types."""
        return {
            "epochs": [
                (e.epoch, e.first_row, e.n, e.first_index, e.produced, e.missing)
                for e in self.epochs
            ],
            "gaps": [
                (g.row, g.gap.cause.value, g.gap.epoch, g.gap.index, g.gap.count, g.gap.duration,
                 g.gap.exact)
                for g in self.gaps
            ],
            "clocks": [
                (c.row, c.model.offset, c.model.drift, c.model.reference, c.model.uncertainty)
                for c in self.clocks
            ],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tables:
        """Read what :meth:`to_dict` gave.

        Raises
        ------
        ValueError, LookupError, TypeError
            If it is not that.
        """
        epochs = (EpochRows(*row) for row in values["epochs"])
        gaps = (RowGap(row, Gap(Cause(cause), *gap)) for row, cause, *gap in values["gaps"])
        clocks = (RowClock(row, ClockModel(*model)) for row, *model in values["clocks"])
        return cls(tuple(epochs), tuple(gaps), tuple(clocks))

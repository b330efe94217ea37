"""What the nodes that look for something in a signal have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rigmesh.errors import ParameterError, PortMismatch
from rigmesh.node import Input, Node, Output, command, state
from rigmesh.streams import Markers, Signal, StreamInfo

__all__ = ["Detector"]


class Detector(Node, ABC):
    """Base of nodes with a finder that `prepare` makes and `_tune` sets."""

    signal = Input(Signal)
    events = Output(Markers)

    n_not_finite: int = state(default=0, doc="Values that were NaN or infinite.")

    _finder: Any = None

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks."""
        super().set_parameters(values)
        if self._finder is not None:
            self._tune()

    @command
    def reset(self) -> None:
        """Forget what was learnt of the signal, and learn it anew."""
        if self._finder is not None:
            self._finder.reset()
            self._publish()

    def close(self) -> None:
        """Forget what was seen."""
        self._finder = None

    def _begin(self, finder: Any) -> None:
        finder.n_not_finite = self.n_not_finite  # goes on over a change of the input
        self._finder = finder
        self._tune()
        clock_id = self.signal.info.clock_id
        self.events.announce(replace(StreamInfo.markers("events"), clock_id=clock_id))

    @abstractmethod
    def process(self, chunk: Signal) -> Markers | None:
        """Look into the next samples."""

    @abstractmethod
    def _tune(self) -> None:
        """Hand the live parameters to the finder."""

    def _publish(self) -> None:
        """Bring the states up to date."""
        self.n_not_finite = self._finder.n_not_finite

    def _regular(self) -> StreamInfo:
        info = self.signal.info
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        return info

    def _group_width(self, groups: int) -> int:
        info = self.signal.info
        if info.n_channels % groups:
            raise ParameterError(
                f"{self.name}.groups divides the channels evenly; found {groups} groups for the "
                f"{info.n_channels} channels of {info.name}"
            )
        return info.n_channels // groups

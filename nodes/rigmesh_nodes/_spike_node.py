"""What all nodes that find spikes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from rigmesh.errors import ParameterError, PortMismatch, StateError
from rigmesh.node import Input, Milliseconds, Node, Seconds, param, state
from rigmesh.streams import Markers, Signal
from rigmesh_nodes._spike_detection import Detection, PeakFinder, Polarity, Spike
from rigmesh_nodes._spike_noise import NoiseEstimate

__all__ = ["SpikeNode"]


class SpikeNode(Node, ABC):
    """Finds spikes in groups of channels."""

    signal = Input(Signal)

    k: float = param(
        default=5.0,
        gt=0,
        live=True,
        doc="Threshold, in standard deviations of each channel's noise.",
    )
    level: float = param(
        default=0.0,
        ge=0,
        live=True,
        doc="Threshold in the unit of the signal, instead, for all channels; 0: by the noise.",
    )
    polarity: Polarity = param(
        default="negative", doc="Spikes that count: negative, positive or both."
    )
    channels_per_group: int = param(
        default=1,
        ge=1,
        doc="Neighbouring channels that see the same cells: 4 of a tetrode. What several of them "
        "see at once is one spike. 1: each channel by itself.",
    )
    peak_life: Milliseconds = param(
        default=0.3,
        ge=0,
        doc="Time in which no larger sample may follow a peak; a spike is told so much later.",
    )
    refractory: Milliseconds = param(
        default=0.5, ge=0, doc="Time after a peak in which no other spike of the group begins."
    )
    noise_duration: Seconds = param(
        default=2.0, gt=0, doc="Time at the start from which the noise of each channel is learned."
    )
    adapt_duration: Seconds = param(
        default=0.0,
        ge=0,
        doc="Time constant at which the noise is followed then; 0: it stays as learned.",
    )

    thresholds: list[float] = state(
        default=[],
        doc="Magnitude at which spikes begin, one a channel; 0: none (yet, or not connected).",
    )
    noise: list[float] = state(
        default=[], doc="Standard deviation of the noise, one a channel; 0: not known, or none."
    )
    n_spikes: int = state(default=0, doc="Spikes found.")
    n_not_finite: int = state(
        default=0, doc="Samples, of all channels, that were NaN or infinite: they are no spikes."
    )

    _detection: Detection | None = None
    _n_changes = -1

    @abstractmethod
    def process(self, chunk: Signal) -> Markers | Signal | None:
        """Look for spikes."""

    def set_up(self) -> Detection:
        """Return what finds spikes, to begin with; parameters are kept up to date."""
        info = self.signal.info
        if not info.is_regular:
            raise PortMismatch(
                f"{self.name}.signal takes a regular signal; {info.name} is irregular"
            )
        if info.n_channels % self.channels_per_group:
            raise ParameterError(
                f"{self.name}.channels_per_group divides the {info.n_channels} channels of "
                f"{info.name}; found {self.channels_per_group}; choose some by channels.Select"
            )
        self._names = info.channel_names
        rate = info.sampling_rate
        finder = PeakFinder(
            info.n_channels,
            self.channels_per_group,
            dtype=info.dtype,
            polarity=self.polarity,
            peak_life=round(self.peak_life * 1e-3 * rate),
            refractory=round(self.refractory * 1e-3 * rate),
        )
        noise = NoiseEstimate(info.n_channels, rate, self.noise_duration, self.adapt_duration)
        self._detection = Detection(finder, noise, k=self.k, level=self.level)
        self._n_changes = -1
        return self._detection

    def prepared(self) -> Detection:
        """Return what finds spikes."""
        if self._detection is None:
            raise StateError(f"{self.name} looks for spikes before it is prepared")
        return self._detection

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """Take over values, also between two chunks."""
        super().set_parameters(values)
        if self._detection is not None:
            self._detection.use(self.k, self.level)

    def close(self) -> None:
        """Forget what was learned."""
        self._detection = None

    def tell(self, detection: Detection) -> None:
        """Bring the states up to date."""
        if detection.n_not_finite:
            self.n_not_finite += detection.n_not_finite
            detection.n_not_finite = 0
        if detection.n_changes != self._n_changes:
            self._n_changes = detection.n_changes
            thresholds, noise = detection.thresholds, detection.noise.deviation
            self.thresholds = np.where(np.isfinite(thresholds), thresholds, 0.0).tolist()
            self.noise = np.where(np.isfinite(noise), noise, 0.0).tolist()

    def text_of(self, template: str, spike: Spike) -> str:
        """Return the text of a marker."""
        # Not str.format: a text may be JSON, and a client's word never reaches attributes.
        return (
            template.replace("{channel}", self._names[spike.channel])
            .replace("{group}", str(spike.channel // self.channels_per_group))
            .replace("{value}", f"{spike.value:.9g}")
            .replace("{time}", f"{spike.time:.6f}")
            .replace("{index}", str(spike.number))
        )

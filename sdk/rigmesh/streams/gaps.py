"""Samples that are missing, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Cause", "Gap"]


class Cause(Enum):
    """Why samples are missing."""

    DEVICE = "device"
    """The device, or the link to it, lost them before rigmesh saw them."""
    OVERRUN = "overrun"
    """The reader was too slow; the ring was written over."""
    TRANSPORT = "transport"
    """Lost between two hosts."""
    RESTART = "restart"
    """The writer was down."""
    DISK = "disk"
    """They could not be stored."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run of missing samples.

    Parameters
    ----------
    cause : Cause
        Why they are missing.
    epoch : int
        Epoch of the stream.
    index : int
        Index of the first sample after the gap.
    count : int
        How many samples are missing; an estimate if `exact` is false.
    duration : float
        How long the hole is, in seconds; 0 if not known.
    exact : bool
        Whether `count` is known to the sample.
    """

    cause: Cause
    epoch: int
    index: int
    count: int
    duration: float = 0.0
    exact: bool = True

"""The clock of a host and the mapping of another clock onto it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["IDENTITY", "ClockModel", "clock_id", "local_clock"]

T = TypeVar("T", float, npt.NDArray[np.float64])

local_clock = time.monotonic
"""LSL's clock on Linux: CLOCK_MONOTONIC, in seconds (equal to ``pylsl.local_clock()``)."""


def clock_id() -> str:
    """Name this host's clock: it differs after a reboot and in another time namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = Path("/proc/self/ns/time")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return f"{boot}:{inode}"


@dataclass(frozen=True, slots=True)
class ClockModel:
    """How the raw stamps of a stream map onto the local clock.

    ``local = raw + offset + drift * (raw - reference)``

    Parameters
    ----------
    offset : float
        Seconds to add to a raw stamp at `reference`.
    drift : float
        Change of the offset per second of the raw clock.
    reference : float
        Raw time at which `offset` holds, in seconds.
    uncertainty : float
        Half-width of the interval that holds the true offset, in seconds.
    """

    offset: float = 0.0
    drift: float = 0.0
    reference: float = 0.0
    uncertainty: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether raw stamps are local stamps already."""
        return self.offset == 0.0 and self.drift == 0.0

    def to_local(self, raw: T) -> T:
        """Map raw stamps, in seconds, onto the local clock."""
        if self.drift == 0.0:
            return raw + self.offset
        return raw + self.offset + self.drift * (raw - self.reference)


IDENTITY = ClockModel()
"""The model of a stream that is stamped with the local clock."""

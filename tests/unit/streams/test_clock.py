"""The local clock, and the mapping of another one onto it."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pylsl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.streams import IDENTITY, ClockModel, clock_id, local_clock


def test_the_local_clock_is_the_monotonic_one() -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    now = local_clock()
    after = time.clock_gettime(time.CLOCK_MONOTONIC)

    assert before <= now <= after


def test_the_local_clock_is_that_of_lsl() -> None:
    before, lsl, after = local_clock(), pylsl.local_clock(), local_clock()

    assert before - 1e-6 <= lsl <= after + 1e-6


def test_processes_of_one_host_name_their_clock_alike() -> None:
    script = "from rigmesh.streams import clock_id; print(clock_id())"

    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert other.stdout.strip() == clock_id()


def test_nothing_changes_without_offset_and_drift() -> None:
    assert IDENTITY.is_identity
    assert IDENTITY.to_local(12.5) == 12.5
    assert not ClockModel(offset=1e-9).is_identity
    assert not ClockModel(drift=1e-9).is_identity


def test_offset_and_drift_hold_at_the_reference() -> None:
    model = ClockModel(offset=10.0, drift=1e-3, reference=100.0)

    assert model.to_local(100.0) == 110.0
    assert model.to_local(1100.0) == pytest.approx(1111.0)


@given(
    offset=st.floats(-1e6, 1e6),
    drift=st.floats(-1e-3, 1e-3),
    reference=st.floats(0, 1e6),
    raw=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
)
def test_an_array_is_mapped_like_its_numbers(
    offset: float, drift: float, reference: float, raw: list[float]
) -> None:
    model = ClockModel(offset, drift, reference)

    mapped = model.to_local(np.array(raw))

    assert mapped.tolist() == [model.to_local(stamp) for stamp in raw]

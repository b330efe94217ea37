"""Recorders and sealers whose file system ends as if the power had failed."""

from __future__ import annotations

import pytest
from benchmarks.crash_check import FORMATS
from benchmarks.crashes import can_cut_power, measure

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module", autouse=True)
def _power_can_be_cut() -> None:
    if not can_cut_power():
        pytest.skip("this system lets nobody shut a file system down")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("phase", ["capture", "sealing"])
def test_a_power_cut_takes_nothing_that_was_reported_written(name: str, phase: str) -> None:
    found = measure(FORMATS[name], phase, "power", 5)

    assert not found.flaws
    assert found.is_good

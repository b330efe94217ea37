"""Whoever shows samples gives way to who takes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAY = """
import os
from pathlib import Path
from rigmesh.display import give_way
give_way()
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text() if group.exists() else "")
"""


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_gives_way_and_its_session_if_it_leads_one(leads: bool) -> None:
    group = Path("/proc/self/autogroup")
    # There, but empty, for a process in a control group that has its own share of the processor.
    before = group.read_text().split()[1:] if group.exists() else []
    say = subprocess.run(
        [sys.executable, "-c", SAY],
        capture_output=True, text=True, check=True, start_new_session=leads,
    )  # fmt: skip

    niceness, *session = say.stdout.split()

    assert int(niceness) >= 10
    assert session[1:] == (["nice", "10"] if leads and before else before)

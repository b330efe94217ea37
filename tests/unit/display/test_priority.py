"""Whoever shows samples gives way to who takes them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SAY = """
import json
import os
from pathlib import Path
from rigmesh.display import give_way
def niceness_of_session():
    # Without autogroups there is no such file; it is empty for a session that has no group.
    group = Path("/proc/self/autogroup")
    return group.read_text().split()[1:] if group.exists() else []
before = niceness_of_session()
give_way()
print(json.dumps([os.nice(0), before, niceness_of_session()]))
"""


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_gives_way_and_its_session_if_it_leads_one(leads: bool) -> None:
    say = subprocess.run(
        [sys.executable, "-c", SAY],
        capture_output=True, text=True, check=True, start_new_session=leads,
    )  # fmt: skip

    niceness, before, after = json.loads(say.stdout)

    assert niceness >= 10
    assert after == (["nice", "10"] if leads and before else before)

"""``python -m rigmesh.viewers``: the process of a script's windows."""

import sys

from rigmesh.startup import importing

with importing():
    from rigmesh.viewers.process import run_process

sys.exit(run_process())

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.system.lsl.harness import Peer

from rigmesh.transports.lslconfig import lsl_config

# liblsl reads its configuration once in a process, before its first stream, so it has to be there
# when the tests are collected. Processes that tests start inherit it.
_folder = tempfile.TemporaryDirectory(prefix="rigmesh-lsl-")
_config = Path(_folder.name) / "lsl_api.cfg"
_config.write_text(lsl_config(f"test-{uuid.uuid4().hex}", loopback_only=True), encoding="utf-8")
os.environ["LSLAPICFG"] = str(_config)


@pytest.fixture
def name() -> str:
    """Name of a stream that no other test has."""
    return f"stream-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Start plain pylsl programs; they are gone after the test."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Peer(*args, **kwargs))

"""The process of a group, from its arguments to its end."""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import importlib.util
import logging
import signal
import sys
from pathlib import Path

from rigmesh.errors import UnknownName
from rigmesh.node import Node
from rigmesh_daemon.group.control import GroupControl
from rigmesh_proto.v1.control_pb2 import LogRecord

__all__ = ["run_group"]

_DEEPEST = 10_000


class _Forwarder(logging.Handler):
    """Sends log records to the daemon."""

    def __init__(self, control: GroupControl) -> None:
        super().__init__(logging.INFO)
        self._control = control

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._control.log(
            LogRecord(
                time=record.created,
                level=record.levelname,
                node=getattr(record, "node", ""),
                logger=record.name,
                message=self.format(record),
            )
        )


def _load(where: str) -> tuple[str, type[Node]]:
    """Import ``module:Class`` or ``path/to/script.py:Class``."""
    source, _, name = where.rpartition(":")
    if source.endswith(".py"):
        # Under a name of its own, so that the script's `if __name__ == "__main__"` stays shut.
        spec = importlib.util.spec_from_file_location("__rigmesh_script__", source)
        if spec is None or spec.loader is None:
            raise UnknownName(f"cannot import {source}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, str(Path(source).resolve().parent))
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(source)
    cls = getattr(module, name)
    return name, cls


def run_group() -> None:
    """Run a group until it is told to end."""
    parser = argparse.ArgumentParser(prog="rigmesh group")
    parser.add_argument("name")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--load", action="append", default=[], metavar="SCRIPT:CLASS")
    parser.add_argument("--shared", action="store_true", help="open the socket to its group")
    arguments = parser.parse_args()

    faulthandler.enable()
    # A chain of nodes is one nested call, three frames a node; they take no room on the C stack.
    sys.setrecursionlimit(_DEEPEST)
    own = dict(_load(where) for where in arguments.load)
    control = GroupControl(arguments.name, arguments.socket, own, shared=arguments.shared)
    logging.basicConfig(level=logging.INFO, handlers=[_Forwarder(control)], format="%(message)s")
    # Ctrl-C is for the client in front of the terminal; it tells us in good order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: control.end_soon())
    control.serve()

"""``rigmesh hosts``: the machines that one can drive, and how they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rigmesh.cli.console import FAILED, OK, OUT
from rigmesh.client.connection import Connection
from rigmesh.credentials import known_addresses, load_credentials
from rigmesh.errors import RigmeshError
from rigmesh.relay.clock import borrow_clock, return_clock
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["hosts"]

_CLOCK_WITHIN = 3.0


@dataclass(frozen=True)
class _Found:
    """What was found out about a machine."""

    address: str
    status: pb.Status | None = None
    clock: str = ""
    error: str = ""


def hosts(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(help="Hosts to look at; all that you are logged in to if none is given."),
    ] = None,
) -> None:
    """Show the machines you are logged in to: state, version, clock, load.

    The clock is what has to be added to a stamp from there; ± is half of the interval that holds
    the true value. Ends with 1 if a machine does not answer.
    """
    wanted = addresses or known_addresses()
    if not wanted:
        OUT.print("not logged in anywhere: `rigmeshd init` on the other machine says how")
        return
    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(_look_at, wanted))
    table = Table("host", "address", "state", "version", "clock offset", "load", "nodes", "owner")
    for one in found:
        table.add_row(*_row(one))
    OUT.print(table)
    raise typer.Exit(FAILED if any(one.error for one in found) else OK)


def _look_at(address: str) -> _Found:
    try:
        credentials = load_credentials(address)
        connection = Connection(credentials)
        try:
            status = connection.status()
        finally:
            connection.close()
    except RigmeshError as error:
        return _Found(address, error=str(error))
    clock = borrow_clock(credentials)
    try:
        if not clock.wait(_CLOCK_WITHIN):
            told = "not known"
        elif clock.is_same:
            told = "same"
        else:
            estimate = clock.estimate
            told = f"{estimate.offset:+,.6f} s ± {1e3 * estimate.uncertainty:.2f} ms"
    finally:
        return_clock(clock)
    return _Found(credentials.address, status, told)


def _row(found: _Found) -> tuple[str, ...]:
    if found.status is None:
        return "?", found.address, f"[red]{escape(found.error)}[/]", "", "", "", "", ""
    status = found.status
    cpu = sum(process.cpu_percent for process in status.processes)
    failed = sum(node.state == pb.NODE_STATE_FAILED for node in status.nodes)
    state = f"{status.state}, {failed} failed" if failed else status.state
    return (
        status.host, found.address, state, status.version, found.clock,
        f"{cpu:.0f} %", str(len(status.nodes)), escape(status.owner),
    )  # fmt: skip

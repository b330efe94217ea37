"""``rigmesh annotate``: a note into what is being recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from rigmesh.cli.live import OtherHosts, existing

__all__ = ["annotate"]


def annotate(
    text: Annotated[str, typer.Argument(help="What happened.")], hosts: OtherHosts = None
) -> None:
    """Put a note into all recordings of the graph that runs, with the time."""
    with existing(hosts or ()) as manager:
        manager.annotate(text)

"""The commands, imported once they are asked for: a shell that completes waits for each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from rigmesh.startup import importing

__all__ = ["Commands"]

_PLACES = {
    "run": "rigmesh.cli.run:run",
    "latency": "rigmesh.cli.latency:latency",
    "record": "rigmesh.cli.run:record",
    "replay": "rigmesh.cli.replay:replay",
    "nodes": "rigmesh.cli.look:nodes",
    "streams": "rigmesh.cli.look:streams",
    "status": "rigmesh.cli.look:status",
    "info": "rigmesh.cli.files:info",
    "recover": "rigmesh.cli.files:recover",
    "export": "rigmesh.cli.export:export",
    "schema": "rigmesh.cli.look:schema",
    "doctor": "rigmesh.cli.doctor:doctor",
    "bench": "rigmesh.cli.bench:bench",
    "view": "rigmesh.cli.view:view",
    "plot": "rigmesh.cli.plot:plot",
    "web": "rigmesh.cli.web:web",
    "new-node": "rigmesh.cli.scaffold:new_node",
    "get": "rigmesh.cli.live:get",
    "set": "rigmesh.cli.live:set_values",
    "call": "rigmesh.cli.live:call",
    "annotate": "rigmesh.cli.annotate:annotate",
    "stop": "rigmesh.cli.live:stop",
    "take-over": "rigmesh.cli.live:take_over",
    "hosts": "rigmesh.cli.hosts:hosts",
    "login": "rigmesh.cli.login:login",
    "logout": "rigmesh.cli.login:logout",
    "graph": "rigmesh.cli.graph:graph",
}
"""For each command ``module:name`` of its function, or of a Typer with several."""


class Commands(TyperGroup):
    """The commands, which lie in modules of their own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names, in the order in which they are helped with."""
        return list(_PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported now if it was not before; None if there is none."""
        if cmd_name in _PLACES and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name, _PLACES[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and the rest; what is misspelt is compared with all of them."""
        if args and args[0] not in _PLACES:
            for name in _PLACES:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    with importing():
        found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        function = found
        found = typer.Typer(
            add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
        )
        found.command(name)(function)
    made = typer.main.get_command(found)
    made.name = name
    return made

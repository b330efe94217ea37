"""Commands that are imported once they are asked for: a shell that completes waits for each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from rigmesh.startup import importing

__all__ = ["LazyCommands"]


class LazyCommands(TyperGroup):
    """A group whose commands lie in modules of their own."""

    places: ClassVar[Mapping[str, str]] = {}
    """For each command ``module:name`` of its function, or of a Typer with several."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names, in the order in which they are helped with."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported now if it was not before; None if there is none."""
        if cmd_name in self.places and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name, self.places[cmd_name])
        return super().get_command(ctx, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return name, command and the rest; what is misspelt is compared with all of them."""
        if args and args[0] not in self.places:
            for name in self.places:
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

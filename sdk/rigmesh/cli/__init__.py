"""The command ``rigmesh``."""

from rigmesh.cli.app import main

__all__ = ["main"]

"""``python -m rigmesh_daemon.group``: the process of a group."""

from __future__ import annotations

from rigmesh.startup import importing

__all__ = ["main"]


def main() -> None:
    """Run a group until it is told to end."""
    with importing():
        from rigmesh_daemon.group.process import run_group

    run_group()


if __name__ == "__main__":
    main()

"""``rigmeshd``: the daemon of a machine."""

from __future__ import annotations

from rigmesh.startup import importing

__all__ = ["main"]


def main() -> None:
    """Run the daemon, or obey a command."""
    with importing():
        from rigmesh_daemon.daemon import run_daemon

    run_daemon()


if __name__ == "__main__":
    main()

"""What the shell offers for the file of a recording, and for a stream that runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["complete_recording", "complete_recording_or_stream", "complete_stream"]

_RECORDINGS = (
    ".h5",
    ".hdf5",
    ".nwb",
    ".xdf",
    ".xdfz",
    ".edf",
    ".bdf",
    ".vhdr",
    ".fif",
    ".mkv",
    ".mp4",
)


def complete_recording(incomplete: str) -> list[str]:
    """Return recordings, also those that were not sealed, and folders that begin like this.

    None if there is no recording among them: then the shell completes as it does without us,
    and puts no space behind a folder.
    """
    given = Path(incomplete or ".").expanduser()
    folder = given if incomplete.endswith("/") or not incomplete else given.parent
    typed = incomplete[: incomplete.rfind("/") + 1]
    recordings, folders = set(), set()
    try:
        for entry in folder.iterdir():
            name = entry.name.removesuffix(".capture")
            if not entry.name.startswith(incomplete[len(typed) :]) or entry.name.startswith("."):
                continue
            if name != entry.name or entry.suffix.lower() in _RECORDINGS:
                recordings.add(typed + name)
            elif entry.is_dir():
                folders.add(f"{typed}{entry.name}/")
    except OSError:
        return []
    return sorted(recordings | folders) if recordings else []


def complete_stream(incomplete: str) -> list[str]:
    """Return the streams of the graph that runs that begin like this."""
    # Imported here: the shell waits for this module at every tab.
    from rigmesh.client import Manager
    from rigmesh.client.private import find_running
    from rigmesh.errors import RigmeshError

    with contextlib.suppress(RigmeshError, OSError):
        socket = find_running()
        if socket is not None:
            with Manager.attach(socket=socket) as manager:
                names = [info.name for info in manager.status().streams]
            return sorted(name for name in names if name.startswith(incomplete))
    return []


def complete_recording_or_stream(incomplete: str) -> list[str]:
    """Return recordings and streams that begin like this."""
    streams = [] if "/" in incomplete else complete_stream(incomplete)
    return complete_recording(incomplete) + streams

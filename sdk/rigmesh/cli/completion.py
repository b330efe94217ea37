"""What the shell offers for the file of a recording."""

from __future__ import annotations

from pathlib import Path

__all__ = ["complete_recording"]

_RECORDINGS = (".h5", ".hdf5", ".nwb", ".xdf", ".xdfz", ".edf", ".bdf", ".vhdr", ".fif")


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

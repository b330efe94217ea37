"""The files of one recording: what they are called, and what is written into each about it."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rigmesh
from rigmesh import recording
from rigmesh.recording.captured import MANIFEST, CaptureState

__all__ = ["Parts", "code_version"]


class Parts:
    """The files of one recording, which may be split.

    Parameters
    ----------
    template, root : str
        The recorder's path; the folder that recordings stay inside of.
    context : mapping
        Of the run.
    run_id : str
        Names the run.
    metadata : mapping
        Of this recording; added to those of the graph.

    Attributes
    ----------
    run_id : str
        Names the run.
    """

    def __init__(
        self,
        template: str,
        root: str,
        context: Mapping[str, Any],
        run_id: str,
        metadata: Mapping[str, str],
    ) -> None:
        self._template = template
        self._root = root
        self.run_id = run_id
        self._context = {
            **context,
            "metadata": {**(context.get("metadata") or {}), **metadata},
            "code": {"rigmesh": code_version()},
        }

    def path(self, part: int) -> Path:
        """Return a file's name; that of the first is what the template says.

        Raises
        ------
        RecordingError
            If the template names no acceptable file.
        """
        context = {**self._context, "part": part}
        path = recording.resolve_path(self._template, self._root, context)
        if part > 1 and "{part}" not in self._template:
            return path.with_name(f"{path.stem}_part{part}{path.suffix}")
        return path

    def context(self, part: int) -> dict[str, Any]:
        """Return the context to write into a file: the run, and the file before it."""
        told = {"part": part, **({"previous": self.path(part - 1).name} if part > 1 else {})}
        return {**self._context, "recording": told}

    def left(self) -> list[int]:
        """Return the parts that a recorder of this run has left unsealed, in order."""
        found: list[int] = []
        part = 1
        while True:
            path = self.path(part)
            folder = recording.capture_folder(path)
            if (folder / MANIFEST).exists():
                if CaptureState(folder).manifest["run_id"] != self.run_id:
                    return found
                found.append(part)
            elif not path.exists():
                return found
            part += 1


@functools.cache
def code_version() -> str:
    """Return what git calls the checkout that rigmesh runs from; empty if it is none."""
    folder = Path(rigmesh.__file__).parent
    if not any((above / ".git").exists() for above in folder.parents[:3]):
        return ""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()

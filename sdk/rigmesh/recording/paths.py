"""Where a recording lies: templates, the root they stay inside of, the names beside the file."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rigmesh.errors import RecordingError
from rigmesh.recording.disk import as_recording_error

__all__ = [
    "capture_folder",
    "check_target",
    "earlier_recording",
    "part_file",
    "resolve_path",
    "stream_key",
    "target_of",
]

_CAPTURE = ".capture"
_LONGEST_NAME = 255 - len(_CAPTURE) - len(".damaged")
_LONGEST_PATH = 4095 - 300  # room for the files of a capture
_FIELD = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def resolve_path(template: str, root: str, context: Mapping[str, Any]) -> Path:
    """Return the file that a template names.

    Parameters
    ----------
    template : str
        May contain ``{date}``, ``{time}``, ``{run}``, ``{part}`` and the keys of
        ``context["metadata"]``.
    root : str
        Folder that the file must lie in; empty for anywhere.
    context : mapping
        Of the run: ``started`` (seconds since 1970), ``run_id``, ``metadata``, ``part``.

    Raises
    ------
    RecordingError
        If a field is not known, or the path is not acceptable or outside of `root`.

    Examples
    --------
    >>> str(resolve_path("{subject}/rest.h5", "/data", {"metadata": {"subject": "s01"}}))
    '/data/s01/rest.h5'
    """
    text = _fill(template, context)
    if not text or text.endswith("/"):
        raise RecordingError(
            f"path {template!r} names no file; end it with one, such as session.h5"
        )
    path = Path(text)
    path = _inside(path, Path(root), template) if root else path.expanduser().absolute()
    _check_names(path, template)
    return path


def capture_folder(path: Path) -> Path:
    """Return the folder that a recording grows in, given its file."""
    return path.with_name(path.name + _CAPTURE)


def target_of(path: Path) -> Path:
    """Return the file of a recording, given it or the folder that it grows in."""
    if path.name.endswith(_CAPTURE):
        return path.with_name(path.name.removesuffix(_CAPTURE))
    return path


def part_file(path: Path) -> Path:
    """Return the file that is written before it gets its name."""
    return path.with_name(path.name + ".part")


def check_target(path: Path) -> None:
    """See that a recording can be made under a name; its folder is made.

    Raises
    ------
    RecordingError
        If the name is taken, or nothing can be written there.
    """
    with as_recording_error(f"cannot record into {path.parent}"):
        if path.exists() or path.is_symlink():
            raise RecordingError(
                f"{path} exists, and recordings are never overwritten; choose another path, "
                "for instance with {date} and {time} in it"
            )
        if capture_folder(path).exists():
            raise earlier_recording(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Asking for permissions would not see a read-only file system, nor root's powers.
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def earlier_recording(path: Path) -> RecordingError:
    """Return the error for a capture that is not ours to go on with."""
    return RecordingError(
        f"{capture_folder(path)} holds an earlier recording that is not sealed, and recordings "
        f"are never overwritten; run `rigmesh recover {path}` first, or choose another path"
    )


def stream_key(name: str) -> str:
    """Return a stream's name as the name of a folder or of a group in a file.

    Examples
    --------
    >>> stream_key("amp.signal"), stream_key("a/b")
    ('amp.signal', 'a%2Fb')
    """
    key = quote(name, safe=" +()", errors="backslashreplace")
    if key.startswith(".") or not key:
        key = "%2E" + key[1:]
    if len(key) > 200:
        key = key[:180] + "~" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    return key


def _fill(template: str, context: Mapping[str, Any]) -> str:
    started = time.localtime(context.get("started") or time.time())
    values = {
        **{key: v for key, v in (context.get("metadata") or {}).items() if isinstance(key, str)},
        "date": time.strftime("%Y-%m-%d", started),
        "time": time.strftime("%H-%M-%S", started),
        "run": context.get("run_id", "run"),
        "part": context.get("part", 1),
    }

    def value(match: re.Match[str]) -> str:
        key = match[1]
        if key not in values:
            known = ", ".join(sorted(values))
            raise RecordingError(f"path {template!r}: nothing is known as {key!r}; known: {known}")
        text = str(values[key])
        if "/" in text or text in ("", ".", ".."):
            raise RecordingError(
                f"path {template!r}: {key} is {text!r}, which is no part of a name"
            )
        return text

    if set(_FIELD.sub("", template)) & {"{", "}"}:
        raise RecordingError(f"path {template!r} has a brace without its partner")
    return _FIELD.sub(value, template)


def _inside(path: Path, root: Path, template: str) -> Path:
    inner = path.relative_to(root) if path.is_relative_to(root) else path
    outside = RecordingError(
        f"path {template!r} leads outside of {root}, the folder that recordings stay in; "
        "give a path relative to it"
    )
    if inner.is_absolute() or ".." in inner.parts:
        raise outside
    if _CONTROL.search(str(inner)):
        _check_names(root / inner, template)
    with as_recording_error(f"path {template!r}"):
        # The folder, not the file: what exists under the file's name is never opened.
        folder = (root / inner).parent.resolve()
    if not folder.is_relative_to(root.resolve()):
        raise outside
    return folder / inner.name


def _check_names(path: Path, template: str) -> None:
    for part in path.parts:
        if _CONTROL.search(part):
            raise RecordingError(f"path {template!r} has control characters in {part!r}")
        if len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
            raise RecordingError(f"path {template!r}: a name has at most {_LONGEST_NAME} bytes")
    if path.name in ("", ".", "..") or path.name.endswith((_CAPTURE, ".part", ".damaged")):
        raise RecordingError(f"path {template!r}: {path.name!r} is not possible as a file's name")
    if len(str(path).encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        raise RecordingError(f"path {template!r}: the whole has at most {_LONGEST_PATH} bytes")

"""What is in a recording, as a tree of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rigmesh.display.timeline import Timeline
from rigmesh.errors import RecordingError, UnknownName
from rigmesh.recording.recorded import missing_in
from rigmesh.web.browse_open import OpenRecording

__all__ = ["file_node", "safe", "tree_of"]

_MOST_GAPS = 500
_MOST_NOTES = 1000
_MOST_CHANNELS = 4096
_MOST_MEMBERS = 1000
_MOST_ATTRIBUTES = 60
_PREVIEW = 24
_LONGEST = 2000
_EXACT = 2**53
"""Up to which whole numbers are what they are in a browser."""


def tree_of(found: OpenRecording) -> dict[str, Any]:
    """Return what a page needs to know of a recording to begin."""
    notes = [note for note in found.notes if note.get("kind") != "order"]
    return {
        "name": found.path.name,
        "state": found.state,
        "verdict": found.verdict,
        "run_id": found.run_id,
        "created": safe(found.created),
        "begin": found.begin,
        "end": found.end,
        "streams": [_stream(key, line, found) for key, line in found.lines.items()],
        "context": safe(found.context),
        "notes": [
            safe({**note, "time": note.get("time", found.begin) - found.begin})
            for note in notes[:_MOST_NOTES]
        ],
        "n_notes": len(notes),
        "has_file_tree": found.path.suffix.lower() in (".h5", ".hdf5", ".nwb")
        and found.state in ("sealed", "file"),
        "is_linked": found.is_linked,
    }


def _stream(key: str, line: Timeline, found: OpenRecording) -> dict[str, Any]:
    stream, info = line.stream, line.stream.info
    n = len(stream)
    return {
        "key": key,
        "name": safe(info.name),
        "part": stream.part,
        "kind": info.kind,
        "dtype": info.dtype,
        "shape": [n, *info.sample_shape],
        "rate": info.sampling_rate,
        "stype": safe(info.stype),
        "source_id": safe(info.source_id),
        "channels": [
            [safe(name), safe(info.channels[number].unit) if info.channels else ""]
            for number, name in enumerate(info.channel_names[:_MOST_CHANNELS])
        ]
        if info.kind == "signal"
        else [],
        "first": _after(found, line.first) if n else None,
        "last": _after(found, line.last) if n else None,
        "missing": missing_in(stream.gaps),
        "n_gaps": len(stream.gaps),
        "gaps": [
            {
                "start": _after(found, hole.start),
                "stop": _after(found, hole.stop),
                "cause": hole.cause,
                "count": hole.count,
            }
            for hole, _ in zip(line.holes(-np.inf, np.inf), range(_MOST_GAPS), strict=False)
        ],
        "epochs": [[epoch.epoch, epoch.first_row, epoch.n] for epoch in stream.epochs],
        "clocked": bool(stream.clocks),
        "progress": found.progress(key),
    }


def _after(found: OpenRecording, time: float) -> float | None:
    """Return seconds after the beginning; None of a stamp that is none, which JSON has not."""
    return time - found.begin if np.isfinite(time) else None


def file_node(found: OpenRecording, place: str) -> dict[str, Any]:
    """Return a group, dataset or type of an HDF5 file: its attributes, members, first values.

    Raises
    ------
    UnknownName, RecordingError
        If there is none.
    """
    import h5py

    if not found.path.is_file():
        raise RecordingError(f"{found.path.name} is not sealed yet; it is no file")
    with h5py.File(found.path, "r") as file:
        node = file.get(place) if place.strip("/") else file
        if node is None:
            raise UnknownName.among("group or dataset", place, list(file))
        told: dict[str, Any] = {"path": node.name, "attributes": _attributes(node)}
        if isinstance(node, h5py.Dataset):
            return {**told, **_dataset(node)}
        if isinstance(node, h5py.Datatype):
            return {**told, "kind": "type", "dtype": _dtype(node)}
        members = [
            {"name": safe(name), **_member(node, name, h5py)} for name in list(node)[:_MOST_MEMBERS]
        ]
        return {**told, "kind": "group", "n_members": len(node), "members": members}


def _member(group: Any, name: str, h5py: Any) -> dict[str, Any]:
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return {"kind": "link", "told": "in another file"}
    if isinstance(link, h5py.SoftLink):
        return {"kind": "link", "told": f"→ {safe(link.path)}"}
    node = group.get(name)
    if isinstance(node, h5py.Dataset):
        return {"kind": "dataset", "shape": list(node.shape or ()), "dtype": _dtype(node)}
    if isinstance(node, h5py.Datatype):
        return {"kind": "type", "told": "a type", "dtype": _dtype(node)}
    return {"kind": "group", "n_members": len(node)}


def _dataset(node: Any) -> dict[str, Any]:
    shape = list(node.shape or ())
    preview = node[()] if node.shape == () else None
    if node.shape:
        preview = node[tuple(slice(0, _PREVIEW if axis == 0 else 8) for axis in range(node.ndim))]
    stored = node.id.get_storage_size()
    return {
        "kind": "dataset",
        "shape": shape,
        "dtype": _dtype(node),
        "chunks": list(node.chunks) if node.chunks else None,
        "compression": node.compression,
        "bytes": int(node.nbytes),
        "stored": int(stored),
        "preview": safe(_plain(preview)),
    }


def _attributes(node: Any) -> dict[str, Any]:
    found = {}
    for name in list(node.attrs)[:_MOST_ATTRIBUTES]:
        try:
            found[safe(name)] = safe(_plain(node.attrs[name]))
        except (OSError, TypeError, ValueError):
            found[safe(name)] = "(cannot be read)"
    return found


def _dtype(node: Any) -> str:
    import h5py

    kind = h5py.check_string_dtype(node.dtype)
    if kind is not None:
        return "text"
    return str(node.dtype) if node.dtype.names is None else "table"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            return [dict(zip(value.dtype.names, map(_plain, row), strict=True)) for row in value]
        return [_plain(each) for each in value] if value.ndim else _plain(value[()])
    if isinstance(value, np.generic):
        return _plain(value.item())
    return value


def safe(value: Any) -> Any:
    """Return a value as JSON takes it: texts that are no UTF-8 and odd numbers made printable.

    Whole numbers that a browser would round are texts, too.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    if isinstance(value, Mapping):
        return {str(safe(str(key))): safe(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [safe(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return safe(str(value))

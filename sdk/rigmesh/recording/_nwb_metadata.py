"""What a recording is of, as NWB says it: session, subject, devices."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.recording._nwb_mapping import storable
from rigmesh.recording.paths import stream_key
from rigmesh.recording.recorded import RecordedStream, Recording

__all__ = ["Clock", "device_of", "devices", "object_name", "session", "subject"]

Stamps = npt.NDArray[np.float64]

_TEXTS = (
    "data_collection", "experiment_description", "institution", "lab", "pharmacology", "protocol",
    "slices", "stimulus_notes", "surgery", "virus",
)  # fmt: skip
_LISTS = ("experimenter", "keywords", "related_publications")
_ALIASES = {
    "session": "session_id", "experimenters": "experimenter", "description": "session_description"
}  # fmt: skip
_SUBJECT = ("age", "description", "genotype", "sex", "species", "strain", "subject_id")


@dataclass(frozen=True, slots=True)
class Clock:
    """The time that all times of a file count from.

    It is the last whole second of the local clock before the recording began. Subtracting a whole
    number from a stamp, and adding it again, gives the very same stamp if that is not below half
    of that number: no digit of it is behind the last one that the difference can hold.

    Parameters
    ----------
    zero : float
        That second, by the local clock.
    utc : datetime
        The same, by the world's.
    """

    zero: float
    utc: datetime

    @classmethod
    def of(cls, recording: Recording) -> Clock:
        """Return the one of a recording."""
        local = float(recording.created["local_clock"])
        utc = datetime.fromisoformat(recording.created["utc"])
        if utc.tzinfo is None:
            utc = utc.replace(tzinfo=UTC)
        zero = float(math.floor(local))
        return cls(zero, utc - timedelta(seconds=local - zero))

    def relative(self, stamps: Stamps) -> Stamps:
        """Return stamps of the local clock as seconds since then."""
        with np.errstate(invalid="ignore"):
            return stamps - self.zero

    def restored(self, relative: Stamps) -> Stamps:
        """Return what :meth:`relative` was given, for stamps that allow it."""
        with np.errstate(invalid="ignore"):
            return relative + self.zero


def session(recording: Recording, clock: Clock) -> dict[str, Any]:
    """Return the arguments of an ``NWBFile``; what has no place in it becomes notes."""
    graph = _graph(recording)
    found: dict[str, Any] = {
        "session_description": f"Recording of the graph {_text(graph.get('name', 'graph'))}",
        "identifier": storable(recording.run_id),
        "session_start_time": clock.utc,
    }
    notes = []
    for given, value in _metadata(recording).items():
        key = _ALIASES.get(given, given)
        if key in ("devices", "subject"):
            continue
        if key in (*_TEXTS, "session_id", "session_description") and _text(value):
            found[key] = _text(value)
        elif key in _LISTS and _list(value):
            found[key] = _list(value)
        elif _text(value):
            notes.append(_text(value) if key == "notes" else f"{_text(given)}: {_text(value)}")
    if notes:
        found["notes"] = "\n".join(notes)
    versions = recording.context.get("versions")
    if isinstance(versions, Mapping) and versions:
        found["was_generated_by"] = [[_text(name), _text(v)] for name, v in versions.items()]
    return found


def subject(recording: Recording) -> dict[str, Any]:
    """Return the arguments of a ``Subject``; none if nothing is known of it."""
    given = _metadata(recording).get("subject")
    if not isinstance(given, Mapping):
        return {"subject_id": _text(given)} if _text(given) else {}
    found: dict[str, Any] = {}
    unknown = []
    for name, value in given.items():
        key = {"id": "subject_id", "name": "subject_id"}.get(name, name)
        if not _text(value):
            continue
        if key in _SUBJECT and key not in found:
            found[key] = _text(value)
        elif key == "age__reference" and value in ("birth", "gestational"):
            found[key] = value
        elif key == "weight":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            found[key] = f"{value} kg" if is_number else _text(value)
        elif key == "date_of_birth" and (born := _date(value)) is not None:
            found[key] = born
        else:
            unknown.append(f"{_text(name)}: {_text(value)}")
    if unknown:
        found["description"] = "\n".join([*filter(None, [found.get("description")]), *unknown])
    return found


def device_of(stream: RecordedStream) -> str:
    """Return the name of the node that gave a stream."""
    name = stream.info.name
    node, _, _ = name.rpartition(".")
    return node or name


def object_name(node: str) -> str:
    """Return the name of what stands for a node: a device, or a group of electrodes."""
    key = stream_key(node)
    # Both names are taken, by a table beside the groups and a folder beside the devices.
    return f"{key}&" if key in ("electrodes", "models") else key


def devices(recording: Recording) -> dict[str, str]:
    """Return a description for each node that gave a stream, and each device in the metadata."""
    nodes = _graph(recording).get("nodes")
    given = _metadata(recording).get("devices")
    described = dict(given) if isinstance(given, Mapping) else {}
    found = {}
    for stream in recording.streams.values():
        name = device_of(stream)
        spec = nodes.get(name) if isinstance(nodes, Mapping) else None
        parts = [_text(described.pop(name, ""))]
        if isinstance(spec, Mapping):
            parts.append(f"node {_text(spec.get('type', ''))} {_text(spec.get('params') or '')}")
        if stream.info.source_id:
            parts.append(f"source {storable(stream.info.source_id)}")
        found[name] = "; ".join(part.strip() for part in parts if part) or f"node {_text(name)}"
    return found | {name: _text(value) or _text(name) for name, value in described.items()}


def _metadata(recording: Recording) -> Mapping[str, Any]:
    found = recording.context.get("metadata")
    return found if isinstance(found, Mapping) else {}


def _graph(recording: Recording) -> Mapping[str, Any]:
    found = recording.context.get("graph")
    return found if isinstance(found, Mapping) else {}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return storable(value).strip()
    if isinstance(value, Mapping):
        return "; ".join(f"{_text(key)}: {_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value)
    return json.dumps(value)


def _list(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for each in values if (text := _text(each))]


def _date(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""Who changed what: a line of JSON for each call that changes something."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from rigmesh_daemon.security.limits import RateLimit

__all__ = ["Audit", "summary_of"]

_log = logging.getLogger(__name__)

_MAX_BYTES = 4 * 2**20
_KEPT = 4
_LONGEST = 400
_LONGEST_VALUE = 60
_LONGEST_JSON = 20_000
_DEEPEST = 4
_SECRET = re.compile(r"pass|secret|token|credential|auth|api_?key|private|pin\b", re.IGNORECASE)
_IN_URL = re.compile(r"(://)[^/@\s]+@")
_HIDDEN = "(hidden)"


class Audit:
    """Appends to a file; when it is full it becomes ``.1``, and the oldest one goes.

    That it cannot be written is logged and does not keep anybody from stopping a rig.

    Parameters
    ----------
    path : Path
        Where.
    max_bytes : int
        How long one file gets.
    n_kept : int
        How many full ones are kept beside it.
    """

    def __init__(self, path: Path, *, max_bytes: int = _MAX_BYTES, n_kept: int = _KEPT) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._n_kept = n_kept
        self._lock = threading.Lock()
        self._complaints = RateLimit(1, 60.0)

    def record(self, *, who: str, peer: str, method: str, summary: str, outcome: str) -> None:
        """Write a line.

        Parameters
        ----------
        who : str
            The id of the token and its note, or the user.
        peer : str
            Where the call came from.
        method : str
            Of the RPC.
        summary : str
            What was asked; see `summary_of`.
        outcome : str
            ``ok``, or the error.
        """
        entry = {
            "time": round(time.time(), 3),
            "who": who,
            "peer": peer,
            "method": method.rpartition("/")[2],
            "summary": summary[:_LONGEST],
            "outcome": outcome[:_LONGEST],
        }
        # ASCII only: whatever a hostile name holds arrives in a terminal as \u001b and the like.
        line = json.dumps(entry, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                if self._complaints.passes() is not None:
                    _log.warning("cannot write the audit log %s: %s", self.path, error)

    def _write(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Opened each time: somebody may have moved it away, and there are few changes a second.
        handle = os.open(self.path, flags, 0o600)
        try:
            os.write(handle, line)
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if size >= self._max_bytes:
            self._rotate()

    def _rotate(self) -> None:
        names = [self.path, *(Path(f"{self.path}.{i + 1}") for i in range(self._n_kept))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)


def summary_of(request: Message) -> str:
    """Return what a request asks, in one short line without secrets.

    Values of parameters whose name sounds like a secret are hidden, and so is what stands before
    the ``@`` of an address.

    Examples
    --------
    >>> from rigmesh_proto.v1.control_pb2 import ConnectRequest
    >>> summary_of(ConnectRequest(stream="amp.signal", input="alpha.signal"))
    'stream=amp.signal input=alpha.signal'
    """
    parts: list[str] = []
    room = _LONGEST
    for part in _parts(request, _DEEPEST):
        parts.append(part)
        room -= len(part) + 1
        if room < 0:
            break
    text = " ".join(parts)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + " …"


def _parts(message: Message, depth: int) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.is_repeated:
            yield from _many(field, value, depth)
        elif field.message_type is not None:
            if depth:
                yield from _parts(value, depth - 1)
        elif field.name.endswith("_json"):
            yield f"{field.name.removesuffix('_json')}={_json(value)}"
        else:
            yield f"{field.name}={_shown(field.name, value)}"


def _many(field: FieldDescriptor, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield f"{field.name}={{{len(value)}}}"
        return
    names = []
    for item in value[:8]:
        name = getattr(item, "name", item) if isinstance(item, Message) else item
        names.append(_shown(field.name, name))
    more = ",…" if len(value) > 8 else ""
    yield f"{field.name}[{len(value)}]={','.join(names)}{more}"


def _json(text: str) -> str:
    if len(text) > _LONGEST_JSON:
        return f"({len(text)} characters)"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "(no JSON)"
    if not isinstance(value, dict):
        return _shown("", value)
    return "{" + ", ".join(f"{_cut(k)}: {_shown(k, v)}" for k, v in list(value.items())[:20]) + "}"


def _shown(name: str, value: object) -> str:
    if _SECRET.search(name):
        return _HIDDEN
    if isinstance(value, dict | list):
        return f"({len(value)} items)" if value else str(value)
    return _cut(value)


def _cut(value: object) -> str:
    text = _IN_URL.sub(rf"\1{_HIDDEN}@", str(value)[: 4 * _LONGEST_VALUE])
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"

"""The headers and footers of an XDF file, and what of a recording is kept in them.

What XDF has no place for is JSON in ASCII, in an element ``<rigmesh>`` that stands before all that
others wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape, unescape

from rigmesh.errors import StreamFormatError
from rigmesh.recording._tables import Tables
from rigmesh.recording.recorded import RecordedStream, Recording
from rigmesh.streams import StreamInfo
from rigmesh.streams.lslxml import to_xml

__all__ = [
    "VERSION",
    "Header",
    "file_header",
    "footer_tables",
    "kept",
    "stored_dtype",
    "stream_footer",
    "stream_header",
]

VERSION = 1

_STORED = {"uint8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "int64"}
_KEPT = re.compile(rb"<rigmesh>([^<]*)</rigmesh>")
_PROLOGUE = '<?xml version="1.0"?>\n'


def stored_dtype(dtype: str) -> str:
    """Return the dtype that the samples of a stream have in the file.

    XDF has no unsigned ones: the next wider signed one holds the same values. None is wider than
    uint64: its bits are kept, so values from 2**63 on are negative to who does not know.
    """
    return _STORED.get(dtype, dtype)


def kept(content: bytes) -> Any:
    """Return what we keep in a header or footer.

    Raises
    ------
    ValueError
        If there is nothing of ours.
    """
    # Not by an XML parser: what others have put behind it, such as entities, is not ours to read.
    match = _KEPT.search(content)
    if match is None:
        raise ValueError("a header or footer without <rigmesh>")
    return json.loads(unescape(match[1].decode("ascii")))


def file_header(recording: Recording) -> bytes:
    """Return the content of the file's header."""
    values = {
        "version": VERSION,
        "run_id": recording.run_id,
        "created": recording.created,
        "verdict": recording.verdict,
        "context": recording.context,
        "notes": list(recording.notes),
    }
    when = escape(str(recording.created["utc"]))
    fields = f"<version>1.0</version><datetime>{when}</datetime>{_element(values)}"
    return f"{_PROLOGUE}<info>{fields}</info>".encode()


@dataclass(frozen=True, slots=True)
class Header:
    """What we keep in the header of a stream.

    Parameters
    ----------
    key : str
        Of the stream in the recording.
    part : int
        1, or more for what follows a change of format.
    info : StreamInfo
        Its description, as it was.
    is_split : bool
        Whether markers, which are JSON lists of texts, are stored as texts in several channels.
    """

    key: str
    part: int
    info: StreamInfo
    is_split: bool

    @property
    def n_channels(self) -> int:
        """Values of a sample in the file."""
        return self.info.n_channels if self.info.dtype != "text" or self.is_split else 1

    @classmethod
    def from_content(cls, content: bytes) -> Header:
        """Read what :func:`stream_header` wrote.

        Raises
        ------
        ValueError, LookupError, TypeError
            If it is not that.
        """
        values = kept(content)
        info = StreamInfo.from_dict(values["info"])
        if not all(isinstance(n, int) for n in info.sample_shape):
            raise ValueError(f"samples of shape {info.sample_shape}")
        return cls(str(values["key"]), int(values["part"]), info, bool(values["is_split"]))


def stream_header(header: Header, name: str) -> bytes:
    """Return the content of a stream's header: LSL's description, and ours.

    Parameters
    ----------
    header : Header
        What we keep.
    name : str
        What others shall find it by.
    """
    info = header.info
    values = {
        "key": header.key, "part": header.part, "is_split": header.is_split, "info": info.to_dict()
    }  # fmt: skip
    public = replace(info, name=name)
    if info.kind == "frames" or header.n_channels != info.n_channels:
        public = replace(public, sample_shape=(header.n_channels,), channels=())
    if info.kind == "frames":
        public = replace(public, kind="signal")
    public = replace(public, dtype=stored_dtype(info.dtype))
    try:
        text = to_xml(public)
    except StreamFormatError:  # its description is no XML: only we keep it
        text = to_xml(replace(public, description=""))
    return text.replace("<desc", f"{_element(values)}<desc", 1).encode()


def footer_tables(content: bytes) -> tuple[int, Tables]:
    """Read what :func:`stream_footer` wrote: the number of samples, and the tables.

    Raises
    ------
    ValueError, LookupError, TypeError
        If it is not that.
    """
    values = kept(content)
    return int(values["n"]), Tables.from_dict(values)


def stream_footer(
    stream: RecordedStream, ends: Sequence[float], offsets: Sequence[tuple[float, float]]
) -> bytes:
    """Return the content of a stream's footer.

    Parameters
    ----------
    stream : RecordedStream
        The stream.
    ends : sequence of float
        First and last raw stamp, in seconds; empty if there are no samples.
    offsets : sequence of (float, float)
        Raw stamps, and what is added to them for the local clock, in seconds.
    """
    values = {"n": len(stream), **Tables.of(stream).to_dict()}
    names = ("first_timestamp", "last_timestamp")
    # Without samples there is no stamp; LabRecorder writes 0 then.
    fields = [f"<{name}>{stamp!r}</{name}>" for name, stamp in zip(names, ends, strict=False)]
    fields.append(f"<sample_count>{len(stream)}</sample_count><clock_offsets>")
    fields += [
        f"<offset><time>{time!r}</time><value>{value!r}</value></offset>" for time, value in offsets
    ]
    fields.append("</clock_offsets>")
    return f"{_PROLOGUE}<info>{_element(values)}{''.join(fields)}</info>".encode()


def _element(values: Mapping[str, Any]) -> str:
    return f"<rigmesh>{escape(json.dumps(values))}</rigmesh>"

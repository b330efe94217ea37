"""StreamInfo ↔ the XML that LSL and XDF describe a stream with.

What comes from a peer is not trusted: at most 1 MiB, 64 levels, no document type and no entities.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

from rigmesh.errors import StreamFormatError
from rigmesh.streams.info import ChannelInfo, StreamInfo

__all__ = ["FORMATS", "MAX_BYTES", "MAX_CHANNELS", "flagged", "from_xml", "lsl_format", "to_xml"]

MAX_BYTES = 2**20
"""Longest description that is read; liblsl itself passes on 20 MB."""
MAX_CHANNELS = 2**16
"""Most channels that are believed: buffers are allocated by this number."""
_MAX_DEPTH = 64

FORMATS = {
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "float32": "float32", "double64": "float64", "string": "text",
}  # fmt: skip
"""The dtype of each of LSL's channel formats."""

_WIRE = {dtype: name for name, dtype in FORMATS.items()}
_WIDER = {"uint8": "int16", "uint16": "int32", "uint32": "int64"}

_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,10}));")
_DECLARATION = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PROLOGUE = re.compile(r"^\s*<\?xml[^>]*\?>")


def lsl_format(dtype: str, stream: str = "") -> str:
    """Return the LSL format that holds every value of a dtype.

    LSL has no unsigned formats: they travel as the next wider signed one.

    Raises
    ------
    StreamFormatError
        For uint64, which none holds.

    Examples
    --------
    >>> lsl_format("float64"), lsl_format("uint8"), lsl_format("text")
    ('double64', 'int16', 'string')
    """
    wide = _WIDER.get(dtype, dtype)
    if wide not in _WIRE:
        raise StreamFormatError(
            f"{stream or 'the stream'} has {dtype} samples; LSL has {', '.join(FORMATS)}. "
            "Convert it to one of these first"
        )
    return _WIRE[wide]


def from_xml(text: str) -> StreamInfo:
    """Read the ``<info>`` document of an LSL stream or XDF header.

    Everything in ``<desc>`` but plain labels, units and types is kept in `description`. Labels
    that do not fit the number of channels are not used: `description` then says so in
    ``<bad_metadata>``. Control characters become U+FFFD.

    Raises
    ------
    StreamFormatError
        If it is too long, not well-formed, has a document type or entities, or describes no
        stream.
    """
    root = _parse(text)
    if root.tag != "info":
        raise StreamFormatError(f"the description of an LSL stream is <info>, not <{root.tag}>")
    name = root.findtext("name") or ""
    dtype = FORMATS.get(root.findtext("channel_format") or "")
    if dtype is None:
        raise StreamFormatError(f"{name}: LSL knows no format {root.findtext('channel_format')!r}")
    n_channels = int(_number(root, "channel_count"))
    if n_channels > MAX_CHANNELS:
        raise StreamFormatError(f"{name}: {n_channels} channels; at most {MAX_CHANNELS} are taken")
    info = StreamInfo(
        name=name,
        kind="markers" if dtype == "text" else "signal",
        dtype=dtype,
        sample_shape=(n_channels,),
        sampling_rate=_number(root, "nominal_srate"),
        stype=root.findtext("type") or "",
        source_id=root.findtext("source_id") or "",
    )
    desc = root.find("desc")
    return info if desc is None else _with_description(info, desc)


def to_xml(info: StreamInfo) -> str:
    """Write the ``<info>`` document of a stream, as LSL and XDF want it.

    `info.description` is written back; its channels get the present labels, units and types, and
    keep what else it says about them if they are found again (by label, or else by number).

    Raises
    ------
    StreamFormatError
        If LSL cannot carry the stream, or its `description` is no XML.
    """
    if info.kind == "frames":
        raise StreamFormatError(f"{info.name} gives frames; LSL carries signals and markers only")
    root = ET.Element("info")
    fields = {
        "name": info.name,
        "type": info.stype,
        "channel_count": str(info.sample_shape[0]),
        "channel_format": lsl_format(info.dtype, info.name),
        "source_id": info.source_id,
        "nominal_srate": repr(float(info.sampling_rate)),
    }
    for tag, value in fields.items():
        ET.SubElement(root, tag).text = value
    root.append(_description_of(info))
    return '<?xml version="1.0"?>\n' + _serialise(root)


def flagged(info: StreamInfo, flaw: str) -> StreamInfo:
    """Return the description with a note of what is wrong with the stream's metadata."""
    desc = ET.Element("desc")
    if info.description:
        desc = _parse(info.description)
    ET.SubElement(desc, "bad_metadata").text = flaw
    return replace(info, description=_serialise(desc))


class _Builder(ET.TreeBuilder):
    """Builds a tree of limited depth: ElementTree writes, and frees, trees by recursion."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise StreamFormatError(f"metadata of more than {_MAX_DEPTH} levels are not read")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def _parse(text: str) -> ET.Element:
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise StreamFormatError(f"metadata of {size} bytes; at most {MAX_BYTES} are read")
    if _DECLARATION.search(text):
        raise StreamFormatError("metadata with a document type or entities are not read")
    # The declaration may claim another encoding than the text, which is decoded, has.
    clean = _REFERENCE.sub(_checked_reference, _CONTROL.sub("\ufffd", _PROLOGUE.sub("", text)))
    parser = ET.XMLParser(target=_Builder())
    try:
        parser.feed(clean)
        root: ET.Element = parser.close()
    except ET.ParseError as error:
        raise StreamFormatError(f"metadata are not well-formed XML: {error}") from error
    _drop_layout(root)
    return root


def _checked_reference(match: re.Match[str]) -> str:
    code = int(match[1], 16) if match[1] else int(match[2])
    if code > 0x10FFFF or _CONTROL.match(chr(code)):
        return "\ufffd"
    return match[0]


def _drop_layout(root: ET.Element) -> None:
    """Remove the blanks between elements, which every writer sets as it likes."""
    for element in root.iter():
        if len(element) and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip():
            element.tail = None


def _number(root: ET.Element, tag: str) -> float:
    text = root.findtext(tag) or ""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StreamFormatError(f"{root.findtext('name')}: {tag} is no number but {text[:80]!r}")
    return value


def _with_description(info: StreamInfo, desc: ET.Element) -> StreamInfo:
    described = list(desc.iterfind("channels/channel"))
    flaw = ""
    if described and len(described) != info.sample_shape[0]:
        flaw = f"{info.sample_shape[0]} channels, {len(described)} labels"
    elif any(_says_anything(channel) for channel in described):
        info = replace(info, channels=tuple(_channels(described)))
    if not flaw and all(_is_plain(channel) for channel in described):
        _remove_channels(desc)
    if len(desc) or (desc.text or "").strip():
        info = replace(info, description=_serialise(desc))
    return flagged(info, flaw) if flaw else info


_PARTS = ("label", "unit", "type")


def _channels(described: list[ET.Element]) -> Iterator[ChannelInfo]:
    for number, channel in enumerate(described):
        name, unit, kind = (channel.findtext(part) or "" for part in _PARTS)
        yield ChannelInfo(name or f"ch{number}", unit, kind)


def _says_anything(channel: ET.Element) -> bool:
    return any(channel.findtext(part) for part in _PARTS)


def _is_plain(channel: ET.Element) -> bool:
    """Whether a label, a unit and a type are all that is said about a channel."""
    tags = [child.tag for child in channel]
    return (
        len(set(tags)) == len(tags)
        and set(tags) <= set(_PARTS)
        and not channel.attrib
        and not (channel.text or "").strip()
        and not any(len(child) or child.attrib for child in channel)
    )


def _remove_channels(desc: ET.Element) -> None:
    """Remove the channels of a description if that is all there is to them."""
    found = desc.findall("channels")
    if len(found) == 1 and not found[0].attrib and all(c.tag == "channel" for c in found[0]):
        desc.remove(found[0])


def _description_of(info: StreamInfo) -> ET.Element:
    desc = _parse(info.description) if info.description else ET.Element("desc")
    if desc.tag != "desc":
        raise StreamFormatError(f"{info.name}: a description is <desc>, not <{desc.tag}>")
    if not info.channels:
        return desc
    channels = desc.find("channels")
    if channels is None:
        channels = ET.Element("channels")
        desc.insert(0, channels)
    old = channels.findall("channel")
    known = _found_again(info.channels, old)
    for element in old:
        channels.remove(element)
    for number, (channel, element) in enumerate(zip(info.channels, known, strict=True)):
        for part, value in zip(_PARTS, (channel.name, channel.unit, channel.type), strict=True):
            _set_part(element, part, value)
        channels.insert(number, element)
    return desc


def _found_again(channels: tuple[ChannelInfo, ...], old: list[ET.Element]) -> list[ET.Element]:
    """Return what was said about each channel, or an empty element for all."""
    by_label = {element.findtext("label") or f"ch{i}": element for i, element in enumerate(old)}
    names = [channel.name for channel in channels]
    if len(by_label) == len(old) and len(set(names)) == len(names) and by_label.keys() >= {*names}:
        return [by_label[name] for name in names]
    if len(old) == len(channels):
        return old
    return [ET.Element("channel") for _ in channels]


def _set_part(channel: ET.Element, part: str, value: str) -> None:
    element = channel.find(part)
    if element is None and value:
        element = ET.SubElement(channel, part)
    if element is not None:
        element.text = value


def _serialise(root: ET.Element) -> str:
    for element in root.iter():
        if element.text:
            element.text = _CONTROL.sub("\ufffd", element.text)
    # A bare carriage return would be read back as a line feed.
    return ET.tostring(root, encoding="unicode").replace("\r", "&#13;")

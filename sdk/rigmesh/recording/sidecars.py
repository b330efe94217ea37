"""Small texts beside the raw files of a capture, so that they can be read with no rigmesh."""

from __future__ import annotations

import json
from typing import Any

from rigmesh.streams import StreamInfo

__all__ = ["description", "vhdr"]

_TEXT_RECORD = (
    "'rmr1', length u32, CRC-32 u32, raw stamp float64 (s), text in UTF-8; little-endian; length "
    "and CRC are those of stamp and text"
)
_BRAINVISION = {"int16": "INT_16", "int32": "INT_32", "float32": "IEEE_FLOAT_32"}
_MICROVOLTS = {"uv", "µv", "μv", "microvolt", "microvolts"}
_VOLTS = {"v": "V", "volt": "V", "volts": "V", "millivolts": "mV", "nanovolts": "nV"}


def description(info: StreamInfo, epoch: int, first_index: int) -> str:
    """Return a JSON text that says what is in the files of an epoch."""
    files: dict[str, dict[str, Any]]
    if info.dtype == "text":
        files = {"data": {"file": f"{epoch}.text", "records": _TEXT_RECORD}}
    else:
        shape = [-1, *info.sample_shape]
        files = {
            "data": {"file": f"{epoch}.dat", "dtype": _numpy_name(info.dtype), "shape": shape},
            "raw_timestamps": {"file": f"{epoch}.stamps", "dtype": "<f8", "shape": [-1]},
        }
    told = {
        "stream": info.name,
        "epoch": epoch,
        "first_index": first_index,
        "sampling_rate": info.sampling_rate,
        "channel_names": [channel.name for channel in info.channels],
        "units": [channel.unit for channel in info.channels],
        **files,
        "info": info.to_dict(),
    }
    return json.dumps(told, indent=1) + "\n"


def vhdr(info: StreamInfo, data_file: str) -> str | None:
    """Return a BrainVision header for a signal's samples; None if the format has no such samples.

    MNE reads the length off the data file, so the header stays true while that grows.
    """
    if info.kind != "signal" or not info.is_regular or info.dtype not in _BRAINVISION:
        return None
    units = [channel.unit for channel in info.channels] or [""] * info.n_channels
    channels = "\n".join(
        f"Ch{number}={_escaped(name)},,1,{_unit(unit)}"
        for number, (name, unit) in enumerate(zip(info.channel_names, units, strict=True), start=1)
    )
    return f"""Brain Vision Data Exchange Header File Version 1.0
; The samples of {_line(info.name)}, while they are being recorded

[Common Infos]
Codepage=UTF-8
DataFile={data_file}
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={info.n_channels}
SamplingInterval={1e6 / info.sampling_rate!r}

[Binary Infos]
BinaryFormat={_BRAINVISION[info.dtype]}

[Channel Infos]
{channels}
"""


def _numpy_name(dtype: str) -> str:
    """Return what ``numpy.dtype`` takes for a little-endian type.

    Examples
    --------
    >>> _numpy_name("int16"), _numpy_name("uint8"), _numpy_name("float64")
    ('<i2', '|u1', '<f8')
    """
    kind = dtype.rstrip("0123456789")
    size = int(dtype[len(kind) :]) // 8
    return f"{'<' if size > 1 else '|'}{kind[0]}{size}"


def _unit(unit: str) -> str:
    # An empty unit means microvolts there, which would be a claim.
    folded = unit.strip().casefold()
    if folded in _MICROVOLTS:
        return "µV"
    return _VOLTS.get(folded) or _escaped(unit) or "n/a"


def _escaped(text: str) -> str:
    return _line(text).replace(",", "\\1")


def _line(text: str) -> str:
    clean = "".join(character if character.isprintable() else " " for character in text)
    return clean.encode("utf-8", "replace").decode()

"""Lossless compression of samples: Blosc, with the bytes of each value shuffled apart."""

from __future__ import annotations

import struct
from typing import Any

from rigmesh.errors import StreamFormatError, Unsupported
from rigmesh_proto.v1 import relay_pb2 as pb

__all__ = ["Compressor", "codec_of", "decompress"]

_CODECS: dict[str, pb.Compression.ValueType] = {
    "": pb.COMPRESSION_NONE,
    "lz4": pb.COMPRESSION_LZ4,
    "zstd": pb.COMPRESSION_ZSTD,
}
_LEAST = 256
"""Bytes below which trying is not worth the time."""
_LEVEL = 1
"""Blosc's; higher ones cost more time than the network does."""
_HEADER = struct.Struct("<4xI4xI")
"""Of Blosc: bytes before and after."""


def _blosc() -> Any:
    try:
        from numcodecs import blosc
    except ImportError as error:
        raise Unsupported(
            "compression of relayed streams needs numcodecs: pip install 'rigmesh[nodes]'"
        ) from error
    return blosc


def codec_of(name: str) -> pb.Compression.ValueType:
    """Return the codec of a name, after having seen that it is there.

    Raises
    ------
    Unsupported
        If numcodecs is missing, or the name is none of ``lz4``, ``zstd`` and the empty one.
    """
    if name not in _CODECS:
        raise Unsupported(f"no compression {name!r}; known: lz4, zstd, or empty for none")
    if name:
        _blosc()
    return _CODECS[name]


class Compressor:
    """Compresses samples where that makes them smaller.

    Parameters
    ----------
    codec : Compression
        What to use.

    Raises
    ------
    Unsupported
        If it is not known here, or numcodecs is missing.
    """

    def __init__(self, codec: int) -> None:
        names = {value: name for name, value in _CODECS.items() if name}
        if codec not in names:
            raise Unsupported(f"no compression number {codec} here; this host may be older")
        self.codec = codec
        self._blosc = _blosc()
        self._name = next(name for value, name in names.items() if value == codec)

    def compress(self, samples: Any) -> bytes | None:
        """Return the samples in fewer bytes, or None if that is not possible."""
        if samples.nbytes < _LEAST:
            return None
        packed: bytes = self._blosc.compress(
            samples, self._name.encode(), _LEVEL, self._blosc.SHUFFLE
        )
        return packed if len(packed) < samples.nbytes else None


def decompress(packed: memoryview, size: int) -> bytes:
    """Return samples of `size` bytes.

    Raises
    ------
    StreamFormatError
        If they are not that, or nothing that was compressed.
    """
    blosc = _blosc()
    # Blosc believes its header: what to allocate, and how far to read.
    found = _HEADER.unpack_from(packed) if len(packed) >= _HEADER.size else (-1, -1)
    if found != (size, len(packed)):
        raise StreamFormatError(
            f"{len(packed)} bytes that should give {size} are described as {found[1]} that give "
            f"{found[0]}"
        )
    try:
        samples: bytes = blosc.decompress(packed)
    except (RuntimeError, ValueError) as error:
        raise StreamFormatError(f"compressed samples cannot be read: {error}") from error
    return samples

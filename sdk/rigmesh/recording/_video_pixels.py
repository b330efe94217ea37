"""How pictures lie in arrays and in video streams, and which codec can hold which."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import RecordingError, StreamFormatError
from rigmesh.streams import StreamInfo

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext

__all__ = ["CODECS", "Codec", "Pixels", "checksum", "codec_named", "configure", "refusal"]

_LARGEST = 16_384


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec, and how it is used.

    Parameters
    ----------
    encoder : str
        FFmpeg's name of it.
    is_exact : bool
        Whether pictures come back bit for bit.
    stored : mapping of str to str
        For each format of arrays the one that is encoded, both as FFmpeg names them.
    options : mapping of str to str
        FFmpeg's.
    """

    encoder: str
    is_exact: bool
    stored: Mapping[str, str]
    options: Mapping[str, str]


CODECS: Mapping[str, Codec] = {
    # Version 3, as archives use it (RFC 9043): each frame by itself, each slice with a checksum.
    "ffv1": Codec(
        "ffv1",
        True,
        {
            "gray": "gray", "rgb24": "bgr0", "rgba": "bgra", "gray16le": "gray16le",
            "rgb48le": "gbrp16le", "rgba64le": "gbrap16le",
        },
        {"level": "3", "g": "1", "slicecrc": "1"},
    ),
    # Without frames that refer to later ones, so that they are stored in their order.
    "h264": Codec(
        "libx264",
        False,
        {"gray": "yuv420p", "rgb24": "yuv420p"},
        {"preset": "veryfast", "bf": "0", "g": "60"},
    ),
}  # fmt: skip

_FORMATS = {
    ("uint8", 1): "gray", ("uint8", 3): "rgb24", ("uint8", 4): "rgba",
    ("uint16", 1): "gray16le", ("uint16", 3): "rgb48le", ("uint16", 4): "rgba64le",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the pictures of a stream lie in arrays.

    Parameters
    ----------
    format : str
        As FFmpeg names it.
    height, width : int
        In pixels.
    shape : tuple of int
        Of one frame of the stream.
    dtype : str
        Of one value.
    """

    format: str
    height: int
    width: int
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, info: StreamInfo) -> Pixels:
        """Return those of a stream.

        Raises
        ------
        StreamFormatError
            If a video cannot hold them.
        """
        if why := _refusal_of_format(info):
            raise StreamFormatError(f"{info.name} {why}")
        height, width, *colours = shape = info.sample_shape
        found = _FORMATS[info.dtype, *(colours or (1,))]
        return cls(found, height, width, shape, info.dtype)

    def frame(self, picture: npt.NDArray[Any]) -> VideoFrame:
        """Return a picture as PyAV takes it."""
        import av

        picture = np.ascontiguousarray(picture, self.dtype)
        if self.format.startswith("gray"):
            picture = picture.reshape(self.height, self.width)
        return av.VideoFrame.from_ndarray(picture, format=self.format)

    def picture(self, frame: VideoFrame) -> npt.NDArray[Any]:
        """Return a frame as the stream had it."""
        return frame.to_ndarray(format=self.format).reshape(self.shape)


def checksum(picture: npt.NDArray[Any]) -> int:
    """Return the CRC-32 of the values of a picture, which is contiguous."""
    return zlib.crc32(picture.reshape(-1).view(np.uint8).data)


def codec_named(name: str) -> Codec:
    """Return a codec.

    Raises
    ------
    RecordingError
        If there is none of that name.
    """
    if name not in CODECS:
        raise RecordingError(f"no codec {name!r} for videos; known: {', '.join(CODECS)}")
    return CODECS[name]


def configure(context: VideoCodecContext, codec: Codec, pixels: Pixels, ticks: int) -> None:
    """Set up an encoder; its options are given apart."""
    context.width, context.height = pixels.width, pixels.height
    context.pix_fmt = codec.stored[pixels.format]
    context.time_base = Fraction(1, ticks)
    context.thread_count = 0  # as many as there are CPUs


def refusal(info: StreamInfo, codec_name: str) -> str:
    """Return why a codec cannot hold a stream; nothing if it can.

    Examples
    --------
    >>> refusal(StreamInfo.frames("camera", shape=(4, 6), sampling_rate=30, dtype="int8"), "ffv1")
    'has pictures of int8; videos take uint8 and uint16'
    """
    codec = codec_named(codec_name)
    if why := _refusal_of_format(info):
        return why
    pixels = Pixels.of(info)
    if pixels.format not in codec.stored:
        return (
            f"has pictures of {info.dtype} and {_shape(info)}, which {codec_name} cannot hold; "
            "ffv1 can"
        )
    return _refusal_of_encoder(info, codec_name, codec, pixels)


def _refusal_of_encoder(info: StreamInfo, codec_name: str, codec: Codec, pixels: Pixels) -> str:
    """Ask the encoder, which knows of limits that are written nowhere."""
    import av

    if codec.encoder not in av.codecs_available:
        return f"would need the encoder {codec.encoder}, which this FFmpeg was built without"
    context: Any = av.CodecContext.create(codec.encoder, "w")
    configure(context, codec, pixels, 1000)
    context.options = dict(codec.options)
    try:
        context.open()
    except av.FFmpegError as error:
        even = " (it takes even numbers of rows and columns only)" if codec_name == "h264" else ""
        return f"has pictures of {_shape(info)}, which {codec_name} refuses{even}: {error.strerror}"
    return ""


def _refusal_of_format(info: StreamInfo) -> str:
    if info.kind != "frames":
        return f"is a stream of {info.kind}; a video holds frames only"
    if info.dtype not in ("uint8", "uint16"):
        return f"has pictures of {info.dtype}; videos take uint8 and uint16"
    shape = info.sample_shape
    if len(shape) not in (2, 3) or (info.dtype, *(shape[2:] or (1,))) not in _FORMATS:
        return (
            f"has pictures of {_shape(info)}; videos take (height, width), and 1, 3 or 4 values a "
            "pixel"
        )
    if max(shape) > _LARGEST:
        return f"has pictures of {_shape(info)}; videos take at most {_LARGEST} × {_LARGEST}"
    return ""


def _shape(info: StreamInfo) -> str:
    return " × ".join(map(str, info.sample_shape)) + " values"

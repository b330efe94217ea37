"""Recorders: any number of streams into one file that is whole after any crash."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from rigmesh.errors import ParameterError, StreamFormatError, Unsupported
from rigmesh.node import Input, param
from rigmesh.recording import video
from rigmesh.streams import Frames, Markers, Signal
from rigmesh_nodes._recorder import Recorder

__all__ = ["HDF5Recorder", "NWBRecorder", "VideoRecorder", "XDFRecorder"]


def _of_bool(asked: object) -> object:
    """Accept what graphs said before there was a choice."""
    return {True: "deflate", False: "none"}[asked] if isinstance(asked, bool) else asked


class HDF5Recorder(Recorder):
    """Records streams of any kind into an HDF5 file.

    While it records, everything is in the folder ``PATH.capture``; the file is made of it at the
    end. A recorder that is restarted in the same run goes on where the last one had come to.
    """

    file_format: ClassVar[str] = "hdf5"

    compression: Annotated[Literal["auto", "none", "deflate"], BeforeValidator(_of_bool)] = param(
        default="auto",
        doc="Whether to shuffle and deflate the samples in the file, without loss and for any "
        "reader; auto: those of a stream that get smaller by a tenth.",
    )

    def format_options(self) -> Mapping[str, Any]:
        """Return whether to compress."""
        return {"compression": self.compression}


class NWBRecorder(Recorder):
    """Records streams of any kind into an NWB file.

    Voltages of electrodes become ``ElectricalSeries``, positions ``SpatialSeries``, pictures
    ``ImageSeries``, other numbers ``TimeSeries`` and texts ``EventsTable``, all with a stamp for
    each sample. Who and what was recorded is taken from the graph's metadata: ``subject`` (its id,
    or a mapping of NWB's fields), ``session``, ``session_description``, ``experimenter``, ``lab``,
    ``institution``, ``keywords``, ``devices`` and NWB's further fields; other keys become notes.
    While it records, everything is in the folder ``PATH.capture``; the file is made of it at the
    end. A recorder that is restarted in the same run goes on where the last one had come to.
    """

    file_format: ClassVar[str] = "nwb"

    compression: Annotated[Literal["auto", "none", "deflate"], BeforeValidator(_of_bool)] = param(
        default="auto",
        doc="Whether to shuffle and deflate the samples in the file, without loss and for any "
        "reader; auto: those of a stream that get smaller by a tenth.",
    )

    external_video: bool = param(
        default=False,
        doc="Whether pictures go into a video beside the file, PATH_STREAM.mkv without the .nwb, "
        "which it refers to; without loss.",
    )

    def format_options(self) -> Mapping[str, Any]:
        """Return whether to compress, and where pictures go."""
        return {"compression": self.compression, "external_video": self.external_video}

    def open(self) -> None:
        """See that the file is one that NWB's readers open, and that it can be made."""
        if not self.path.lower().endswith(".nwb"):
            raise ParameterError(
                f"{self.name}: path is {self.path!r}, but readers of NWB know its files by the "
                "ending .nwb; end it so, or take the recorder of the other format"
            )
        if find_spec("pynwb") is None:
            raise Unsupported("NWB files need pynwb: pip install 'rigmesh[files]'")
        if self.external_video and find_spec("av") is None:
            raise Unsupported("external_video needs PyAV: pip install 'rigmesh[video]'")
        super().open()


class XDFRecorder(Recorder):
    """Records streams of numbers and texts into an XDF file, as LabRecorder does.

    Raw stamps and the offsets between the clocks are kept side by side; pyxdf maps them when it
    loads the file. XDF has no unsigned formats: such streams are stored as the next wider signed
    one, and uint64 by its bits, so values from 2**63 on look negative to other programs. It has
    no pictures either. While it records, everything is in the folder ``PATH.capture``; the file
    is made of it at the end. A recorder that is restarted in the same run goes on where the last
    one had come to.
    """

    file_format: ClassVar[str] = "xdf"

    streams = Input(Signal, Markers, many=True, lossless=True)

    names: dict[str, str] = param(
        default={},
        doc="What other programs shall find streams by in the file, for the names of streams in "
        "the graph, which they have otherwise.",
        examples=[{"amp.signal": "BrainAmp"}],
    )

    def format_options(self) -> Mapping[str, Any]:
        """Return the names."""
        return {"names": self.names}

    def open(self) -> None:
        """See that the file is one that XDF's readers open, and that it can be made."""
        if not self.path.lower().endswith(".xdf"):
            raise ParameterError(
                f"{self.name}: path is {self.path!r}, but readers of XDF know its files by the "
                "ending .xdf; end it so, or take the recorder of the other format"
            )
        super().open()


class VideoRecorder(Recorder):
    """Records the pictures of one stream into a video, with a table of their stamps beside it.

    The video, Matroska (``.mkv``) or MP4 (``.mp4``), shows each frame at its stamp; where frames
    are missing, the one before stays. Line n of the table ``PATH.frames.csv`` is frame n: its
    epoch and index, both stamps, and how many frames are missing before it. Pictures are gray or
    have 3 or 4 values a pixel, of uint8 or uint16, and come back bit for bit, unless `codec` says
    otherwise. Several cameras take a recorder each. While it records, everything is in the folder
    ``PATH.capture``; the file is made of it at the end. A recorder that is restarted in the same
    run goes on where the last one had come to.
    """

    file_format: ClassVar[str] = "video"

    streams = Input(Frames, lossless=True)

    codec: Literal["ffv1", "h264"] = param(
        default="ffv1",
        doc="ffv1 loses nothing; h264 makes files that are many times smaller, and that every "
        "player shows, of uint8 only and with other values than those that were recorded.",
    )
    crf: int = param(
        default=18, ge=0, le=51, doc="How much h264 may lose: 18 is hard to see, 51 is most."
    )

    def format_options(self) -> Mapping[str, Any]:
        """Return container and codec."""
        container = video.CONTAINERS[Path(self.path).suffix.lower()]
        return {"container": container, "codec": self.codec, "crf": self.crf}

    def open(self) -> None:
        """See that the file is one that players open, and that it can be made."""
        if Path(self.path).suffix.lower() not in video.CONTAINERS:
            raise ParameterError(
                f"{self.name}: path is {self.path!r}, but players know videos by the endings "
                f"{' and '.join(video.CONTAINERS)}; end it so, or take the recorder of another "
                "format"
            )
        if find_spec("av") is None:
            raise Unsupported("videos need PyAV: pip install 'rigmesh[video]'")
        super().open()
        if not self._running.is_open:
            video.check_frames_file(self._running.path)

    def prepare(self) -> None:
        """See that a video can hold the pictures, then begin, or take note of what changed."""
        for link in self.streams.links:
            if link.info is not None and (why := video.refusal(link.info, self.codec)):
                raise StreamFormatError(f"{self.name}: {link.stream} {why}")
        super().prepare()

"""Recorders: any number of streams into one file that is whole after any crash."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from rigmesh.errors import ParameterError, Unsupported
from rigmesh.node import Input, param
from rigmesh.streams import Markers, Signal
from rigmesh_nodes._recorder import Recorder

__all__ = ["HDF5Recorder", "NWBRecorder", "XDFRecorder"]


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

    def format_options(self) -> Mapping[str, Any]:
        """Return whether to compress."""
        return {"compression": self.compression}

    def open(self) -> None:
        """See that the file is one that NWB's readers open, and that it can be made."""
        if not self.path.lower().endswith(".nwb"):
            raise ParameterError(
                f"{self.name}: path is {self.path!r}, but readers of NWB know its files by the "
                "ending .nwb; end it so, or take the recorder of the other format"
            )
        if find_spec("pynwb") is None:
            raise Unsupported("NWB files need pynwb: pip install 'rigmesh[files]'")
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

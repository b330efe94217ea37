"""Recorders: any number of streams into one file that is whole after any crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rigmesh.node import param
from rigmesh_nodes._recorder import Recorder

__all__ = ["HDF5Recorder"]


class HDF5Recorder(Recorder):
    """Records streams of any kind into an HDF5 file.

    While it records, everything is in the folder ``PATH.capture``; the file is made of it at the
    end. A recorder that is restarted in the same run goes on where the last one had come to.
    """

    file_format: ClassVar[str] = "hdf5"

    compression: bool = param(default=False, doc="Shuffle and gzip the samples in the file.")

    def format_options(self) -> Mapping[str, Any]:
        """Return whether to compress."""
        return {"compression": self.compression}

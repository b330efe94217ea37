"""What is visible over LSL."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rigmesh.errors import StreamFormatError
from rigmesh.streams import StreamInfo
from rigmesh.streams.lslxml import from_xml
from rigmesh_nodes._lsl_search import Search, quoted

__all__ = ["LSLStream", "visible_streams"]


@dataclass(frozen=True, slots=True)
class LSLStream:
    """A stream that is visible over LSL.

    Parameters
    ----------
    info : StreamInfo
        Its description; without channel labels, which only the outlet tells.
    hostname : str
        The machine it comes from.
    uid : str
        LSL's identifier of this outlet; another one after each restart.
    predicate : str
        What makes an :class:`Inlet` find it, also after a restart.
    """

    info: StreamInfo
    hostname: str
    uid: str
    predicate: str


def visible_streams(timeout: float = 1.0, predicate: str = "") -> list[LSLStream]:
    """List the streams that are visible over LSL, by name.

    Parameters
    ----------
    timeout : float
        How long to listen for answers, in seconds. Known peers are asked after 0.5 s.
    predicate : str
        XPath predicate over LSL's description; empty for every stream.

    Raises
    ------
    Unsupported
        If pylsl or its liblsl is missing.
    """
    streams = []
    with Search(predicate) as search:
        time.sleep(timeout)
        answers = search.found()
    for found in answers:
        try:
            info = from_xml(found.as_xml())
        except StreamFormatError:  # nothing an inlet could receive
            continue
        parts = {"name": info.name, "source_id": info.source_id, "hostname": found.hostname()}
        predicate = " and ".join(f"{key}={quoted(value)}" for key, value in parts.items() if value)
        streams.append(LSLStream(info, found.hostname(), found.uid(), predicate))
    return sorted(streams, key=lambda stream: (stream.info.name, stream.hostname, stream.uid))

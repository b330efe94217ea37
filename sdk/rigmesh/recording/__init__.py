"""Recordings: a folder while they grow, a file when they are sealed; whole after any crash."""

from rigmesh.recording.capture import Capture, Produced
from rigmesh.recording.formats import Format, open_recording
from rigmesh.recording.paths import capture_folder, check_target, resolve_path
from rigmesh.recording.pyramid import Envelope
from rigmesh.recording.recorded import EpochRows, RecordedStream, Recording, RowClock, RowGap, Rows
from rigmesh.recording.sealing import Progress, recover, seal
from rigmesh.recording.summary import EpochInfo, RecordingInfo, StreamSummary, read_info

__all__ = [
    "Capture",
    "Envelope",
    "EpochInfo",
    "EpochRows",
    "Format",
    "Produced",
    "Progress",
    "RecordedStream",
    "Recording",
    "RecordingInfo",
    "RowClock",
    "RowGap",
    "Rows",
    "StreamSummary",
    "capture_folder",
    "check_target",
    "open_recording",
    "read_info",
    "recover",
    "resolve_path",
    "seal",
]

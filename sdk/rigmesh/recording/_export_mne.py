"""Signals as MNE's Raw, which reads them from the recording when it needs them; FIF files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np

from rigmesh.errors import RecordingError
from rigmesh.recording._export_what import SignalExport, volts_of
from rigmesh.recording.recorded import RecordedStream

__all__ = ["mne_types", "write_fif"]

_TYPES = {
    "eeg": "eeg", "ecg": "ecg", "ekg": "ecg", "eog": "eog", "emg": "emg", "seeg": "seeg",
    "ieeg": "seeg", "lfp": "seeg", "ecog": "ecog", "dbs": "dbs", "resp": "resp", "gsr": "gsr",
    "temperature": "temperature", "stim": "stim", "trigger": "stim", "trig": "stim",
    "ttl": "stim", "digital": "stim",
}  # fmt: skip
_OF_VOLTS = ("eeg", "ecg", "eog", "emg", "seeg", "ecog", "dbs")
_EXACT_IN_SINGLE = ("int8", "uint8", "int16", "uint16", "float32")


def mne_types(export: SignalExport) -> list[str]:
    """Return MNE's types of the channels; what is no voltage is never called EEG.

    Raises
    ------
    RecordingError
        If the unit of an electrode's channel is not known.
    """
    found = []
    for channel, name in enumerate(export.types()):
        kind = _TYPES.get(name, "misc")
        unit = export.unit_of(channel)
        if kind in _OF_VOLTS and not unit:
            raise RecordingError(
                f"{export.name}: channel {export.stream.info.channel_names[channel]} is "
                f"{name.upper()} and names no unit; say which it is, such as --unit uV"
            )
        found.append("misc" if kind in _OF_VOLTS and volts_of(unit) is None else kind)
    return found


def write_fif(
    export: SignalExport, events: Sequence[RecordedStream], path: Path, progress: Any
) -> list[Path]:
    """Write a FIF file, and further ones if it would be larger than 2 GB; return them."""
    raw = _Raw(export, progress)
    notes = export.annotations(events)
    if notes:
        raw.set_annotations(
            mne.Annotations(
                [note.onset for note in notes],
                [note.duration for note in notes],
                [note.text for note in notes],
            )
        )
        if any(ord(c) > 255 for note in notes for c in note.text):
            export.remarks.append(
                "FIF has Latin letters only: others in the texts of events became &#…;"
            )
    fmt = "single" if export.stream.info.dtype in _EXACT_IN_SINGLE else "double"
    return [Path(each) for each in raw.save(path, fmt=fmt, verbose="ERROR")]


class _Raw(mne.io.BaseRaw):  # type: ignore[misc]
    """A recorded signal in volts, read in pieces."""

    def __init__(self, export: SignalExport, progress: Any) -> None:
        info = export.stream.info
        names = _unique(info.channel_names)
        scales = [volts_of(export.unit_of(channel)) for channel in range(info.n_channels)]
        described = mne.create_info(names, info.sampling_rate, mne_types(export), verbose="ERROR")
        for channel, scale in zip(described["chs"], scales, strict=True):
            if scale is not None:
                channel["unit"] = mne.io.constants.FIFF.FIFF_UNIT_V
        described.set_meas_date(export.began)
        with described._unlock():  # noqa: SLF001 - as MNE's own readers do
            described["description"] = f"{info.name} of the run {export.recording.run_id}"
        # MNE lets the reading of a segment see nothing else of this object.
        extras = {
            "export": export,
            "scales": np.array([1.0 if scale is None else scale for scale in scales]),
            "progress": progress,
        }
        super().__init__(
            described, last_samps=[len(export.grid) - 1], filenames=[None], raw_extras=[extras],
            verbose="ERROR",
        )  # fmt: skip

    def _read_segment_file(
        self, data: Any, idx: Any, fi: int, start: int, stop: int, cals: Any, mult: Any
    ) -> None:
        """Read samples `start` to `stop - 1`, scaled, into `data`."""
        extras = self._raw_extras[fi]
        samples = extras["export"].grid.read(start, stop) * extras["scales"]
        data[:] = samples.T[idx] if mult is None else mult @ samples.T[idx]
        extras["progress"]((stop - start) * extras["export"].stream.info.sample_bytes)


def _unique(names: Sequence[str]) -> list[str]:
    """Return names that differ, as MNE asks for."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name] - 1}")
    return found

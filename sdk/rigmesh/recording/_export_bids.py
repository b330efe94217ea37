"""A signal in a BIDS dataset, by mne-bids: an EDF file, its sidecars and events."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mne
import mne_bids

from rigmesh.errors import RecordingError
from rigmesh.recording._export_edf import write_edf
from rigmesh.recording._export_mne import mne_types
from rigmesh.recording._export_what import SignalExport
from rigmesh.recording.recorded import RecordedStream

__all__ = ["write_bids"]

_LABEL = re.compile(r"[a-zA-Z0-9]+")
_DATATYPES = {"eeg": "eeg", "seeg": "ieeg", "ecog": "ieeg", "dbs": "ieeg"}


def write_bids(
    export: SignalExport,
    events: Sequence[RecordedStream],
    root: Path,
    labels: dict[str, str],
    progress: Callable[[int], None],
) -> Path:
    """Add a signal to a dataset, which is made if there is none; return the signal's file.

    Parameters
    ----------
    export : SignalExport
        The signal.
    events : sequence of RecordedStream
        Its events.
    root : Path
        Folder of the dataset.
    labels : dict of str to str
        ``subject``, ``session`` and ``task``; those of the recording's metadata if not given.
    progress : callable
        Told the bytes done since it was called last.

    Raises
    ------
    RecordingError
        If a label is missing or cannot be, the signal is none that BIDS has a place for, or
        the dataset has such a file.
    """
    types = mne_types(export)
    datatype = next((_DATATYPES[kind] for kind in types if kind in _DATATYPES), "")
    if not datatype:
        raise RecordingError(
            f"{export.name} has no channel of the type EEG, SEEG, ECOG, DBS or LFP "
            f"({', '.join(sorted(set(export.types())))}); BIDS has no place for it. Name the types "
            "when it is recorded, or export to edf or fif"
        )
    named = {
        key: _label(export, key, labels.get(key, "")) for key in ("subject", "session", "task")
    }
    is_new = not root.exists() or not any(root.iterdir())
    if not is_new and not (root / "dataset_description.json").exists():
        raise RecordingError(f"{root} holds other things and is no BIDS dataset; name another -o")
    target = _path(root, datatype, named)
    if target.fpath.exists():
        raise RecordingError(
            f"{target.fpath} exists, and is not overwritten; choose another --session or --task"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".rigmesh-export-", dir=root.parent) as folder:
        edf = Path(folder) / "signal.edf"
        write_edf(export, events, edf, progress)
        into = Path(folder) / "dataset" if is_new else root
        _write(export, edf, types, _path(into, datatype, named))
        if is_new:
            if root.exists():
                root.rmdir()
            shutil.move(into, root)
    return Path(target.fpath)


def _write(export: SignalExport, edf: Path, types: Sequence[str], target: Any) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        raw = mne.io.read_raw_edf(edf, verbose="ERROR")
        raw.set_channel_types(dict(zip(raw.ch_names, types, strict=True)), verbose="ERROR")
        raw.info["line_freq"] = _line_frequency(export)
        mne_bids.write_raw_bids(raw, target, overwrite=False, verbose="ERROR")
    told = {str(each.message).partition("\n")[0] for each in said}
    export.remarks += [f"mne-bids: {text}" for text in sorted(told)]
    sidecar = target.copy().update(suffix=target.datatype, extension=".json").fpath
    values = json.loads(sidecar.read_text(encoding="utf-8"))
    versions = export.recording.context.get("versions") or {}
    values["RecordingType"] = "discontinuous" if export.grid.filled else "continuous"
    values["SoftwareVersions"] = f"rigmesh {versions.get('rigmesh', '')}".strip()
    sidecar.write_text(json.dumps(values, indent=4) + "\n", encoding="utf-8")


def _path(root: Path, datatype: str, named: dict[str, str]) -> Any:
    return mne_bids.BIDSPath(
        root=root, datatype=datatype, suffix=datatype, extension=".edf",
        **{key: value or None for key, value in named.items()},
    )  # fmt: skip


def _label(export: SignalExport, key: str, given: str) -> str:
    metadata = export.recording.context.get("metadata") or {}
    found: Any = given or metadata.get(key, "")
    if isinstance(found, dict):
        found = found.get("subject_id", "")
    text = str(found)
    if not text and key != "session":
        raise RecordingError(
            f"BIDS asks for a {key}, and the recording's metadata names none; give --{key}"
        )
    if text and not _LABEL.fullmatch(text):
        plain = "".join(c for c in text if c.isascii() and c.isalnum()) or "01"
        raise RecordingError(
            f"{key} is {text!r}; BIDS allows letters and digits only: --{key} {plain}"
        )
    return text


def _line_frequency(export: SignalExport) -> float | None:
    metadata = export.recording.context.get("metadata") or {}
    try:
        return float(metadata["line_frequency"])
    except (KeyError, TypeError, ValueError):
        return None

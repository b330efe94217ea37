"""Writing a recording into an NWB file.

pynwb makes all objects, with datasets that are empty; samples are then written in the place of
those block by block, as into the HDF5 format. pynwb would not compress them in several threads.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pynwb
from pynwb import H5DataIO
from pynwb.behavior import Position, SpatialSeries
from pynwb.core import DynamicTable, DynamicTableRegion, ScratchData, VectorData
from pynwb.ecephys import ElectricalSeries, ElectrodesTable
from pynwb.event import EventsTable, TimestampVectorData
from pynwb.file import Subject
from pynwb.image import ImageSeries

from rigmesh.recording._hdf5_chunks import compression_of, threads
from rigmesh.recording._nwb_columns import Columns
from rigmesh.recording._nwb_layout import (
    JOURNAL,
    LOCAL,
    RAW,
    RECORDING,
    TABLES,
    TEXTS,
    VERSION,
    table_rows,
)
from rigmesh.recording._nwb_mapping import Series, series_of, storable
from rigmesh.recording._nwb_metadata import (
    Clock,
    device_of,
    devices,
    object_name,
    session,
    subject,
)
from rigmesh.recording._nwb_video import write_videos
from rigmesh.recording.recorded import TEXT_BYTES, RecordedStream, Recording, blocks

__all__ = ["write_nwb"]

Progress = Callable[[int], None]


def write_nwb(
    recording: Recording, path: Path, options: Mapping[str, Any], progress: Progress
) -> None:
    """Write a recording into a new file; as ``rigmesh.recording.nwb.write``."""
    compression = compression_of(options.get("compression", "auto"))
    plan = {key: series_of(stream) for key, stream in recording.streams.items()}
    is_beside = options.get("external_video", False)
    videos = write_videos(recording, path, plan, progress) if is_beside else {}
    # The format of HDF5 1.8: any library reads it, and attributes may be longer than 64 kB.
    with (
        threads() as pool,
        h5py.File(path, "x", libver=("v108", "v110")) as file,
        pynwb.NWBHDF5IO(file=file, mode="w") as io,
    ):
        columns = Columns(compression, pool)
        io.write(_Writer(recording, plan, videos, columns, progress).build())
        columns.fill()


class _Writer:
    """Builds the objects of a file."""

    def __init__(
        self,
        recording: Recording,
        plan: Mapping[str, Sequence[Series]],
        videos: Mapping[str, str],
        columns: Columns,
        progress: Progress,
    ) -> None:
        self._columns = columns
        self._recording = recording
        self._plan = plan
        self._videos = videos
        self._clock = Clock.of(recording)
        self._progress = progress
        self._file = pynwb.NWBFile(**session(recording, self._clock))
        self._devices: dict[str, Any] = {}
        self._regions: dict[str, list[int]] = {}

    def build(self) -> Any:
        """Return the whole file, without its samples."""
        recording, file = self._recording, self._file
        if found := subject(recording):
            file.subject = Subject(**found)
        for node, description in devices(recording).items():
            self._devices[node] = file.create_device(
                name=object_name(node), description=description
            )
        plan = self._plan
        self._add_electrodes(plan)
        for key, parts in plan.items():
            if parts:
                self._add_stream(recording.streams[key], parts)
        self._add_annotations()
        self._add_exact_texts()
        head = {
            "version": VERSION,
            "run_id": recording.run_id,
            "created": dict(recording.created),
            "zero": self._clock.zero,
            "verdict": recording.verdict,
            "context": recording.context,
            "streams": {
                key: {
                    "info": stream.info.to_dict(),
                    "part": stream.part,
                    "series": [[each.path, list(each.columns)] for each in plan[key]],
                    **({"video": self._videos[key]} if key in self._videos else {}),
                }
                for key, stream in recording.streams.items()
            },
        }
        self._scratch(RECORDING, json.dumps(head), "JSON: the run, its graph, all streams")
        if recording.notes:
            notes = [json.dumps(note) for note in recording.notes]
            self._scratch(JOURNAL, notes, "JSON: parameter changes and annotations")
        for name, description in TABLES.items():
            self._table(name, description, table_rows(name, recording.streams.values()))
        return file

    # --- streams ---------------------------------------------------------------------------

    def _add_stream(self, stream: RecordedStream, plan: Sequence[Series]) -> None:
        stamps = self._stamps(stream)
        if stream.info.kind == "markers":
            self._add_events(stream, plan[0], stamps)
            return
        info = stream.info
        if stream.key in self._videos:
            self._add_video(stream, plan[0], stamps)
            return
        parts = []
        for series in plan:
            dtype = np.dtype(info.dtype).newbyteorder("<")
            data = self._columns.numbers(len(stream), dtype, series.shape(info))
            # All others have the very stamps of the first.
            stamps = self._add_series(stream, series, data, stamps)
            parts.append((data, series))
        self._columns.later(lambda: self._fill_samples(stream, parts))

    def _add_series(self, stream: RecordedStream, series: Series, data: Any, stamps: Any) -> Any:
        common = {
            "name": series.name,
            "data": data,
            "timestamps": stamps,
            "description": _description(stream, series),
            "conversion": series.conversion,
        }
        made: Any
        if series.kind == "ElectricalSeries":
            made = ElectricalSeries(
                **common,
                electrodes=self._electrodes_of(series),
                channel_conversion=list(series.channel_conversion) or None,
            )
        elif series.kind == "ImageSeries":
            device = self._devices[device_of(stream)]
            made = ImageSeries(**common, unit=series.unit, device=device)
        elif series.kind == "SpatialSeries":
            frame = "the source's own; see the description of its stream"
            made = SpatialSeries(**common, unit=series.unit, reference_frame=frame)
            self._position().add_spatial_series(made)
            return made
        else:
            made = pynwb.TimeSeries(**common, unit=series.unit)
        self._file.add_acquisition(made)
        return made

    def _add_video(self, stream: RecordedStream, series: Series, stamps: Any) -> None:
        height, width, *_ = stream.info.sample_shape
        self._file.add_acquisition(
            ImageSeries(
                name=series.name,
                external_file=[self._videos[stream.key]],
                format="external",
                starting_frame=[0],
                dimension=[width, height],
                timestamps=stamps,
                description=_description(stream, series),
                unit=series.unit,
                device=self._devices[device_of(stream)],
            )
        )

    def _add_events(self, stream: RecordedStream, series: Series, stamps: Any) -> None:
        n = len(stream)
        texts = self._columns.texts(n)
        self._events(series.name, _description(stream, series), n, stamps, texts)

        def fill() -> None:
            for block in blocks(n, TEXT_BYTES):
                plain = [storable(text) for text in stream.data[block]]
                texts.dataset[block] = np.array(plain, dtype=object)

        self._columns.later(fill)

    def _stamps(self, stream: RecordedStream) -> Any:
        """Return the stamps' dataset; beside it goes what cannot be told from it exactly."""
        n = len(stream)
        relative = self._columns.stamps(stream.timestamps, self._clock.relative)
        is_exact = all(
            _same(self._clock.restored(self._clock.relative(stamps)), stamps)
            for stamps in (stream.timestamps[block] for block in blocks(n, 8))
        )
        if not is_exact:
            local = self._columns.stamps(stream.timestamps)
            self._scratch(stream.key + LOCAL, local, "s: local clock, to the last bit")
        if stream.clocks:
            raw = self._columns.stamps(stream.raw_timestamps)
            self._scratch(stream.key + RAW, raw, "s: as the source stamped the samples")
        return relative

    def _fill_samples(self, stream: RecordedStream, parts: list[tuple[Any, Series]]) -> None:
        chunk_rows = parts[0][0].dataset.chunks[0]
        with contextlib.ExitStack() as stack:
            writers = [
                (stack.enter_context(self._columns.writing(data)), data.shape[1:], series)
                for data, series in parts
            ]
            for block in blocks(len(stream), stream.row_bytes, chunk_rows):
                values = stream.data[block]
                for writer, shape, series in writers:
                    some = values[:, list(series.columns)] if series.columns else values
                    writer.append(some.reshape(len(values), *shape))
                self._progress(values.nbytes)

    # --- what streams refer to -------------------------------------------------------------

    def _add_electrodes(self, plan: Mapping[str, Sequence[Series]]) -> None:
        """Add the table of electrodes; channels of one node and name share a row."""
        rows: dict[tuple[str, str, int], int] = {}
        for key, found in plan.items():
            stream = self._recording.streams[key]
            names, node = stream.info.channel_names, device_of(stream)
            for series in found:
                if series.kind != "ElectricalSeries":
                    continue
                seen: Counter[str] = Counter()
                for column in series.columns or range(len(names)):
                    seen[names[column]] += 1
                    electrode = (node, names[column], seen[names[column]])
                    self._regions.setdefault(series.name, []).append(
                        rows.setdefault(electrode, len(rows))
                    )
        if not rows:
            return
        groups = {
            node: self._file.create_electrode_group(
                name=object_name(node),
                description=f"channels of {storable(node)}",
                location="unknown",
                device=self._devices[node],
            )
            for node in dict.fromkeys(node for node, _, _ in rows)
        }
        # Column by column: one by one 384 rows take pynwb a quarter of a second.
        columns = {
            "location": ["unknown" for _ in rows],
            "group": [groups[node] for node, _, _ in rows],
            "group_name": [groups[node].name for node, _, _ in rows],
            "channel_name": [storable(name) for _, name, _ in rows],
        }
        self._file.electrodes = ElectrodesTable(
            id=np.arange(len(rows)), columns=_vectors(columns), colnames=list(columns)
        )

    def _electrodes_of(self, series: Series) -> Any:
        return DynamicTableRegion(
            name="electrodes",
            data=self._regions[series.name],
            description="the electrodes of the channels",
            table=self._file.electrodes,
        )

    def _position(self) -> Any:
        if "behavior" not in self._file.processing:
            module = self._file.create_processing_module("behavior", "Where things are.")
            module.add(Position(name="Position"))
        return self._file.processing["behavior"]["Position"]

    # --- what all streams share ------------------------------------------------------------

    def _add_annotations(self) -> None:
        """Add what people wrote while it was recorded as events, too."""
        notes = [
            (float(note["time"]) - self._clock.zero, storable(note["text"]))
            for note in self._recording.notes
            if note.get("kind") == "note"
            and isinstance(note.get("text"), str)
            and isinstance(note.get("time"), int | float)
        ]
        name = "notes"
        while name in self._recording.streams:
            name += "&"
        if notes:
            stamps, texts = np.array([time for time, _ in notes]), [text for _, text in notes]
            self._events(name, "What was noted during the recording", len(notes), stamps, texts)

    def _events(self, name: str, description: str, n: int, stamps: Any, texts: Any) -> None:
        stamp_column = TimestampVectorData(name="timestamp", description="when", data=stamps)
        text_column = VectorData(name="annotation", description="what", data=texts)
        self._file.add_events_table(
            EventsTable(
                name=name,
                description=description,
                id=np.arange(n),
                columns=[stamp_column, text_column],
                colnames=["timestamp", "annotation"],
            )
        )

    def _add_exact_texts(self) -> None:
        """Add, as JSON, the texts that the events' tables cannot hold as they are."""
        streams = [s for s in self._recording.streams.values() if s.info.kind == "markers"]
        n = sum(1 for stream in streams for _ in _odd_texts(stream))
        if not n:
            return
        make = self._columns
        rows = make.numbers(n, np.dtype("<i8"))
        columns = {"stream": make.texts(n), "row": rows, "text": make.texts(n)}
        self._table(TEXTS, "Texts as they were, as JSON: those that hold NUL or no UTF-8", columns)

        def fill() -> None:
            found = ((s.key, row, text) for s in streams for row, text in _odd_texts(s))
            for at, (key, row, text) in enumerate(found):
                columns["stream"].dataset[at] = key
                rows.dataset[at] = row
                columns["text"].dataset[at] = json.dumps(text)

        self._columns.later(fill)

    def _table(self, name: str, description: str, columns: Mapping[str, Any]) -> None:
        first = next(iter(columns.values()))
        n = first.shape[0] if isinstance(first, H5DataIO) else len(first)
        if n:
            self._file.add_scratch(
                DynamicTable(
                    name=name,
                    description=description,
                    id=np.arange(n),
                    columns=_vectors(columns),
                    colnames=list(columns),
                )
            )

    def _scratch(self, name: str, data: Any, description: str) -> None:
        self._file.add_scratch(ScratchData(name=name, data=data, description=description))


def _vectors(columns: Mapping[str, Any]) -> list[Any]:
    return [VectorData(name=name, description=name, data=data) for name, data in columns.items()]


def _description(stream: RecordedStream, series: Series) -> str:
    info = stream.info
    parts = [f"{info.kind} {storable(info.name)}"]
    if info.stype:
        parts.append(f"type {storable(info.stype)}")
    if info.is_regular:
        parts.append(f"nominal sampling rate {info.sampling_rate!r} Hz")
    if series.kind == "ImageSeries":
        colour = ", colour" if len(info.sample_shape) > 2 else ""
        parts.append(f"axes: frame, row from the top, column{colour}")
    elif series.kind in ("SpatialSeries", "TimeSeries") and info.kind == "signal":
        names = info.channel_names
        chosen = [names[column] for column in series.columns or range(len(names))]
        parts.append("channels: " + ", ".join(storable(name) for name in chosen))
    return "; ".join(parts)


def _odd_texts(stream: RecordedStream) -> Iterator[tuple[int, str]]:
    for block in blocks(len(stream), TEXT_BYTES):
        for row, text in enumerate(stream.data[block], start=block.start):
            if storable(text) != text:
                yield row, text


def _same(values: npt.NDArray[Any], others: npt.NDArray[Any]) -> bool:
    """Whether bits are the same: NaN is not equal to itself."""
    return np.array_equal(values.view(np.uint64), others.view(np.uint64))

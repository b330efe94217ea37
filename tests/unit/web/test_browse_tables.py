"""Events as tables, and signals without bins."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rigmesh.display.timeline import Timeline
from rigmesh.errors import UnknownName
from rigmesh.recording import RecordedStream
from rigmesh.streams import StreamInfo
from rigmesh.web import browse_bins
from rigmesh.web.browse_bins import BinCache, Bins, needs_bins
from rigmesh.web.browse_tables import EventTable, nwb_tables, table_of

FIRST = 5000.0


def marks(texts: list[str], n_channels: int = 1) -> EventTable:
    info = StreamInfo.markers("marks", n_channels=n_channels)
    stamps = FIRST + np.arange(len(texts), dtype=np.float64)
    line = Timeline(RecordedStream("marks", info, 1, texts, stamps, stamps))
    return table_of(line, FIRST, (FIRST, FIRST + 100))


# --- tables --------------------------------------------------------------------------------------


def test_markers_have_a_time_and_a_text() -> None:
    table = marks(["go", "stop", "go"])

    assert table.columns == {"time": [0.0, 1.0, 2.0], "text": ["go", "stop", "go"]}
    assert table.rows_with("text", "go").tolist() == [True, False, True]
    assert table.times("time").tolist() == [0.0, 1.0, 2.0]


def test_what_is_json_in_texts_becomes_columns() -> None:
    texts = [json.dumps({"unit": 1, "at": FIRST + 0.5}), "plain", json.dumps({"unit": 2.5})]
    table = marks([*texts, json.dumps({"unit": True, "at": FIRST + 9.25})])

    assert table.labels("unit") == ["1", "–", "2.5", "true"]
    assert "at" in table.time_names
    np.testing.assert_array_equal(table.times("at"), [0.5, np.nan, np.nan, 9.25])
    np.testing.assert_array_equal(table.times("unit"), [1, np.nan, 2.5, np.nan])


def test_lists_become_a_column_for_each_channel() -> None:
    table = marks([json.dumps(["left", "hit"]), json.dumps(["right"])], n_channels=2)

    assert table.labels("ch0") == ["left", "right"]
    assert table.labels("ch1") == ["hit", "–"]


@pytest.mark.parametrize("text", ["{" * 5000, "[1, 2", '{"a": NaN}', "{}", "[]", ""])
def test_odd_texts_are_texts(text: str) -> None:
    assert marks([text]).columns["text"] == [text]


def test_a_table_says_what_can_be_chosen() -> None:
    told = marks(["go"] * 3 + ["stop"]).describe()

    text = next(c for c in told["columns"] if c["name"] == "text")
    assert (text["n_values"], text["values"]) == (2, [["go", 3], ["stop", 1]])
    assert not text["is_time"]
    json.dumps(told)


def test_a_column_that_is_not_there_is_said() -> None:
    with pytest.raises(UnknownName, match=r"no column 'unit'.*text, time"):
        marks(["go"]).column("unit")


def test_trials_and_units_of_an_nwb_file_are_tables(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        trials = file.create_group("intervals/trials")
        trials.attrs["colnames"] = ["start_time", "side", "pairs"]
        trials["start_time"] = [1.0, 2.0]
        trials["side"] = ["left", "right"]
        trials["pairs"] = np.zeros((2, 2))
        units = file.create_group("units")
        units["spike_times"] = [0.5, 3.0, 1.5]
        units["spike_times_index"] = [2, 3]
        units["id"] = [7, 9]

    trials_, units_ = nwb_tables(tmp_path / "a.nwb", -0.5)

    assert trials_.columns == {"start_time": [0.5, 1.5], "side": ["left", "right"]}
    assert units_.columns == {"time": [0.0, 1.0, 2.5], "unit": [7, 9, 7]}


# --- bins ----------------------------------------------------------------------------------------


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> RecordedStream:
    monkeypatch.setattr(browse_bins, "AT_ONCE", 1000)
    info = StreamInfo.signal("amp", channels=2, sampling_rate=1000, dtype="int16")
    data = np.random.default_rng(0).integers(-500, 500, (70_001, 2)).astype(np.int16)
    stamps = np.arange(len(data)) / 1000
    return RecordedStream("amp", info, 1, data, stamps, stamps)


@contextmanager
def opened(stream: RecordedStream) -> Iterator[dict[str, RecordedStream]]:
    yield {"amp": stream}


def made(cache: BinCache, stream: RecordedStream, signature: Any = ("a", 1)) -> Bins:
    path = Path("session.nwb")
    bins = cache.get(path, signature, "amp", len(stream), lambda: opened(stream))
    deadline = time.monotonic() + 20
    while not bins.is_done:
        assert time.monotonic() < deadline, bins.error
        time.sleep(0.005)
    return bins


def test_bins_give_the_same_extremes_as_the_samples(stream: RecordedStream, tmp_path: Path) -> None:
    assert needs_bins(stream)
    cache = BinCache(tmp_path)
    binned = made(cache, stream).apply(stream)
    cache.close()

    unread = replace(binned, data=np.zeros((0, 2), np.int16), raw_timestamps=stream.timestamps)
    coarse = unread.envelope(0, 69_632, 17)
    fine, expected = binned.envelope(123, 69_990, 400), stream.envelope(123, 69_990, 400)
    assert coarse.minimum.min() == stream.data[:69_632].min()
    assert coarse.maximum.max() == stream.data[:69_632].max()
    assert fine.minimum.min() == expected.minimum.min()
    assert not needs_bins(binned)


def test_bins_are_made_once(stream: RecordedStream, tmp_path: Path) -> None:
    first = BinCache(tmp_path)
    made(first, stream)
    first.close()
    second = BinCache(tmp_path)

    found = second.get(Path("session.nwb"), ("a", 1), "amp", len(stream), lambda: opened(stream))
    other = second.get(Path("session.nwb"), ("a", 2), "amp", len(stream), lambda: opened(stream))

    assert found.is_done
    assert other.folder != found.folder
    second.close()


def test_a_cache_that_cannot_be_written_is_a_temporary_one(
    stream: RecordedStream, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    cache = BinCache(tmp_path / "file")
    bins = made(cache, stream)

    assert bins.file(0).exists()
    cache.close()
    assert not bins.folder.exists()


def test_what_was_looked_at_longest_ago_makes_room(
    stream: RecordedStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BinCache(tmp_path)
    old = made(cache, stream)
    monkeypatch.setattr(browse_bins, "_MOST_BYTES", 10)
    new = made(cache, stream, ("a", 2))
    cache.close()

    assert not old.folder.exists()
    assert new.file(0).exists()

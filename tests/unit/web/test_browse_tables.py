"""Events as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from rigmesh.display.timeline import Timeline
from rigmesh.errors import UnknownName
from rigmesh.recording import RecordedStream
from rigmesh.streams import StreamInfo
from rigmesh.web import browse_tables
from rigmesh.web.browse_tables import EventTable, nwb_tables, table_of

FIRST = 5000.0


def listed(table: EventTable) -> dict[str, list[Any]]:
    return {name: np.asarray(column).tolist() for name, column in table.columns.items()}


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

    assert listed(trials_) == {"start_time": [0.5, 1.5], "side": ["left", "right"]}
    assert listed(units_) == {"time": [0.0, 1.0, 2.5], "unit": [7, 9, 7]}
    assert not trials_.is_cut
    assert not units_.is_cut


def test_of_too_many_spikes_the_first_in_time_of_all_units_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse_tables, "_MOST_NUMBERS", 1000)
    monkeypatch.setattr(browse_tables, "_BLOCK", 300)
    stamps = np.sort(np.random.default_rng(0).uniform(0, 100, (4, 1000)), axis=1)
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        units = file.create_group("units")
        units["spike_times"] = stamps.ravel()
        units["spike_times_index"] = np.arange(1, 5) * 1000
        units["id"] = [3, 5, 7, 70_000]

    (table,) = nwb_tables(tmp_path / "a.nwb", 0.0)

    assert table.is_cut
    assert table.describe()["is_cut"]
    assert 950 < table.n <= 1000
    times, units_ = table.times("time"), np.asarray(table.column("unit"))
    np.testing.assert_array_equal(times, np.sort(stamps.ravel())[: table.n])
    for unit, own in zip([3, 5, 7, 70_000], stamps, strict=True):
        np.testing.assert_array_equal(times[units_ == unit], own[own <= times[-1]])


def test_trials_that_are_cut_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse_tables, "_MOST_ROWS", 3)
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        trials = file.create_group("intervals/trials")
        trials.attrs["colnames"] = ["start_time"]
        trials["start_time"] = np.arange(4.0)

    (table,) = nwb_tables(tmp_path / "a.nwb", 0.0)

    assert table.is_cut
    assert table.n == 3


@pytest.mark.parametrize("is_array", [True, False])
def test_of_a_long_column_few_values_can_be_chosen_and_many_not(is_array: bool) -> None:
    units, depths = np.arange(500_000) % 7, np.arange(500_000) * 0.5
    columns: Any = {"unit": units, "depth": depths}
    if not is_array:
        columns = {name: column.tolist() for name, column in columns.items()}

    unit, depth = EventTable("a", "a", 500_000, columns).describe()["columns"]

    assert unit["n_values"] == 7
    assert unit["values"][0] == ["0", 71_429]
    assert (depth["n_values"], depth["values"]) == (0, [])


@pytest.mark.parametrize("is_array", [True, False])
def test_numbers_are_chosen_by_what_they_are_called(is_array: bool) -> None:
    columns: Any = {
        "large": np.array([1000001.0, 1000002.0, 0.1, np.nan]),
        "id": np.array([1, 2, 2, 2**60], np.int64),
        "hit": np.array([True, False, True, True]),
    }
    if not is_array:
        columns = {name: column.tolist() for name, column in columns.items()}
    table = EventTable("a", "a", 4, columns)

    assert table.labels("large") == ["1000001", "1000002", "0.1", "nan"]
    assert table.labels("hit", np.array([1, 2])) == ["false", "true"]
    for name in columns:
        labels = table.labels(name)
        for text in labels:
            expected = [other == text for other in labels]
            assert table.rows_with(name, text).tolist() == expected
        assert not table.rows_with(name, "1.50").any()

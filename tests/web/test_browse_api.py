"""What the pages of recordings are told, without a browser."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from tests.web.recorded import GAP, RATE, Recorded, begin, record
from tests.web.served import Served, Visitor

from rigmesh.recording import open_recording

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "sub").mkdir()
    return folder


@pytest.fixture(scope="module")
def recorded(root: Path) -> Recorded:
    return record(root / "sub" / "rest.h5")


@pytest.fixture(scope="module")
def nwb(root: Path) -> Recorded:
    return record(root / "other.nwb")


@pytest.fixture(scope="module")
def served(
    root: Path, tmp_path_factory: pytest.TempPathFactory, recorded: Recorded
) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("home"), "--recordings", root) as made:
        yield made


@pytest.fixture(scope="module")
def visitor(served: Served) -> Iterator[Visitor]:
    with served.visitor() as made:
        yield made


def unpacked(answer: bytes) -> tuple[dict[str, Any], Array, Array, Array]:
    (length,) = struct.unpack_from("<I", answer)
    head = json.loads(answer[4 : 4 + length])
    n, channels = head["n"], len(head["channels"])
    at = 4 + length
    times = np.frombuffer(answer, "<f8", n, at)
    at += 8 * n
    lows = np.frombuffer(answer, "<f4", n * channels, at).reshape(channels, n)
    highs = lows
    if not head["exact"]:
        highs = np.frombuffer(answer, "<f4", n * channels, at + lows.nbytes).reshape(channels, n)
    return head, times, lows, highs


def traces(visitor: Visitor, **asked: Any) -> tuple[dict[str, Any], Array, Array, Array]:
    query: dict[str, Any] = {
        "file": "sub/rest.h5",
        "stream": "amp.signal",
        "columns": 1000,
        **asked,
    }
    answer = visitor.client.get("/api/browse/traces", params=query)
    assert answer.status_code == 200, answer.text
    return unpacked(answer.content)


def begin_of(recorded: Recorded) -> float:
    """Seconds are counted from when the recording was made, a little after the first stamp."""
    with open_recording(recorded.path) as recording:
        return float(recording.created["local_clock"]) - recorded.first


# --- the list ------------------------------------------------------------------------------------


def test_recordings_are_listed_and_looked_into(visitor: Visitor, recorded: Recorded) -> None:
    entries = {e["name"]: e for e in visitor.get("/api/recordings").json()["recordings"]}
    about = visitor.get("/api/recordings/about?file=sub/rest.h5").json()

    assert entries["sub/rest.h5"]["bytes"] == recorded.path.stat().st_size
    assert about["verdict"] == "OK with gaps (1, 2000.0 ms)"
    assert {s["name"] for s in about["streams"]} == {"amp.signal", "paradigm.events",
                                                    "sorter.spikes"}  # fmt: skip
    assert about["duration"] == pytest.approx(40, abs=0.01)


def test_a_recording_can_be_fetched_whole_and_in_parts(
    visitor: Visitor, recorded: Recorded
) -> None:
    whole = visitor.get("/api/recordings/file?file=sub/rest.h5")
    part = visitor.get("/api/recordings/file?file=sub/rest.h5", Range="bytes=100-199")

    assert whole.content == recorded.path.read_bytes()
    assert "attachment" in whole.headers["content-disposition"]
    assert (part.status_code, part.content) == (206, whole.content[100:200])


@pytest.mark.parametrize(
    "name",
    ["../secret.h5", "/etc/passwd", "sub/../../secret.h5", "link.h5", "linked/secret.h5",
     "sub/./rest.h5", ".hidden.h5", "secret.txt", "", "none.h5", "a\0.h5", "external.h5",
     "virtual.h5", "outside.h5"],
)  # fmt: skip
def test_nothing_outside_of_the_folder_is_shown(
    visitor: Visitor, root: Path, recorded: Recorded, name: str
) -> None:
    secret = root.parent / "secret.h5"
    if not secret.exists():
        with h5py.File(secret, "w") as file:
            file["value"] = np.arange(10)
        (root / "link.h5").symlink_to(secret)
        (root / "linked").symlink_to(root.parent)
        (root / ".hidden.h5").write_bytes(secret.read_bytes())
        (root / "secret.txt").write_text("secret")
        with h5py.File(root / "external.h5", "w") as file:
            file["value"] = h5py.ExternalLink(str(secret), "/value")
        with h5py.File(root / "outside.h5", "w") as file:
            file.create_dataset(
                "value", (4,), "u1", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
            )
        with h5py.File(root / "virtual.h5", "w") as file:
            layout = h5py.VirtualLayout((10,), "i8")
            layout[:] = h5py.VirtualSource(str(secret), "value", (10,))
            file.create_virtual_dataset("value", layout)

    listed = {e["name"] for e in visitor.get("/api/recordings").json()["recordings"]}
    asked = [
        visitor.get(f"/api/{path}?file={quote(name)}")
        for path in ("browse/tree", "browse/node", "browse/edge")
    ]

    assert {answer.status_code for answer in asked} <= {403, 422}, [a.text for a in asked]
    if name not in ("external.h5", "outside.h5", "virtual.h5"):
        assert visitor.get(f"/api/recordings/file?file={quote(name)}").status_code in (403, 422)
        assert name not in listed


def test_a_capture_is_shown_but_is_no_file_yet(visitor: Visitor, root: Path) -> None:
    begin(root / "growing.h5").close()

    entries = {e["name"]: e for e in visitor.get("/api/recordings").json()["recordings"]}
    answer = visitor.get("/api/recordings/file?file=growing.h5")

    assert entries["growing.h5"]["is_capture"] is True
    assert answer.status_code == 422
    assert "no file yet" in answer.json()["message"]


def test_who_is_not_logged_in_is_shown_nothing(served: Served) -> None:
    with Visitor(served.base) as stranger:
        for path in ("recordings", "recordings/about", "recordings/file", "browse/tree",
                     "browse/node", "browse/edge", "browse/traces", "browse/events",
                     "browse/tables", "browse/around"):  # fmt: skip
            assert stranger.get(f"/api/{path}?file=sub/rest.h5").status_code == 401


# --- one recording -------------------------------------------------------------------------------


def test_the_tree_has_types_shapes_and_gaps(visitor: Visitor, recorded: Recorded) -> None:
    told = visitor.get("/api/browse/tree?file=sub/rest.h5").json()
    amp = next(s for s in told["streams"] if s["key"] == "amp.signal")

    assert amp["shape"] == [len(recorded.data) - 2000, 3]
    assert (amp["dtype"], amp["rate"], amp["missing"]) == ("int16", 1000.0, 2000)
    assert amp["channels"] == [["n", "uV"], ["Cz", "uV"], ["Pz", "uV"]]
    assert amp["gaps"][0]["stop"] - amp["gaps"][0]["start"] == pytest.approx(2.0)
    assert told["context"]["metadata"] == {"subject": "s01"}


def test_the_files_own_groups_are_shown(visitor: Visitor) -> None:
    top = visitor.get("/api/browse/node?file=sub/rest.h5").json()
    data = visitor.get("/api/browse/node?file=sub/rest.h5&path=/streams/amp.signal/data").json()

    assert {m["name"] for m in top["members"]} == {"journal", "streams"}
    assert (data["kind"], data["shape"], data["dtype"]) == ("dataset", [38_000, 3], "int16")
    assert data["preview"][1][0] == 1


def test_a_narrow_window_has_the_samples_themselves(visitor: Visitor, recorded: Recorded) -> None:
    zero = begin_of(recorded)
    head, times, lows, _ = traces(visitor, t0=5.0, t1=5.2)

    rows = np.round((times + zero) * RATE).astype(int)
    assert head["exact"]
    np.testing.assert_array_equal(np.diff(rows), 1)
    np.testing.assert_array_equal(lows.T, recorded.data[rows])
    assert times[0] <= 5.0
    assert times[-1] >= 5.2


@pytest.mark.parametrize("file", ["sub/rest.h5", "other.nwb"])
def test_a_wide_window_has_the_extremes(
    visitor: Visitor, recorded: Recorded, nwb: Recorded, file: str
) -> None:
    head, times, lows, highs = traces(visitor, file=file, t0=-1, t1=41, columns=300, channels="2,0")
    there = ~np.isnan(lows[0])
    data = recorded.data[np.r_[0 : GAP[0], GAP[1] : len(recorded.data)]]

    assert head["channels"] == [2, 0]
    assert len(times) <= 302
    assert lows[0][there].min() == data[:, 2].min()
    assert highs[1][there].max() == data[:, 0].max()
    assert (lows[:, there] <= highs[:, there]).all()
    assert (~there).sum() == 1
    assert 20 < times[~there][0] < 22


def test_events_are_told_or_counted(visitor: Visitor, recorded: Recorded) -> None:
    zero = begin_of(recorded)
    query: dict[str, Any] = {"file": "sub/rest.h5", "stream": "paradigm.events", "t0": 0, "t1": 10}
    told = visitor.client.get("/api/browse/events", params=query).json()

    inside = (recorded.trials - zero >= 0) & (recorded.trials - zero < 10)
    np.testing.assert_allclose(told["times"], recorded.trials[inside] - zero, atol=1e-6)
    assert told["texts"] == [k for k, is_in in zip(recorded.kinds, inside, strict=True) if is_in]


def test_counts_around_events_are_those_of_numpy(visitor: Visitor, recorded: Recorded) -> None:
    with h5py.File(recorded.path) as file:
        trials = file["streams/paradigm.events/timestamps"][:]
        spikes = file["streams/sorter.spikes/timestamps"][:]
    chosen = spikes[np.array(recorded.units) == 2]
    query: dict[str, Any] = {
        "file": "sub/rest.h5",
        "events": "paradigm.events",
        "by": "text",
        "from": -0.25,
        "to": 0.75,
        "bin": 0.01,
        "target": "sorter.spikes",
        "target_only": "unit",
        "target_is": "2",
    }

    told = visitor.client.get("/api/browse/around", params=query).json()

    assert {group["label"] for group in told["groups"]} == {"left", "right", "rest"}
    for group in told["groups"]:
        own = trials[np.array(recorded.kinds) == group["label"]]
        relative = (chosen[None, :] - own[:, None]).ravel()
        # Seconds since the beginning round otherwise than those of the clock: away from edges.
        distance = np.abs(relative[:, None] - np.array(told["edges"])[None, :]).min()
        assert distance > 1e-9
        expected = np.histogram(relative, told["edges"])[0]
        assert group["counts"] == expected.tolist()
        assert sum(map(len, group["raster"])) == expected.sum()


def test_the_mean_around_events_is_numpys(visitor: Visitor, recorded: Recorded) -> None:
    query: dict[str, Any] = {
        "file": "sub/rest.h5",
        "events": "paradigm.events",
        "from": -0.1,
        "to": 0.3,
        "target": "amp.signal",
        "channel": "1",
    }
    told = visitor.client.get("/api/browse/around", params=query).json()

    sweeps = []
    for trial in recorded.trials:
        row = int(np.ceil(trial * RATE - 1e-3))
        window = range(row - 100, row + 300)
        is_whole = window[0] >= 0 and window[-1] < len(recorded.data)
        if is_whole and not set(window) & set(range(*GAP)):
            sweeps.append(recorded.data[window.start : window.stop, 1].astype(float))
    (group,) = told["groups"]
    assert (group["n"], told["n_used"]) == (len(sweeps), len(sweeps))
    np.testing.assert_allclose(group["mean"], np.mean(sweeps, 0), atol=1e-9)
    np.testing.assert_allclose(
        group["error"], np.std(sweeps, 0, ddof=1) / np.sqrt(len(sweeps)), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("traces", {"stream": "none", "t0": 0, "t1": 1}),
        ("traces", {"stream": "amp.signal", "t0": 1, "t1": 1}),
        ("traces", {"stream": "amp.signal", "t0": "nan", "t1": 1}),
        ("traces", {"stream": "amp.signal", "t0": 0, "t1": 1, "channels": "0,3"}),
        ("traces", {"stream": "amp.signal", "t0": 0, "t1": 1, "channels": "x"}),
        ("traces", {"stream": "paradigm.events", "t0": 0, "t1": 1}),
        ("events", {"stream": "amp.signal", "t0": 0, "t1": 1}),
        ("node", {"path": "/none"}),
        ("around", {"events": "none"}),
        ("around", {"events": "paradigm.events", "target": "none"}),
        ("around", {"events": "paradigm.events", "target": "sorter.spikes", "by": "none"}),
        ("around", {"events": "paradigm.events", "target": "sorter.spikes", "bin": 0}),
        ("around", {"events": "paradigm.events", "target": "sorter.spikes", "bin": 1e-9}),
        ("around", {"events": "paradigm.events", "target": "amp.signal", "channel": "9"}),
    ],
)
def test_what_cannot_be_answered_is_said(
    visitor: Visitor, path: str, asked: dict[str, Any]
) -> None:
    answer = visitor.client.get(f"/api/browse/{path}", params={"file": "sub/rest.h5", **asked})

    assert answer.status_code in (404, 422), answer.text
    assert len(answer.json()["message"]) > 10


def test_a_damaged_file_is_said_to_be_that(
    visitor: Visitor, root: Path, recorded: Recorded
) -> None:
    (root / "damaged.h5").write_bytes(recorded.path.read_bytes()[:5000])

    about = visitor.get("/api/recordings/about?file=damaged.h5").json()

    assert about["state"] == "unreadable"
    assert visitor.get("/api/browse/tree?file=damaged.h5").status_code == 422

"""Recordings that are kept open: for how long, and what of other files they may show."""

from __future__ import annotations

import inspect
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import h5py
import numpy as np
import pytest
from starlette.responses import Response
from starlette.routing import Route
from tests.web.recorded import Recorded, record

from rigmesh.errors import RecordingError
from rigmesh.recording import Capture, seal
from rigmesh.streams import Signal, StreamInfo
from rigmesh.web import browse, browse_open
from rigmesh.web.browse_bins import BinCache, Bins
from rigmesh.web.browse_open import Library, check_links
from rigmesh.web.browse_tree import file_node, safe
from rigmesh.web.recordings import in_few_threads, listed
from rigmesh.web.recordings_root import Entry, Root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recordings"
    made.mkdir()
    return made


@pytest.fixture
def library(folder: Path, tmp_path: Path) -> Iterator[Library]:
    made = Library(Root(folder), BinCache(tmp_path / "cache"))
    yield made
    made.close()


@pytest.fixture
def recorded(folder: Path) -> Recorded:
    return record(folder / "rest.h5")


def linked(path: Path) -> Path:
    """Record what stays in the folder beside the file."""
    info = StreamInfo.signal("amp.signal", channels=2, sampling_rate=1000, dtype="int16")
    capture = Capture.create(path, "run-1", {}, "hdf5", {"link": True})
    data = np.arange(1000)[:, None].repeat(2, 1).astype(np.int16)
    capture.append(Signal(data, np.arange(1000) / 1000 + 50, info=info))
    capture.finish({"amp.signal": {0: (0, 1000)}})
    return seal(capture)


def open_files() -> str:
    found = []
    for number in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(number.readlink()))
        except FileNotFoundError:
            continue
    return "\n".join(found)


# --- how long ------------------------------------------------------------------------------------


def test_a_recording_that_is_removed_is_closed(library: Library, recorded: Recorded) -> None:
    with library.use("rest.h5"):
        pass
    library.tidy()
    assert "rest.h5" in open_files()
    recorded.path.unlink()

    library.tidy()

    assert "rest.h5" not in open_files()


def test_a_recording_that_is_removed_while_it_is_read_is_closed_afterwards(
    library: Library, recorded: Recorded
) -> None:
    with library.use("rest.h5") as found:
        recorded.path.unlink()
        library.tidy()
        first = found.line("amp.signal").stream.data[0:1].tolist()

    assert first[0][0] == 0
    assert "rest.h5" not in open_files()


def test_a_recording_that_nobody_looks_at_is_closed_by_itself(
    library: Library, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse_open, "_IDLE", 0.05)
    monkeypatch.setattr(browse_open, "_TIDY_EVERY", 0.02)
    with library.use("rest.h5"):
        pass

    deadline = time.monotonic() + 10
    while "rest.h5" in open_files():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with library.use("rest.h5") as found:
        assert len(found.lines) == 3


def test_what_is_gone_since_the_folder_was_read_is_not_listed(
    folder: Path, recorded: Recorded
) -> None:
    class Late(Root):
        def entries(self) -> Iterator[Entry]:
            yield Entry("gone.h5", False, 1, 2.0)
            yield Entry("cam.mkv", True, 1, 3.0)
            yield from super().entries()

    found: Any = listed(Late(folder), {("rest.h5", ()): {}})  # type: ignore[arg-type]

    assert [entry["name"] for entry in found] == ["rest.h5"]


def test_why_there_are_no_bins_is_told(library: Library, recorded: Recorded) -> None:
    with library.use("rest.h5") as found:
        assert found.fault("amp.signal") == ""
        found._bins["amp.signal"] = Bins(Path("none"), 10, error="no space left on device")

        assert found.fault("amp.signal") == "no space left on device"


# --- in which threads ----------------------------------------------------------------------------


def test_recordings_are_read_although_all_other_threads_are_taken() -> None:
    few = anyio.CapacityLimiter(1)
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(few=few)))
    endpoint = in_few_threads("few")(lambda request: Response(str(few.borrowed_tokens)))

    async def ask() -> Response:
        others = anyio.to_thread.current_default_thread_limiter()
        others.total_tokens = 1
        async with others:
            return await endpoint(request)

    assert anyio.run(ask).body == b"1"


@pytest.mark.parametrize(
    "route", [r for r in browse.routes() if isinstance(r, Route) and "/api/" in r.path]
)
def test_no_page_of_recordings_takes_the_threads_of_others(route: Route) -> None:
    endpoint: Any = route.endpoint

    # What `require` finds is a coroutine; else it would be run in a thread of all.
    assert inspect.iscoroutinefunction(endpoint.__wrapped__)


# --- samples beside the file ---------------------------------------------------------------------


def test_samples_in_the_folder_of_a_file_are_shown(library: Library, folder: Path) -> None:
    linked(folder / "rest.h5")

    with library.use("rest.h5") as found:
        assert found.is_linked
        assert found.line("amp.signal").stream.data[990:992].tolist() == [[990, 990], [991, 991]]
        assert file_node(found, "/streams/amp.signal/data")["preview"][3] == [3, 3]


def test_samples_that_were_moved_need_recover(library: Library, folder: Path) -> None:
    path = linked(folder / "old.h5")
    path.rename(folder / "rest.h5")
    (folder / "old.h5.data").rename(folder / "rest.h5.data")

    with pytest.raises(RecordingError, match="rigmesh recover"), library.use("rest.h5"):
        pass


def _symlink(folder: Path, secret: Path) -> Path:
    (folder / "a.h5.data/streams/f").symlink_to(secret)
    return folder / "a.h5.data/streams/f"


def _linked_folder(folder: Path, secret: Path) -> Path:
    shutil.rmtree(folder / "a.h5.data")
    (secret.parent / "streams").mkdir()
    shutil.copy(secret, secret.parent / "streams")
    (folder / "a.h5.data").symlink_to(secret.parent)
    return folder / "a.h5.data/streams" / secret.name


def _fifo(folder: Path, secret: Path) -> Path:
    os.mkfifo(folder / "a.h5.data/streams/f")
    return folder / "a.h5.data/streams/f"


@pytest.mark.parametrize(
    "named",
    [
        lambda folder, secret: secret,
        lambda folder, secret: folder / "a.h5.data/streams/../../../secret",
        lambda folder, secret: folder / "a.h5.data/streams/none",
        lambda folder, secret: folder / "a.h5.data/streams/../streams/own",
        lambda folder, secret: folder / "b.h5",
        lambda folder, secret: Path("secret"),
        _symlink, _linked_folder, _fifo,
    ],
)  # fmt: skip
def test_samples_that_lie_elsewhere_are_refused(folder: Path, tmp_path: Path, named: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(100))
    (folder / "b.h5").write_bytes(bytes(100))
    (folder / "a.h5.data/streams").mkdir(parents=True)
    (folder / "a.h5.data/streams/own").write_bytes(bytes(100))
    place = str(named(folder, secret))
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("value", (10,), "u1", external=[(place, 0, 10)])

    with pytest.raises(RecordingError, match="value is in another file"):
        check_links(folder / "a.h5")


def test_a_file_that_names_another_folder_for_its_samples_is_refused(folder: Path) -> None:
    path = linked(folder / "a.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["linked_folder"] = "/"

    with pytest.raises(RecordingError, match="in another file"):
        check_links(path)


# --- the file's own tree -------------------------------------------------------------------------


def test_a_type_with_a_name_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kind"] = np.dtype("int16")
        file["value"] = np.arange(3)
    opened: Any = SimpleNamespace(path=tmp_path / "a.h5")

    top, kind = file_node(opened, "/"), file_node(opened, "/kind")

    assert {"name": "kind", "kind": "type", "told": "a type", "dtype": "int16"} in top["members"]
    assert (kind["kind"], kind["dtype"]) == ("type", "int16")


@pytest.mark.parametrize("number", [2**53, -(2**53), 0, True, 1.5])
def test_numbers_that_a_browser_knows_are_numbers(number: float) -> None:
    assert safe([number]) == [number]


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**64 - 1])
def test_whole_numbers_that_a_browser_would_round_are_texts(number: int) -> None:
    assert safe({"id": number}) == {"id": str(number)}


@pytest.mark.parametrize("part", ["journal", "streams/amp.signal/gaps"])
def test_a_file_of_ours_that_lacks_a_part_is_refused_in_words(
    recorded: Recorded, folder: Path, library: Library, part: str
) -> None:
    with h5py.File(folder / "rest.h5", "a") as file:
        del file[part]

    with pytest.raises(RecordingError, match=r"cannot read rest\.h5"), library.use("rest.h5"):
        pass

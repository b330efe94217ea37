"""Records in an append-only file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rigmesh.recording.framing import Records, frame

payloads = st.lists(st.binary(max_size=60), max_size=8)


def _read(content: bytes, limit: int | None = None) -> tuple[list[bytes], Records]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records"
        path.write_bytes(content)
        records = Records(path, limit)
        return list(records), records


@given(payloads)
def test_what_was_framed_comes_back(payloads: list[bytes]) -> None:
    content = b"".join(map(frame, payloads))

    found, records = _read(content)

    assert found == payloads
    assert (records.end, records.damaged) == (len(content), 0)


@given(payloads, st.data())
def test_a_file_cut_anywhere_keeps_its_whole_records(
    payloads: list[bytes], data: st.DataObject
) -> None:
    content = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(content)))

    found, records = _read(content[:cut])

    assert found == payloads[: len(found)]
    assert b"".join(map(frame, payloads[: len(found) + 1])) > content[:cut] or cut == len(content)
    assert records.end == len(b"".join(map(frame, found)))
    assert records.damaged == 0


@given(payloads.filter(bool), st.data())
def test_a_damaged_byte_costs_one_record(payloads: list[bytes], data: st.DataObject) -> None:
    content = bytearray(b"".join(map(frame, payloads)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    found, _ = _read(bytes(content))

    assert len(found) == len(payloads) - 1
    missing = [number for number in range(len(payloads)) if found == _without(payloads, number)]
    assert missing


def _without(payloads: list[bytes], number: int) -> list[bytes]:
    return payloads[:number] + payloads[number + 1 :]


def test_damage_before_a_whole_record_is_counted() -> None:
    content = frame(b"one") + b"garbage" * 400_000 + frame(b"two")

    found, records = _read(content)

    assert found == [b"one", b"two"]
    assert (records.end, records.damaged) == (len(content), 1)


def test_zeros_behind_the_end_are_no_records() -> None:
    found, records = _read(frame(b"one") + bytes(4096))

    assert found == [b"one"]
    assert records.damaged == 0


def test_no_more_records_are_read_than_asked_for() -> None:
    found, records = _read(frame(b"one") + frame(b"two"), limit=1)

    assert found == [b"one"]
    assert records.end == len(frame(b"one"))


def test_a_missing_file_holds_no_records(tmp_path: Path) -> None:
    assert list(Records(tmp_path / "none")) == []

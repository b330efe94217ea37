"""The streams that somebody looks at: as much of them as there is memory for, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rigmesh.display import SignalBuffer
from rigmesh.errors import OutOfMemory
from rigmesh.streams import StreamInfo
from rigmesh.web.feeds import Feeds, Limits, Looked

MIB = 2**20
WIDE = {"channels": 384, "sampling_rate": 30_000.0, "dtype": "int16"}
SLOW = {"channels": 8, "sampling_rate": 250.0}
IRREGULAR = {"channels": 2, "sampling_rate": 0.0, "dtype": "float64"}


@contextmanager
def _feeds(max_bytes: int) -> Iterator[Feeds]:
    feeds = Feeds(max_bytes=max_bytes)
    try:
        yield feeds
    finally:
        feeds.close()


def _info(number: int = 0, **settings: Any) -> StreamInfo:
    return StreamInfo.signal(f"amp{number}.signal", **settings)


def _look(feeds: Feeds, folder: Path, info: StreamInfo) -> Looked:
    """Look at a stream of a daemon that is not there: as if it had begun."""
    looked = feeds.take(str(folder / "none.sock"), info)
    looked.buffer.describe(info)
    return looked


def _allocated(buffer: object) -> int:
    assert isinstance(buffer, SignalBuffer)
    rings = [buffer._samples, buffer._times, buffer._missing]
    rings += [ring for level in buffer._levels for ring in (level.minima, level.maxima)]
    return sum(ring._rows.nbytes for ring in rings)


@pytest.mark.parametrize("settings", [WIDE, SLOW, IRREGULAR], ids=["wide", "slow", "irregular"])
def test_what_is_counted_is_what_is_allocated(tmp_path: Path, settings: dict[str, Any]) -> None:
    with _feeds(1024 * MIB) as feeds:
        looked = _look(feeds, tmp_path, _info(**settings))

        assert looked.limits is not None
        assert looked.limits.n_bytes() == _allocated(looked.buffer)


def test_all_streams_together_keep_no_more_than_there_is(tmp_path: Path) -> None:
    with _feeds(900 * MIB) as feeds:
        looked = [_look(feeds, tmp_path, _info(number, **WIDE)) for number in range(4)]
        kept = [each.limits.seconds for each in looked if each.limits is not None]

        assert sum(_allocated(each.buffer) for each in looked) <= 900 * MIB
        assert kept[0] == kept[1] == kept[2] > 30
        assert 10 <= kept[3] < kept[0]


def test_a_stream_that_does_not_fit_is_refused_until_another_is_given_back(tmp_path: Path) -> None:
    with _feeds(300 * MIB) as feeds:
        first = _look(feeds, tmp_path, _info(0, **WIDE))
        _look(feeds, tmp_path, _info(1, **WIDE))

        with pytest.raises(OutOfMemory, match=r"amp2.signal needs \d+ MiB .* of 300 MiB are left"):
            _look(feeds, tmp_path, _info(2, **WIDE))
        _look(feeds, tmp_path, _info(3, **SLOW))
        feeds.give_back(first)
        third = _look(feeds, tmp_path, _info(2, **WIDE))

        assert isinstance(third.limits, Limits)
        assert third.limits.seconds > 30

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from rigmesh.errors import NodeError
from rigmesh.node.testing import NodeTests, collect, run
from rigmesh.streams import Signal, StreamInfo
from rigmesh_nodes.channels import Share

NAMES = ["F3", "F4", "C3", "C4", "A1", "A2"]


def eeg() -> Signal:
    data = np.random.default_rng(0).normal(0, 100, (200, 6))
    info = StreamInfo.signal("amp.signal", channels=NAMES, sampling_rate=250, unit="uV")
    return Signal(data, np.arange(200) / 250, info=info)


class TestShare(NodeTests):
    make = partial(Share, k=2, of=3)
    feed = eeg()


def test_the_shares_are_neighbours_in_order_and_together_the_whole_signal() -> None:
    shares = [run(Share(k=k, of=3), eeg()).data for k in (1, 2, 3)]

    assert [share.shape for share in shares] == [(200, 2)] * 3
    np.testing.assert_array_equal(np.hstack(shares), eeg().data)


def test_a_share_keeps_the_labels_and_units_of_its_channels() -> None:
    (collector,) = collect(Share(k=3, of=3), eeg()).values()

    info = collector.infos[-1]
    assert [(c.name, c.unit) for c in info.channels] == [("A1", "uV"), ("A2", "uV")]


@pytest.mark.parametrize(
    ("k", "of", "message"),
    [
        (1, 4, "the 6 channels of amp.signal cannot be divided evenly into 4"),
        (1, 12, "the 6 channels of amp.signal cannot be divided evenly into 12"),
        (4, 3, "there is no share 4 of 3"),
    ],
)
def test_what_cannot_be_divided_evenly_is_refused(k: int, of: int, message: str) -> None:
    with pytest.raises(NodeError, match=message):
        run(Share(k=k, of=of), eeg())

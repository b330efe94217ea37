"""What inputs ask of their streams, and what they say of one that does not fit."""

from __future__ import annotations

import pytest

from rigmesh.errors import NodeError
from rigmesh.node import Demands, Input, Node
from rigmesh.node.testing import run, sine
from rigmesh.streams import Signal, StreamInfo

INFO = StreamInfo.signal("a.out", channels=["Cz", "Pz"], sampling_rate=250.0, unit="uV")


@pytest.mark.parametrize(
    "demands",
    [
        Demands(),
        Demands(regular=True),
        Demands(dtypes=("float32", "float64")),
        Demands(channels=(2, 2)),
        Demands(rates=(250, 1000)),
        Demands(units=("uV", "mV")),
    ],
)
def test_a_stream_that_fits_is_taken(demands: Demands) -> None:
    assert demands.refusal(INFO) == ""


@pytest.mark.parametrize(
    ("demands", "said"),
    [
        (Demands(regular=False), "takes a irregular stream; this one is regular"),
        (Demands(dtypes=("int16",)), "takes int16; the samples are float64"),
        (Demands(channels=(4, 4)), "takes 4 channels; there are 2"),
        (Demands(channels=(4, 64)), "takes 4 to 64 channels; there are 2"),
        (Demands(channels=(4, 2**31)), "takes 4 or more channels; there are 2"),
        (Demands(rates=(1000, 40_000)), "takes 1000 to 40000 Hz; the sampling rate is 250 Hz"),
        (Demands(units=("V",)), "takes V; channel Cz is in uV"),
    ],
)
def test_a_refusal_says_what_is_taken_and_what_was_found(demands: Demands, said: str) -> None:
    assert demands.refusal(INFO) == said.replace("a irregular", "an irregular")


class Picky(Node):
    """Takes tetrodes."""

    signal = Input(Signal, demands=Demands(channels=(4, 4)))

    def prepare(self) -> None:
        raise AssertionError("never")

    def process(self, chunk: Signal) -> None: ...


def test_a_node_is_not_prepared_for_a_stream_it_does_not_take() -> None:
    with pytest.raises(NodeError, match=r"test\.signal → node\.signal takes 4 channels") as caught:
        run(Picky(), sine(1.0, n_channels=2))

    assert caught.value.hook == "prepare"

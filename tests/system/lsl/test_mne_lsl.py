from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.system.lsl.harness import Peer, live
from tests.system.lsl.test_outlet import feeding

from rigmesh.node.testing import sine
from rigmesh.streams import ChannelInfo, Signal, StreamInfo
from rigmesh_nodes.lsl import Inlet, Outlet

StartPeer = Callable[..., Peer]

MNE = "mne_peer.py"
LABELS = ["Fz", "Cz", "EOG1"]
TYPES = ["eeg", "eeg", "eog"]
PLAYED = np.random.default_rng(0).normal(size=(1000, 3)) * 1e-6


@pytest.fixture
def player(peer: StartPeer, name: str) -> Peer:
    return peer(
        "player",
        program=MNE,
        name=name,
        rows=PLAYED.tolist(),
        labels=LABELS,
        types=TYPES,
        rate=250.0,
    )


@pytest.mark.usefixtures("player")
def test_a_player_of_mne_lsl_is_received_with_values_names_units_and_types(name: str) -> None:
    with live(Inlet(stream=name)) as running:
        tape = running.wait_for_samples("signal", 300)

    first = int(np.flatnonzero((tape.data[0] == PLAYED).all(axis=1))[0])
    expected = PLAYED[(first + np.arange(len(tape))) % len(PLAYED)]
    assert tape.infos[0].channels == tuple(
        ChannelInfo(label, "0", kind) for label, kind in zip(LABELS, TYPES, strict=True)
    )
    assert (tape.infos[0].dtype, tape.infos[0].sampling_rate) == ("float64", 250.0)
    assert np.array_equal(tape.data, expected)
    assert np.diff(tape.stamps) == pytest.approx(1 / 250, abs=1e-9)
    assert tape.gaps == []


def test_what_mne_lsl_says_about_its_channels_survives_the_graph(
    peer: StartPeer, player: Peer, name: str
) -> None:
    with live(Inlet(stream=name)) as running:
        received = running.tapes["signal"].infos[0]

    with feeding(Outlet(stream_name=f"{name}-again"), received):
        again = peer("stream", program=MNE, name=f"{name}-again")

    said = {key: again.answer[key] for key in player.answer}
    assert said == player.answer


def test_mne_lsl_receives_values_names_units_and_types(peer: StartPeer, name: str) -> None:
    info = StreamInfo(
        "amp.signal",
        dtype="float32",
        sample_shape=(3,),
        sampling_rate=250.0,
        channels=tuple(
            ChannelInfo(label, "microvolts", kind)
            for label, kind in zip(LABELS, TYPES, strict=True)
        ),
        stype="EEG",
    )
    wave = sine(10, sampling_rate=250, duration=1, n_channels=3, dtype=np.float32)
    stamps = wave.raw_timestamps + 100

    with feeding(Outlet(stream_name=name), info) as feed:
        receiver = peer("stream", program=MNE, name=name)
        feed.push(Signal(wave.data.copy(), stamps.copy()))
        received = receiver.ask(get=True)

    assert receiver.answer["labels"] == LABELS
    assert receiver.answer["types"] == TYPES
    assert receiver.answer["units"] == [-6, -6, -6]
    assert receiver.answer["rate"] == 250.0
    assert np.array_equal(np.array(received["rows"], np.float32), wave.data)
    assert received["stamps"] == pytest.approx(stamps, abs=2e-3)

"""The demo's player and listener: LSL programs that know nothing of rigmesh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rigmesh.transports.lslconfig import lsl_config

DEMO = Path(__file__).parents[3] / "examples" / "demo"

STREAMS = ("ecg=physio ECG", "eda=physio EDA", "resp=physio Resp", "markers=physio Markers")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start programs of the demo, in an LSL session of this test's own; end them at last."""
    config = tmp_path / "lsl_api.cfg"
    config.write_text(lsl_config(uuid.uuid4().hex, loopback_only=True), encoding="utf-8")
    environment = {**os.environ, "LSLAPICFG": str(config), "PYTHONWARNINGS": "error"}
    started: list[subprocess.Popen[str]] = []

    def program(name: str, *arguments: object) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, str(DEMO / name), *(str(a) for a in arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
        )
        return started[-1]

    yield program
    for process in started:
        process.kill()
        process.communicate()


def test_what_the_player_logs_is_what_a_listener_receives(start: Start, tmp_path: Path) -> None:
    listener = start("listener.py", *STREAMS, "--log", tmp_path / "received.npz", "--quiet", 1)
    player = start("player.py", "--duration", 2, "--log", tmp_path / "played.npz")

    statuses = [listener.wait(30), player.wait(30)]

    assert statuses == [0, 0]
    with np.load(tmp_path / "played.npz") as played, np.load(tmp_path / "received.npz") as received:
        for key, n_samples in {"ecg": 2000, "eda": 4000, "resp": 8, "markers": 2}.items():
            assert len(played[f"{key}_values"]) == n_samples
            values = received[f"{key}_values"].astype(played[f"{key}_values"].dtype)
            np.testing.assert_array_equal(values, played[f"{key}_values"])
            np.testing.assert_array_equal(received[f"{key}_stamps"], played[f"{key}_stamps"])
            assert (received[f"{key}_arrived"] > played[f"{key}_pushed"]).all()
            # Nothing is sent before its time.
            assert (played[f"{key}_pushed"] >= played[f"{key}_stamps"]).all()


def test_the_player_does_not_begin_before_it_is_told_to(start: Start, tmp_path: Path) -> None:
    listener = start("listener.py", *STREAMS, "--log", tmp_path / "received.npz", "--quiet", 0.5)
    player = start("player.py", "--hold", "--duration", 0.5, "--log", tmp_path / "played.npz")
    assert player.stdout is not None

    lines = [player.stdout.readline().strip() for _ in range(2)]
    output, _ = player.communicate("go\n", timeout=30)

    assert lines == ["player: waiting for consumers of 4 streams", "player: ready"]
    assert output.startswith("player: playing 0.5 s")
    assert listener.wait(30) == 0


def test_the_player_gives_up_when_nobody_listens(start: Start, tmp_path: Path) -> None:
    player = start("player.py", "--timeout", 0.3, "--log", tmp_path / "played.npz")

    output, _ = player.communicate(timeout=30)

    assert player.returncode == 1
    assert "nobody listened to ecg" in output


def test_a_player_that_is_told_to_end_still_writes_down_what_it_sent(
    start: Start, tmp_path: Path
) -> None:
    start("listener.py", *STREAMS, "--log", tmp_path / "received.npz")
    player = start("player.py", "--duration", 20, "--log", tmp_path / "played.npz")
    assert player.stdout is not None
    for line in player.stdout:
        if "playing" in line:
            break

    player.send_signal(signal.SIGTERM)

    assert player.wait(30) == 0
    with np.load(tmp_path / "played.npz") as played:
        assert len(played["ecg_values"]) == len(played["ecg_stamps"]) < 20_000


def test_the_player_refuses_to_play_more_than_there_is(start: Start, tmp_path: Path) -> None:
    player = start("player.py", "--duration", 600, "--log", tmp_path / "played.npz")

    output, _ = player.communicate(timeout=30)

    assert player.returncode == 1
    assert "holds 61.9 s" in output


def test_the_listener_says_which_stream_it_does_not_find(start: Start, tmp_path: Path) -> None:
    listener = start(
        "listener.py", "ecg=physio ECG", "--timeout", 0.1, "--log", tmp_path / "received.npz"
    )

    output, _ = listener.communicate(timeout=30)

    assert listener.returncode == 1
    assert "no stream named ['physio ECG']" in output

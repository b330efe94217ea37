"""LSL streams in windows, without any daemon."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.system.lsl.harness import Peer, wait_for

from rigmesh.display import Feed, MarkerBuffer, SignalBuffer
from rigmesh.viewers.lsl import lsl_reader

StartPeer = Callable[..., Peer]
RIGMESH = Path(sys.executable).with_name("rigmesh")


def view(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [RIGMESH, "view", *arguments],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_stream_of_another_program_reaches_the_buffer(peer: StartPeer, name: str) -> None:
    outlet = peer(
        "outlet", name=name, n_channels=2, rate=100.0, labels=["a", "b"], units=["uV", "uV"],
        types=["EEG", "EEG"], source_id=name,
    )  # fmt: skip
    buffer = SignalBuffer(60)
    feed = Feed(name, lsl_reader(stream=name), buffer)
    outlet.ask(consumers=10)

    outlet.ask(push=[[k, -k] for k in range(50)], stamps=[5000 + k / 100 for k in range(50)])
    wait_for(lambda: buffer.rows[1] == 50, "sample")

    assert feed.state == "live"
    assert buffer.info is not None
    assert buffer.info.name == name
    assert buffer.info.channel_names == ("a", "b")
    np.testing.assert_array_equal(buffer.samples(0, 50)[0][:, 0], np.arange(50))
    feed.close()


def test_a_stream_that_comes_later_is_waited_for(peer: StartPeer, name: str) -> None:
    buffer = MarkerBuffer()
    feed = Feed(name, lsl_reader(stream=name), buffer)
    wait_for(lambda: feed.error, "reason to wait")

    outlet = peer("outlet", name=name, format="string", source_id=name)
    outlet.ask(consumers=10)
    outlet.ask(push=[["go"]], stamps=[5000.0])
    wait_for(lambda: buffer.n_total, "marker", timeout=30)

    assert [text for _, text in buffer.since(0)] == ["go"]
    feed.close()


def test_the_command_shows_a_stream_until_ctrl_c(peer: StartPeer, name: str) -> None:
    outlet = peer("outlet", name=name, n_channels=2, rate=100.0, source_id=name)
    shown = view("--lsl", name, "--set", "seconds=3")
    try:
        assert outlet.ask(consumers=40) is True  # the window reads

        shown.send_signal(signal.SIGINT)

        assert shown.wait(30) == 0
    finally:
        shown.kill()
        out, errors = shown.communicate()
    assert (out, errors.replace("QStandardPaths", "")[:9]) in {("", ""), ("", ": XDG_RUN")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lsl", "nobody", "--wait", "0.5"], "no LSL stream is named 'nobody'"),
        (["--lsl", "NAME", "--as", "Oscillscope"], "Oscilloscope"),
        (["--lsl", "NAME", "--as", "Raster"], "cannot show"),
        (["--lsl", "NAME", "--set", "seconds=-1"], "seconds"),
        (["--lsl", "NAME", "--set", "seconds"], "PARAM=VALUE"),
    ],
)
def test_what_cannot_be_shown_is_told(
    peer: StartPeer, name: str, arguments: list[str], said: str
) -> None:
    peer("outlet", name=name, n_channels=2, rate=100.0, source_id=name)

    shown = view(*(name if each == "NAME" else each for each in arguments))
    _, errors = shown.communicate(timeout=60)

    assert shown.returncode in (1, 2)
    assert said in errors.replace("\n", " ")
    assert "Traceback" not in errors

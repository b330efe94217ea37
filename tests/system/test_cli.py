"""The command line, as a person types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from rigmesh.client import Manager
from rigmesh.transports.lslconfig import lsl_config

Until = Callable[[Callable[[], object]], None]
Cli = Callable[..., subprocess.CompletedProcess[str]]

RIGMESH = Path(sys.executable).with_name("rigmesh")

GRAPH = """
rigmesh: 1
nodes:
  source: {type: sim.Oscillators, params: {n_channels: 2, sampling_rate: 500 Hz}}
  alpha: {type: filters.BandPass, inputs: {signal: source}}
  recorder: {type: record.HDF5Recorder, inputs: {streams: [source, alpha]},
             params: {path: PATH}}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    config = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    config.write_text(lsl_config(f"test-{uuid.uuid4().hex}", loopback_only=True))
    return {**os.environ, "LSLAPICFG": str(config), "COLUMNS": "160"}


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RIGMESH, *arguments],
            capture_output=True,
            text=True,
            timeout=50,
            env=environment,
            cwd=tmp_path,
        )

    return run


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(GRAPH.replace("PATH", str(tmp_path / "file.h5")))
    return path


@pytest.fixture
def plain_outlet(environment: dict[str, str]) -> Iterator[None]:
    """A program that streams numbers and knows nothing of rigmesh."""
    program = (
        "import pylsl, time\n"
        "info = pylsl.StreamInfo('plain', 'EEG', 2, 100, 'int32', 'plain-1')\n"
        "outlet = pylsl.StreamOutlet(info)\n"
        "print('up', flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    outlet.push_sample([n, -n]); n += 1; time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    yield
    process.kill()
    process.communicate()


def test_a_graph_runs_for_some_seconds_and_its_recording_is_judged(
    cli: Cli, graph: Path, tmp_path: Path
) -> None:
    done = cli("run", graph, "--duration", "1", "--set", "source.n_channels=3")

    assert done.returncode == 0, done.stderr
    assert "file.h5  OK" in done.stdout
    info = json.loads(cli("info", tmp_path / "file.h5", "--json").stdout)
    assert info["verdict"] == "OK"
    shapes = {s["name"]: s["shape"] for s in info["streams"]}
    assert shapes == {"source.signal": [3], "alpha.filtered": [3]}


def test_ctrl_c_stops_and_seals(environment: dict[str, str], graph: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [RIGMESH, "run", graph], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith("running"):
        assert process.poll() is None

    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=50)

    assert "OK" in said
    assert process.returncode == 0
    assert (tmp_path / "file.h5").exists()
    assert not (tmp_path / "file.h5.capture").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("filters.BandPass", "filters.BandPas"), "did you mean filters.BandPass?"),
        (("signal: source", "signal: sauce"), "nodes.alpha.inputs.signal: no node 'sauce'"),
        (("500 Hz", "500 kHz"), "nodes.source.params.sampling_rate: expected a number in Hz"),
    ],
)
def test_a_typo_in_a_graph_is_wrong_use_and_starts_nothing(
    cli: Cli, graph: Path, change: tuple[str, str], message: str
) -> None:
    graph.write_text(graph.read_text().replace(*change))

    done = cli("run", graph, "--duration", "1")

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "starting" not in done.stdout


def test_a_missing_recording_is_an_error(cli: Cli) -> None:
    done = cli("info", "nowhere.h5")

    assert done.returncode == 1
    assert "nowhere.h5" in done.stderr


def test_node_types_are_listed_and_described(cli: Cli) -> None:
    listed = cli("nodes").stdout
    described = cli("nodes", "BandPass").stdout

    assert "filters.BandPass" in listed
    assert "record.HDF5Recorder" in listed
    assert "number, Hz" in described
    assert "Lower cut-off" in described


def test_the_reference_page_of_the_nodes_is_that_of_the_classes(cli: Cli) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "nodes.md"

    made = cli("nodes", "--markdown").stdout

    assert page.read_text() == made, "run: rigmesh nodes --markdown > docs/reference/nodes.md"


def test_the_schema_is_json_and_names_node_types(cli: Cli) -> None:
    schema = json.loads(cli("schema").stdout)

    examples = schema["$defs"]["NodeFile"]["properties"]["type"]["examples"]
    assert "sim.EEG" in examples


def test_the_doctor_looks_at_everything(cli: Cli) -> None:
    done = cli("doctor")

    for subject in ("platform", "shared memory", "real time", "LSL", "clock", "daemon"):
        assert subject in done.stdout
    assert done.returncode == 0


@pytest.mark.usefixtures("plain_outlet")
def test_lsl_streams_are_listed(cli: Cli) -> None:
    done = cli("streams", "--lsl", "--wait", "2")

    assert done.returncode == 0
    assert "plain" in done.stdout
    assert "100 Hz" in done.stdout


@pytest.mark.usefixtures("plain_outlet")
def test_lsl_streams_are_recorded_in_one_line(cli: Cli, tmp_path: Path) -> None:
    done = cli("record", "--lsl", "type='EEG'", "-o", "eeg.h5", "--duration", "1.5")

    assert done.returncode == 0, done.stderr
    from rigmesh.recording import open_recording

    with open_recording(tmp_path / "eeg.h5") as recording:
        (stream,) = recording.streams.values()
        numbers = stream.data[:]
    assert len(numbers) > 20
    assert (numbers[1:, 0] - numbers[:-1, 0] == 1).all()
    assert (numbers[:, 1] == -numbers[:, 0]).all()


def test_recording_what_is_not_there_says_what_is(cli: Cli) -> None:
    done = cli("record", "--lsl", "name='nobody'", "-o", "x.h5", "--wait", "0.5")

    assert done.returncode == 1
    assert "name='nobody'" in done.stderr
    assert "visible: none" in " ".join(done.stderr.split())


def test_a_recording_is_played_to_other_programs(
    cli: Cli, graph: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert cli("run", graph, "--duration", "2").returncode == 0
    player = subprocess.Popen(
        [RIGMESH, "replay", tmp_path / "file.h5", "--loop"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    program = (
        "import pylsl\n"
        "(found,) = pylsl.resolve_byprop('name', 'alpha.filtered', timeout=30)\n"
        "inlet = pylsl.StreamInlet(found)\n"
        "sample, stamp = inlet.pull_sample(timeout=20)\n"
        "print(len(sample), found.nominal_srate())\n"
    )

    received = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    player.send_signal(signal.SIGINT)
    said, _ = player.communicate(timeout=50)

    assert received.stdout.split() == ["2", "500.0"], received.stderr + said
    assert player.returncode == 0, said


def test_status_shows_a_daemon_s_nodes(cli: Cli, environment: dict[str, str]) -> None:
    assert cli("status").returncode == 1  # nobody to ask

    with Manager() as manager:
        manager.create_node("sim.Oscillators", name="counted")
        environment["RIGMESH_SOCKET"] = str(manager._connection.socket)
        try:
            table, data = cli("status"), cli("status", "--json")
        finally:
            del environment["RIGMESH_SOCKET"]

    assert "counted" in table.stdout
    assert json.loads(data.stdout)["nodes"][0]["spec"]["name"] == "counted"


def test_a_new_node_is_ready_with_its_test(cli: Cli, tmp_path: Path) -> None:
    done = cli("new-node", "SpikeCounter")

    folder = tmp_path / "spike-counter"
    assert done.returncode == 0, done.stderr
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert tested.returncode == 0, tested.stdout
    typed = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "spike_counter.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert typed.returncode == 0, typed.stdout
    assert cli("new-node", "spike").returncode == 2
    assert cli("new-node", "SpikeCounter").returncode == 2


def test_the_graph_of_the_example_is_valid(examples: Path) -> None:
    with Manager() as manager:
        manager.load(examples / "physiology.yaml")

        written = yaml.safe_load((examples / "physiology.yaml").read_text())
        assert manager.nodes.keys() == written["nodes"].keys()

"""The demo's comparison, and its picture, on recordings that this module makes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

DEMO = Path(__file__).parents[3] / "examples" / "demo"

Floats = npt.NDArray[np.float64]
Logs = dict[str, npt.NDArray[np.generic]]


class Session:
    """A faultless recording of two seconds, and the logs that belong to it."""

    def __init__(self, folder: Path) -> None:
        self.recording = folder / "recording.h5"
        self._played, self._received = folder / "played.npz", folder / "received.npz"
        self.played: Logs = {}
        self.received: Logs = {}
        with h5py.File(self.recording, "w") as file:
            file.attrs["verdict"] = "OK"
            for key, rate in {"ecg": 1000.0, "eda": 2000.0, "resp": 3.90625}.items():
                stamps = 100.0 + np.arange(int(2 * rate)) / rate
                values = np.sin(stamps).astype(np.float32)
                self._store(file, f"{key}.signal", values[:, None], stamps)
                self._log(self.played, key, "pushed", values, stamps)
            texts, times = np.array(["start", "stop"]), np.array([100.0, 102.0])
            self._store(file, "marks.markers", texts.astype(h5py.string_dtype()), times)
            self._log(self.played, "markers", "pushed", texts, times)
            stamps = self.played["ecg_stamps"].astype(np.float64)
            self._store(file, "heart.filtered", np.cos(stamps)[:, None], stamps)
            self._log(self.received, "filtered", "arrived", np.cos(stamps), stamps)
            texts, times = np.array(["beat", "beat"]), stamps[[300, 1200]]
            self._store(file, "beats.events", texts.astype(h5py.string_dtype()), times)
            self._log(self.received, "beats", "arrived", texts, times)

    @staticmethod
    def _store(file: h5py.File, name: str, data: object, stamps: Floats) -> None:
        group = file.create_group(f"streams/{name}")
        group["data"] = data
        group["timestamps"] = group["raw_timestamps"] = stamps
        group.create_dataset("gaps", (0,), [("epoch", "u4"), ("count", "u8")], maxshape=(None,))

    @staticmethod
    def _log(
        log: Logs, key: str, when: str, values: npt.NDArray[np.generic], stamps: Floats
    ) -> None:
        log |= {f"{key}_values": values, f"{key}_stamps": stamps, f"{key}_{when}": stamps + 0.004}

    def verify(self) -> subprocess.CompletedProcess[str]:
        """Run the comparison."""
        np.savez(self._played, allow_pickle=False, **self.played)
        np.savez(self._received, allow_pickle=False, **self.received)
        files = (self.recording, self._played, self._received)
        return subprocess.run(
            [sys.executable, "-W", "error", str(DEMO / "verify.py"), *map(str, files)],
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A faultless session."""
    return Session(tmp_path)


def test_a_faultless_recording_is_confirmed(session: Session) -> None:
    result = session.verify()

    assert result.returncode == 0, result.stderr
    assert "Everything is as it was sent." in result.stdout
    assert "FAIL" not in result.stdout


def test_the_heart_rate_is_that_of_the_recorded_beats(session: Session) -> None:
    result = session.verify()

    assert "2, 67 bpm" in result.stdout


def test_the_latency_is_that_from_push_to_arrival(session: Session) -> None:
    pushed = session.played["ecg_pushed"].astype(np.float64)
    session.received["filtered_arrived"] = pushed + 0.0035

    result = session.verify()

    assert "latency of filtered ECG   p50 3.5 ms, p99 3.5 ms, max 3.5 ms" in result.stdout


def _one_sample_less(session: Session, file: h5py.File) -> None:
    for name in ("data", "timestamps", "raw_timestamps"):
        kept = file["streams/eda.signal"][name][:-1]
        del file["streams/eda.signal"][name]
        file["streams/eda.signal"][name] = kept


def _one_bit(session: Session, file: h5py.File) -> None:
    data = file["streams/ecg.signal/data"]
    data[7, 0] = np.nextafter(data[7, 0], np.float32(2.0))


def _one_stamp(session: Session, file: h5py.File) -> None:
    stamps = file["streams/resp.signal/raw_timestamps"]
    stamps[3] = np.nextafter(stamps[3], 200.0)


def _the_clock(session: Session, file: h5py.File) -> None:
    stamps = file["streams/ecg.signal"]["timestamps"][:]
    del file["streams/ecg.signal"]["timestamps"]
    file["streams/ecg.signal"]["timestamps"] = stamps + 2e-6


def _one_text(session: Session, file: h5py.File) -> None:
    file["streams/marks.markers/data"][0] = "begin"


def _a_gap(session: Session, file: h5py.File) -> None:
    file["streams/eda.signal/gaps"].resize((1,))


def _a_beat(session: Session, file: h5py.File) -> None:
    session.received |= {k: v[:1] for k, v in session.received.items() if k.startswith("beats")}


def _the_verdict(session: Session, file: h5py.File) -> None:
    file.attrs["verdict"] = "OK with gaps (1, 4 ms)"


def _a_stream(session: Session, file: h5py.File) -> None:
    del file["streams/resp.signal"]


@pytest.mark.parametrize(
    "damage",
    [
        _one_sample_less,
        _one_bit,
        _one_stamp,
        _the_clock,
        _one_text,
        _a_gap,
        _a_beat,
        _the_verdict,
        _a_stream,
    ],
)
def test_a_recording_that_differs_anywhere_is_refused(
    session: Session, damage: Callable[[Session, h5py.File], None]
) -> None:
    with h5py.File(session.recording, "r+") as file:
        damage(session, file)

    result = session.verify()

    assert result.returncode == 1, result.stderr
    assert "NOT everything is as it was sent." in result.stdout


def test_a_recording_becomes_a_picture(session: Session, tmp_path: Path) -> None:
    picture = tmp_path / "recording.png"

    subprocess.run(
        [sys.executable, "-W", "error", str(DEMO / "picture.py"), str(session.recording), picture],
        check=True,
    )

    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20]) > int.from_bytes(head[20:24]) > 400

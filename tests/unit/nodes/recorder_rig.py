"""A recorder with links of its own, fed chunk by chunk; samples are their own numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.node import InputLink, NodeRunner
from rigmesh.node.live import call
from rigmesh.node.testing import TestRuntime
from rigmesh.recording import open_recording
from rigmesh.streams import Frames, Signal, StreamInfo
from rigmesh_nodes._recorder import Recorder
from rigmesh_nodes.record import HDF5Recorder

__all__ = ["AMP", "RecorderRig", "notes_of", "numbers_in"]

AMP = StreamInfo.signal("amp.signal", channels=1, sampling_rate=1000)


class RecorderRig:
    """A running recorder.

    Parameters
    ----------
    folder : Path
        The root of its recordings; also says the run.
    *infos : StreamInfo
        The streams that are linked to it; one signal if none is given.
    context : dict
        More of the run.
    recorder : type of Recorder
        Which.
    **parameters
        Of the recorder.
    """

    def __init__(
        self,
        folder: Path,
        *infos: StreamInfo,
        context: dict[str, Any] | None = None,
        recorder: type[Recorder] = HDF5Recorder,
        **parameters: Any,
    ) -> None:
        self.infos = {info.name: info for info in infos or (AMP,)}
        self.node = recorder(**{"path": "session.h5", "min_free": 0, **parameters})
        self.runtime = self.node.runtime = TestRuntime(
            context={"run_id": "run-1", **(context or {})}, recording_root=str(folder)
        )
        self.runner = NodeRunner(self.node, "recorder")
        self.released = 0
        self.links = {name: InputLink(name, release=self._release) for name in self.infos}
        self.node.streams.links.extend(self.links.values())

    def start(self) -> RecorderRig:
        """Open, announce, start."""
        self.runner.open()
        for name, link in self.links.items():
            self.runner.input_announced(link, self.infos[name], new_epoch=False)
        self.runner.start()
        return self

    def feed(
        self, start: int, stop: int, stream: str = "", *, written: int = 0, **more: Any
    ) -> None:
        """Hand samples to it; `written` is how many the source has by then."""
        info = self.infos[stream or next(iter(self.infos))]
        link = self.links[info.name]
        numbers = np.arange(float(start), stop)
        shaped = numbers.reshape(-1, *(1 for _ in info.sample_shape)).astype(info.dtype)
        data = np.broadcast_to(shaped, (len(numbers), *info.sample_shape))
        kind = Frames if info.kind == "frames" else Signal
        chunk = kind(data, numbers / 1000, index=start, info=info, **more)
        begin, count = link.produced.get(chunk.epoch, (start, start))
        gaps = sum(gap.count for gap in chunk.gaps)
        device = gaps if start == count else 0  # gaps that the index does not show
        link.produced[chunk.epoch] = begin, max(written, stop + device)
        self.runner.handler("streams")(chunk)

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.runtime.advance(self.runtime.now + seconds)

    def call(self, command: str) -> Any:
        """Let it obey a command."""
        return call(self.runner, command, {})[0]

    def finish(self, *, ended: bool = True) -> dict[str, Any]:
        """End the streams if they are to, and the recorder; return its report."""
        for link in self.links.values():
            if ended:
                self.runner.input_ended(link)
        self.runner.finish()
        return self.node.report

    def _release(self) -> None:
        self.released += 1


def numbers_in(path: Path, stream: str = "amp.signal") -> list[int]:
    """Return the numbers of the samples in a file, or in what is to become it."""
    with open_recording(path) as recording:
        values: npt.NDArray[Any] = recording.streams[stream].data[:][:, 0]
        return [int(value) for value in values]


def notes_of(path: Path, *kinds: str) -> list[dict[str, Any]]:
    """Return the notes of some kinds in a file."""
    with open_recording(path) as recording:
        return [dict(note) for note in recording.notes if note["kind"] in kinds]

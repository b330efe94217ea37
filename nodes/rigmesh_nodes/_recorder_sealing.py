"""Sealing in the background: small captures in a thread, others in a process of their own.

That process outlives the recorder, whatever ends it, and is told nothing but the folder::

    python -m rigmesh_nodes._recorder_sealing session.h5.capture
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rigmesh import recording
from rigmesh.errors import RecordingError
from rigmesh.recording.summary import write_record

__all__ = ["Sealer"]

_SMALL = 32 * 2**20
"""Bytes that are sealed sooner than a process has started."""


class Sealer:
    """Makes files of captures, one after the other, while others are recorded.

    Parameters
    ----------
    tell : callable
        Told how much of what was given to it is sealed, 0 to 1.

    Attributes
    ----------
    failures : dict of Path to str
        Captures that could not be sealed, and why. Nothing of them is lost.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self.failures: dict[Path, str] = {}
        self._lock = threading.Lock()
        self._queue: deque[tuple[Path, bool]] = deque()
        self._thread: threading.Thread | None = None
        self._n_given = self._n_done = 0
        self._tell = tell

    def add(self, folder: Path, *, apart: bool = False) -> None:
        """Have a capture sealed.

        Parameters
        ----------
        folder : Path
            The capture, finished and closed.
        apart : bool
            In a process of its own even if it is small: this one may end first.
        """
        with self._lock:
            self._n_given += 1
            self._say()
            self._queue.append((folder, apart))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="sealing", daemon=True)
                self._thread.start()

    def try_again(self, *, apart: bool) -> None:
        """Try what has failed: there may be room now."""
        with self._lock:
            failed, self.failures = list(self.failures), {}
        for folder in failed:
            self.add(folder, apart=apart)

    def wait(self) -> None:
        """Return once all is done."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def leave(self) -> None:
        """Go on without anybody who waits; what is left when this process ends gets others."""
        atexit.register(self._leave_rest)

    def _leave_rest(self) -> None:
        with self._lock:
            left, self._queue = list(self._queue), deque()
        for folder, _ in left:
            _start(folder, subprocess.DEVNULL)

    def _work(self) -> None:
        while (item := self._next()) is not None:
            folder, apart = item
            why = "sealing it has ended unexpectedly"
            try:
                if apart or _size(folder) > _SMALL:
                    self._seal_apart(folder)
                else:
                    seal(folder)
                why = ""
            except (RecordingError, OSError) as error:
                why = str(error)
            finally:
                with self._lock:
                    if why:
                        self.failures[folder] = why
                    self._n_done += 1
                    self._say()

    def _say(self, share: float = 0.0) -> None:
        self._tell(round((self._n_done + share) / self._n_given, 3))

    def _next(self) -> tuple[Path, bool] | None:
        with self._lock:
            if self._queue:
                return self._queue.popleft()
            self._thread = None
            return None

    def _seal_apart(self, folder: Path) -> None:
        said, last = {}, ""
        with _start(folder, subprocess.PIPE) as process:
            for line in process.stdout or ():
                try:
                    told = json.loads(line)
                except ValueError:  # a traceback
                    last = line.strip() or last
                    continue
                if isinstance(told, dict):
                    said = told
                else:
                    self._say(min(told, 0.99))  # it has its name only when the process ends
        if "path" not in said:
            why = said.get("error") or last or f"its process ended with {process.returncode}"
            raise RecordingError(f"cannot seal {folder}: {why}")


def seal(folder: Path, progress: recording.Progress | None = None) -> Path:
    """Make the file of a capture, and the record beside it."""
    path = recording.seal(folder, progress)
    write_record(path)
    return path


def _start(folder: Path, stdout: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rigmesh_nodes._recorder_sealing", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is not meant for it
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _main(folder: Path) -> int:
    """Seal one capture; say how far it is, and at the end the file or what was wrong."""
    os.nice(5)
    last = 0.0

    def tell(done: int, total: int) -> None:
        nonlocal last
        share = done / total if total else 1.0
        if share - last >= 0.01:
            last = share
            _say(round(share, 3))

    try:
        _say({"path": str(seal(folder, tell))})
    except RecordingError as error:
        _say({"error": str(error)})
        return 1
    return 0


def _say(what: object) -> None:
    # Whoever started this may be gone.
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    status = _main(Path(sys.argv[1]))
    with contextlib.suppress(OSError):
        sys.stdout.close()
    os._exit(status)

"""The process of a script's windows, and what is said to it: a line of JSON each."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rigmesh.errors import ParameterError, StateError, UnknownName, Unsupported

__all__ = ["WindowProcess", "require_screen"]

_ANSWER_WITHIN = 60.0
_END_WITHIN = 10.0
_ERRORS = {error.__name__: error for error in (ParameterError, UnknownName, Unsupported)}


class WindowProcess:
    """Shows windows; it is started with the first of them, and ends with the script.

    Parameters
    ----------
    hear : callable
        Told, in a thread of its own, what happens in windows.
    socket : Path
        Of the daemon here, for windows that show it.
    """

    def __init__(self, hear: Callable[[Mapping[str, Any]], None], socket: Path) -> None:
        self._hear = hear
        self._socket = socket
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._numbers = itertools.count()
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = threading.Condition()
        self._writing = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; 0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it, if it does not run.

        Raises
        ------
        Unsupported
            If there is no screen, or Qt is not installed.
        """
        if self.is_alive:
            return
        self.close()
        require_screen()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rigmesh.viewers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RIGMESH_SOCKET": str(self._socket)},
            start_new_session=True,  # Ctrl-C is for the script, which closes them in good order
        )
        self._listener = threading.Thread(
            target=self._listen, args=(self._process,), name="windows", daemon=True
        )
        self._listener.start()

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something.

        Raises
        ------
        StateError
            If it died, or does not answer.
        ParameterError, UnknownName, Unsupported
            What it raised.
        """
        process, number = self._process, next(self._numbers)
        if process is None or process.stdin is None:
            raise StateError("no window is open")
        try:
            with self._writing:
                process.stdin.write(json.dumps({"id": number, "do": what, **arguments}) + "\n")
                process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._died() from None
        with self._news:
            come = self._news.wait_for(
                lambda: number in self._answers or process.poll() is not None, _ANSWER_WITHIN
            )
            answer = self._answers.pop(number, None)
        if answer is None:
            if come:
                raise self._died()
            raise StateError(f"the process of the windows does not answer ({what})")
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], StateError)(answer["error"])
        return answer

    def close(self) -> None:
        """End it, and all windows with it."""
        process, self._process = self._process, None
        if process is None or self._listener is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            said = json.loads(line)
            if "id" not in said:
                self._hear(said)
                continue
            with self._news:
                self._answers[said["id"]] = said
                self._news.notify_all()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        with self._news:
            self._news.notify_all()

    def _died(self) -> StateError:
        return StateError("the process of the windows has ended; what it said stands above")


def require_screen() -> None:
    """Refuse in words what Qt refuses by ending the process.

    Raises
    ------
    Unsupported
        If there is no screen, or PyQt5 is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("PyQt5") is None or importlib.util.find_spec("pyqtgraph") is None:
        raise Unsupported("windows need PyQt5 and pyqtgraph: pip install 'rigmesh[viewers]'")
    known = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if not any(os.environ.get(name) for name in known):
        raise Unsupported(
            "there is no screen for windows here: neither DISPLAY nor WAYLAND_DISPLAY is set; use "
            "`rigmesh web` and a browser, or QT_QPA_PLATFORM=offscreen to draw without one"
        )

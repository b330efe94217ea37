"""The process that shows the windows of a script, which tells it what to do by lines of JSON."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from typing import IO, Any

from PyQt5 import QtCore, QtWidgets

from rigmesh.display import Feed, give_way, graph_reader
from rigmesh.errors import RigmeshError, UnknownName
from rigmesh.viewers import make_window
from rigmesh.viewers.mistakes import survive_mistakes
from rigmesh.viewers.window import ViewerWindow

__all__ = ["WindowProcess", "run_process"]


class WindowProcess(QtCore.QObject):
    """Windows that are told what to do; each request is answered in the order they came.

    Parameters
    ----------
    out : text file
        Where answers and what happens in windows go.

    Attributes
    ----------
    asked : pyqtSignal(dict)
        A request, from any thread.
    ended : pyqtSignal
        Nobody asks any more.
    """

    asked = QtCore.pyqtSignal(dict)
    ended = QtCore.pyqtSignal()

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self._out = out
        self._windows: dict[str, ViewerWindow] = {}
        self.asked.connect(self._obey)
        self.ended.connect(self._end)

    def _obey(self, request: dict[str, Any]) -> None:
        try:
            answer = getattr(self, f"_do_{request['do']}")(request) or {}
        except Exception as error:  # as over any wire: who asks is told, and the rest goes on
            if not isinstance(error, RigmeshError):
                traceback.print_exception(error)
            answer = {"error": str(error), "kind": type(error).__name__}
        self._say({"id": request["id"], **answer})

    def _say(self, what: dict[str, Any]) -> None:
        print(json.dumps(what), file=self._out, flush=True)

    def _window(self, request: dict[str, Any]) -> ViewerWindow:
        name = request["window"]
        if name not in self._windows:
            raise UnknownName.among("window", name, self._windows)
        return self._windows[name]

    def _do_open(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["window"]
        window = make_window(request["type"], name, request["params"])
        window.changed.connect(lambda params: self._changed(name, params))
        window.closed.connect(lambda: self._closed(name))
        self._windows[name] = window
        window.show()
        return {"params": window.settings.parameters, "worker": window.worker_parameters()}

    def _do_link(self, request: dict[str, Any]) -> None:
        opener = graph_reader(request["where"], request["stream"])
        window, port, stream = self._window(request), request["port"], request["stream"]
        window.feeds[port, stream] = Feed(stream, opener, window.sink(port, stream))

    def _do_unlink(self, request: dict[str, Any]) -> None:
        window, port, stream = self._window(request), request["port"], request["stream"]
        feed = window.feeds.pop((port, stream), None)
        if feed is not None:
            feed.close()
            window.drop(port, stream)

    def _do_set(self, request: dict[str, Any]) -> dict[str, Any]:
        window = self._window(request)
        window.apply(request["params"])
        return {"worker": window.worker_parameters()}

    def _do_grab(self, request: dict[str, Any]) -> None:
        self._window(request).grab_to(request["path"])

    def _do_close(self, request: dict[str, Any]) -> None:
        self._window(request).close()

    def _changed(self, name: str, params: dict[str, Any]) -> None:
        worker = self._windows[name].worker_parameters()
        self._say_of(name, "changed", params=params, worker=worker)

    def _closed(self, name: str) -> None:
        window = self._windows.pop(name, None)
        if window is not None:
            window.deleteLater()
            self._say_of(name, "closed")

    def _say_of(self, name: str, event: str, **more: Any) -> None:
        self._say({"event": event, "window": name, **more})

    def _end(self) -> None:
        for window in list(self._windows.values()):
            window.close()
        application = QtWidgets.QApplication.instance()
        if application is not None:
            application.quit()


def _print_message(_kind: Any, _where: Any, message: str | None) -> None:
    """Print what Qt says, but for what it says of every window drawn without a screen."""
    if message and not message.startswith(("This plugin does not support", "QStandardPaths")):
        sys.stderr.write(f"{message}\n")


def run_process() -> int:
    """Show what is asked for on the standard input, until that ends; return the exit code."""
    give_way()
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is not for who asks
    QtCore.qInstallMessageHandler(_print_message)
    application = QtWidgets.QApplication(["rigmesh"])
    application.setQuitOnLastWindowClosed(False)
    survive_mistakes()
    process = WindowProcess(out)

    def listen() -> None:
        for line in sys.stdin:
            process.asked.emit(json.loads(line))
        process.ended.emit()

    threading.Thread(target=listen, name="requests", daemon=True).start()
    return application.exec()

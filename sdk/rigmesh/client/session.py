"""Session groups: processes that the script starts as its own user, for its own classes."""

from __future__ import annotations

import contextlib
import inspect
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rigmesh.client.connection import Connection
from rigmesh.errors import DaemonError, Unsupported
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["SessionGroup", "Sessions"]

_START_WITHIN = 30.0
_END_WITHIN = 20.0


class Sessions:
    """The session groups of one manager."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._groups: dict[type, SessionGroup] = {}

    def type_of(self, cls: type) -> tuple[str, str]:
        """Have a process that knows the script's class; return its group and the type's name.

        Raises
        ------
        Unsupported
            If another process could not import the class.
        """
        if not inspect.isclass(cls):
            raise Unsupported(f"{cls!r} is neither the name of a node type nor a class")
        group = self._groups.get(cls)
        if group is None:
            # Two clients of one daemon may have classes of one name.
            name = f"session-{os.getpid()}-{cls.__name__}"
            group = SessionGroup(name, cls, self._connection.socket.parent / "sessions")
            self._groups[cls] = group
            request = pb.RegisterGroupRequest(name=name, socket=str(group.socket))
            self._connection.call(self._connection.stub.RegisterGroup, request)
        return group.name, f"{group.name}/{cls.__name__}"

    def close(self) -> None:
        """End them all."""
        for group in self._groups.values():
            group.close()


class SessionGroup:
    """A process for the nodes of one class of the script.

    Parameters
    ----------
    name : str
        Name of the group.
    cls : type
        The class.
    folder : Path
        Where its socket, and the source of a notebook's class, go.
    """

    def __init__(self, name: str, cls: type, folder: Path) -> None:
        self.name = name
        self.socket = folder / f"{name}.group"
        # A system daemon's folder is open to its group, and so the socket has to be to it.
        shared = ["--shared"] if folder.stat().st_mode & stat.S_IWGRP else []
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rigmesh_daemon.group",
                name,
                self.socket,
                *shared,
                "--load",
                f"{_source_of(cls, folder)}:{cls.__qualname__}",
            ],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_WITHIN
        while not self.socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise DaemonError(f"the process for {cls.__qualname__} did not start; see above")
            time.sleep(0.01)

    def close(self) -> None:
        """End it, if the daemon has not."""
        try:
            self._process.wait(_END_WITHIN if self.socket.exists() else 1.0)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_WITHIN)
            self._process.kill()
        self._process.wait()
        self.socket.unlink(missing_ok=True)


def _source_of(cls: type, folder: Path) -> str:
    """Return a module name or a file from which another process can import the class."""
    if "<locals>" in cls.__qualname__:
        raise Unsupported(f"{cls.__qualname__} is defined inside a function; move it to the top")
    if cls.__module__ != "__main__":
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None)
        importable = cls.__module__.partition(".")[0] in sys.stdlib_module_names or (
            file is not None and "site-packages" in file
        )
        return cls.__module__ if importable or file is None else str(Path(file).resolve())
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if file is not None:
        return str(Path(file).resolve())
    return str(_write_notebook(main, cls, folder))


def _write_notebook(main: Any, cls: type, folder: Path) -> Path:
    """Write what a notebook has defined so far into a module: imports, functions and classes.

    Cells that do something (create a Manager, start, plot) must not run a second time.
    """
    import ast

    cells = list(getattr(main, "In", ()))
    if not cells:
        with contextlib.suppress(OSError, TypeError):
            cells = [inspect.getsource(cls)]
    kept: list[ast.stmt] = []
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for cell in cells:
        try:
            tree = ast.parse(cell)
        except SyntaxError:  # a cell with IPython's own syntax defines no node
            continue
        kept += [
            s
            for s in tree.body
            if isinstance(s, definitions)
            or (isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant))
        ]
    if not any(isinstance(s, ast.ClassDef) and s.name == cls.__name__ for s in kept):
        raise Unsupported(f"the source of {cls.__name__} cannot be found; write it into a file")
    path = folder / f"notebook_{cls.__name__}.py"
    path.write_text(ast.unparse(ast.Module(kept, [])), encoding="utf-8")
    return path

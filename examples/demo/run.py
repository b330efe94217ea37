"""The demo: a recording is played over LSL, rigmesh records it, and every sample is checked.

Starts a player and a listener, which are plain LSL programs and share no code with rigmesh, and
rigmesh with the graph in ``physiology.yaml``; at the end it holds what they wrote down against the
recording. LSL stays on the loopback interface, in a session of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from rigmesh.transports.lslconfig import lsl_config

HERE = Path(__file__).parent
GRAPH = HERE.parent / "physiology.yaml"
SEARCHED = {"filtered": "rigmesh ECG", "beats": "rigmesh heart beats"}
"""Streams that the graph publishes over LSL, by their key in the listener's log."""


class DemoError(Exception):
    """A step of the demo did not happen."""


class Program:
    """A program that was started; what it says is shown and can be waited for."""

    def __init__(self, name: str, *command: str | Path, env: dict[str, str]) -> None:
        self.name = name
        self._lines: list[str] = []
        self._is_over = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            # Ctrl-C in a terminal is for us; each program is ended in its turn.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            text = line.rstrip().removeprefix(f"{self.name}: ")
            print(f"{self.name:>8}  {text}", flush=True)
            with self._changed:
                self._lines.append(text)
                self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _has_said(self, beginning: str) -> bool:
        return any(line.startswith(beginning) for line in self._lines)

    def wait_for(self, beginning: str, timeout: float) -> None:
        """Wait until it says a line that begins so."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or self._has_said(beginning), timeout)
            if self._has_said(beginning):
                return
            waited = (
                "ended and did not" if self._is_over else f"let {timeout:.0f} s pass and did not"
            )
            raise DemoError(f"{self.name} {waited} say {beginning!r}")

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def wait(self, timeout: float) -> int:
        """Wait for its end; return its exit status."""
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self.name} did not end within {timeout:.0f} s") from None
        self._reader.join(timeout)
        return status

    def interrupt(self) -> None:
        """Do as Ctrl-C would."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """End it, whatever it does."""
        for number, patience in ((signal.SIGINT, 20.0), (signal.SIGKILL, 5.0)):
            if self._process.poll() is None:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)


@contextlib.contextmanager
def ending(programs: list[Program]) -> Iterator[None]:
    """End what was started, the last first, whatever happens in between."""
    try:
        yield
    finally:
        # Once more Ctrl-C must not leave anything behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for program in reversed(programs):
            program.end()


def perform(output: Path, duration: float, env: dict[str, str]) -> None:
    """Play and record, and leave the file and the logs in `output`."""
    programs: list[Program] = []

    def start(name: str, *command: str | Path) -> Program:
        programs.append(Program(name, *command, env=env))
        return programs[-1]

    with ending(programs):
        player = start(
            "player", sys.executable, HERE / "player.py", "--hold",
            "--log", output / "played.npz", "--duration", str(duration),
        )  # fmt: skip
        rigmesh = start(
            "rigmesh", Path(sys.executable).with_name("rigmesh"), "run", GRAPH, "--private",
            "--set", f"recorder.path={output / 'recording.h5'}",
        )  # fmt: skip
        listener = start(
            "listener", sys.executable, HERE / "listener.py", "--log", output / "received.npz",
            *(f"{key}={name}" for key, name in SEARCHED.items()),
        )  # fmt: skip
        player.wait_for("ready", timeout=60)
        listener.wait_for("connected", timeout=60)
        player.say("go")
        player.wait_for("done", timeout=duration + 30)
        # It ends when nothing has come for a while: then all is through.
        listener.wait(timeout=30)
        rigmesh.interrupt()
        status = rigmesh.wait(timeout=60)
        if status not in (0, 3):  # 3: recorded, with gaps; the comparison will show them
            raise DemoError(f"rigmesh ended with status {status}")
        player.wait(timeout=30)


def main() -> int:
    """Run the demo; the exit status says whether everything was as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds to play")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to fill")
    options = parser.parse_args()

    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    for name in ("recording.h5", "played.npz", "received.npz", "recording.png"):
        (output / name).unlink(missing_ok=True)
    config = output / "lsl_api.cfg"
    session = f"rigmesh-demo-{uuid.uuid4().hex[:8]}"
    config.write_text(lsl_config(session, loopback_only=True), encoding="utf-8")
    env = {**os.environ, "LSLAPICFG": str(config), "PYTHONUNBUFFERED": "1"}

    # A demo that is told to end ends its programs, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        perform(output, options.duration, env)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130

    print(flush=True)
    files = [output / name for name in ("recording.h5", "played.npz", "received.npz")]
    verified = subprocess.run([sys.executable, HERE / "verify.py", *files], check=False)
    picture = output / "recording.png"
    subprocess.run([sys.executable, HERE / "picture.py", files[0], picture], check=True)
    print(f"\nrecording  {files[0]}\npicture    {picture}")
    return verified.returncode


if __name__ == "__main__":
    sys.exit(main())

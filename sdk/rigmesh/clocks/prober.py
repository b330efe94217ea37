"""Measures another host's clock: ``python -m rigmesh.clocks.prober HOST PORT``.

A process of its own, so that nothing else delays a probe. It reads the session key, a line of 64
hexadecimal digits, from its standard input, and another one whenever the peer has a new key; prints
a line of JSON for each wave of probes; and ends when its standard input is closed. `Prober` is the
side of whoever starts it, `CallProber` the same over a function, for networks that pass only TCP.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Self, cast

from rigmesh.clocks._waves import ClockWave, Rounds, WaveSender
from rigmesh.clocks.estimate import ClockEstimate
from rigmesh.clocks.probe import Cipher, Probe, key_from_hex
from rigmesh.errors import ParameterError

__all__ = ["CallProber", "ClockWave", "OnWave", "Prober", "main"]

_log = logging.getLogger(__name__)

_END_WITHIN = 2.0


OnWave = Callable[[ClockWave], None]


class _Keys:
    """The keys from the standard input."""

    def __init__(self) -> None:
        self._keys: queue.SimpleQueue[Cipher] = queue.SimpleQueue()

    def read(self) -> None:
        """Read lines until there are no more, and end the process then."""
        for line in sys.stdin.buffer:
            try:
                self._keys.put(Cipher(key_from_hex(line.decode("ascii", "replace").strip())))
            except ParameterError as error:
                sys.stderr.write(f"{error}\n")
        # The main thread may be in a look-up of a name, which takes as long as it takes.
        os._exit(0)

    def next(self, timeout: float | None = None) -> Cipher | None:
        """Return the next key, if there is one within the time, in seconds."""
        try:
            return self._keys.get(timeout=timeout)
        except queue.Empty:
            return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Probe until the standard input is closed."""
    parser = argparse.ArgumentParser(prog="rigmesh.clocks.prober", description=__doc__)
    parser.add_argument("host", help="name or address of the responder's host")
    parser.add_argument("port", type=int, help="UDP port of the responder")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this
    keys = _Keys()
    threading.Thread(target=keys.read, daemon=True).start()
    sender = WaveSender(options.host, options.port)
    rounds = Rounds()
    cipher = keys.next()
    gc.freeze()
    gc.disable()
    while cipher is not None:
        begin = time.monotonic()
        probes = sender.wave(cipher)
        wave = ClockWave(rounds.take(probes), tuple(probes), sender.n_ignored)
        try:
            sys.stdout.write(json.dumps(wave.to_json()) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(0)
        gc.collect()  # here, where it delays no probe
        newer = keys.next(rounds.pause(probes, time.monotonic() - begin))
        if newer is not None:
            cipher = newer
            rounds.restart()


class Prober:
    """A process that measures a peer's clock, seen from the one that started it.

    Parameters
    ----------
    host : str
        Name or address of the peer.
    port : int
        UDP port of its responder.
    key : bytes
        32 bytes that the peer's responder has too.
    on_wave : callable
        Is given each wave, in a thread of its own.

    Examples
    --------
    ::

        with Prober("rig-2", 5679, key, on_wave=record) as prober:
            …
            local = prober.estimate.model().to_local(stamps)
    """

    def __init__(self, host: str, port: int, key: bytes, on_wave: OnWave | None = None) -> None:
        self._name = f"{host}:{port}"
        self._latest = ClockEstimate()
        self._on_wave = on_wave
        self._is_closing = False
        Cipher(key)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rigmesh.clocks.prober", host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._keys = cast("IO[bytes]", self._process.stdin)
        self._waves = cast("IO[bytes]", self._process.stdout)
        self.rekey(key)
        self._thread = threading.Thread(
            target=self._read, name=f"clock of {self._name}", daemon=True
        )
        self._thread.start()

    @property
    def estimate(self) -> ClockEstimate:
        """What is known of the peer's clock now."""
        return self._latest.at(time.monotonic())

    @property
    def is_running(self) -> bool:
        """Whether the process lives; if not, nothing is measured any more."""
        return self._process.poll() is None

    def rekey(self, key: bytes) -> None:
        """Go on with another session key: the peer has restarted."""
        Cipher(key)
        try:
            self._keys.write(key.hex().encode("ascii") + b"\n")
            self._keys.flush()
        except BrokenPipeError:  # it has died, which `is_running` tells
            _log.warning("the clock of %s is not measured any more", self._name)

    def close(self) -> None:
        """End the process."""
        self._is_closing = True
        with contextlib.suppress(BrokenPipeError):
            self._keys.close()
        try:
            self._process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self) -> None:
        try:
            with self._waves:
                for line in self._waves:
                    wave = ClockWave.from_json(json.loads(line))
                    self._latest = wave.estimate
                    if self._on_wave is not None:
                        self._on_wave(wave)
        finally:
            if not self._is_closing:
                self._process.kill()  # nobody reads its waves any more
                _log.warning("the clock of %s is not measured any more", self._name)


class CallProber:
    """Measures a peer's clock by calls, where its responder cannot be reached.

    A call to a server takes ten times as long as a probe, and waits for other threads on both
    sides; so there are 64 in a wave, of which the fastest counts.

    Parameters
    ----------
    call : callable
        Asks the peer; returns the four times of a `Probe`, or raises an `OSError` if there was no
        answer.
    on_wave : callable
        Is given each wave, in a thread of its own.
    """

    N_CALLS = 64
    _SPACING = 0.016

    def __init__(
        self, call: Callable[[], tuple[int, int, int, int]], on_wave: OnWave | None = None
    ) -> None:
        self._call = call
        self._on_wave = on_wave
        self._latest = ClockEstimate()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock by calls", daemon=True)
        self._thread.start()

    @property
    def estimate(self) -> ClockEstimate:
        """What is known of the peer's clock now."""
        return self._latest.at(time.monotonic())

    @property
    def is_running(self) -> bool:
        """Whether it goes on measuring."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Make no more calls; wait for the one that is under way."""
        self._end.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _run(self) -> None:
        rounds = Rounds()
        while not self._end.is_set():
            begin = time.monotonic()
            probes = tuple(self._wave())
            wave = ClockWave(rounds.take(probes), probes)
            self._latest = wave.estimate
            if self._on_wave is not None:
                self._on_wave(wave)
            # Twice as long as for probes, which are eight times less work.
            self._end.wait(2 * rounds.pause(probes, time.monotonic() - begin))

    def _wave(self) -> list[Probe]:
        probes: list[Probe] = []
        for number in range(self.N_CALLS):
            try:
                probes.append(Probe(*self._call()))
            except OSError:  # one that is lost; if all are, the peer is away
                if not probes:
                    break
            # In fours, so that most find both sides awake.
            if number % 4 == 3 and self._end.wait(self._SPACING):
                break
        return probes


if __name__ == "__main__":
    main()

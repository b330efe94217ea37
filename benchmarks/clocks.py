"""How well the clock of another machine is known, beside LSL, between namespaces in the same run.

``python -m benchmarks.clocks`` prints a table and writes it to ``benchmarks/results``. Two machines
are made of namespaces; the clock of one is 1000 s ahead of the other's, exactly. All measure it at
the same time, first with nothing else running, then with three programs that compute all the time:

* probes: `rigmesh.clocks.prober` against `rigmesh.clocks.responder`.
* calls: `CallProber` over gRPC, the way for networks that pass only TCP.
* LSL: ``time_correction`` of an inlet, against a plain outlet.
* fast: probes of a responder whose clock is 200 ppm too fast, for 60 s through idle and busy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import grpc
from benchmarks.hop import machine
from tests.system.machines import Machine, Network, why_not

from rigmesh.clocks.estimate import ClockEstimate
from rigmesh.clocks.prober import CallProber, ClockWave
from rigmesh.transports.lslconfig import lsl_config

AHEAD = 1000
KEY = bytes(range(32)).hex()
PORT, FAST_PORT, CALL_PORT = 5679, 5680, 5681
PPM = 200
METHOD = "/rigmesh.bench.Clock/Ask"
TIMES = struct.Struct("!qq")


def fast_responder() -> None:
    """Answer with a clock that is 200 ppm too fast."""
    from rigmesh.clocks.probe import key_from_hex
    from rigmesh.clocks.responder import Responder, bind

    key = key_from_hex(sys.stdin.readline().strip())
    begin = time.monotonic_ns()

    def clock() -> int:
        now = time.monotonic_ns()
        return now + (now - begin) * PPM // 1_000_000

    responder = Responder(bind("0.0.0.0", FAST_PORT), key, clock)
    print(json.dumps({"begin": begin / 1e9}), flush=True)
    while True:
        responder.answer_one()


async def serve_calls() -> None:
    """Answer calls with the two times, from an asyncio server, as a daemon is one."""

    async def ask(request: bytes, context: Any) -> bytes:
        return TIMES.pack(time.monotonic_ns(), time.monotonic_ns())

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(ask)
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    server.add_insecure_port(f"0.0.0.0:{CALL_PORT}")
    await server.start()
    print("{}", flush=True)
    await server.wait_for_termination()


def probe_by_calls(address: str) -> None:
    """Print a line for each wave of calls."""
    channel = grpc.insecure_channel(f"{address}:{CALL_PORT}")
    ask: Callable[..., bytes] = channel.unary_unary(METHOD)

    def call() -> tuple[int, int, int, int]:
        t0 = time.monotonic_ns()
        try:
            t1, t2 = TIMES.unpack(ask(b"", timeout=2))
        except grpc.RpcError as error:
            raise ConnectionError("no answer") from error
        return t0, t1, t2, time.monotonic_ns()

    with CallProber(call, on_wave=lambda wave: print(json.dumps(wave.to_json()), flush=True)):
        threading.Event().wait()


def lsl_outlet() -> None:
    """Stream 32 channels at 1 kHz."""
    import pylsl

    outlet = pylsl.StreamOutlet(pylsl.StreamInfo("clock", "EEG", 32, 1000, "float32", "clock"))
    print("{}", flush=True)
    while True:
        outlet.push_chunk([[0.0] * 32] * 10)
        time.sleep(0.01)


def lsl_inlet() -> None:
    """Print the correction whenever LSL has a new one."""
    import pylsl

    found = pylsl.resolve_byprop("name", "clock", timeout=20)
    begin = time.monotonic()
    inlet = pylsl.StreamInlet(found[0])
    last = math.nan
    while True:
        offset = inlet.time_correction(20)
        if offset != last:
            last = offset
            line = {"offset": offset, "time": time.monotonic(), "took": time.monotonic() - begin}
            print(json.dumps(line), flush=True)
        time.sleep(0.1)


ROLES: dict[str, Callable[[], None]] = {
    "fast": fast_responder,
    "calls": lambda: asyncio.run(serve_calls()),
    "outlet": lsl_outlet,
    "inlet": lsl_inlet,
}


@dataclass
class Found:
    """What one way told in one phase."""

    errors: list[float] = field(default_factory=list)
    uncertainties: list[float] = field(default_factory=list)
    n_within: int = 0

    def add(self, estimate: ClockEstimate, error: float) -> None:
        self.errors.append(error)
        self.uncertainties.append(estimate.uncertainty)
        self.n_within += abs(error) <= estimate.uncertainty


class Reader(threading.Thread):
    """Takes the lines of one process, and files what they say under the present phase."""

    phase = "start"

    def __init__(self, process: subprocess.Popen[str], take: Callable[[dict[str, Any]], None]):
        super().__init__(daemon=True)
        self._lines = cast("IO[str]", process.stdout)
        self._take = take
        self.start()

    def run(self) -> None:
        for line in self._lines:
            self._take(json.loads(line))


def start(
    host: Machine, *words: str, key: bool = False, env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = host.run(
        [sys.executable, *words],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    if key:
        given = cast("IO[str]", process.stdin)
        given.write(KEY + "\n")
        given.flush()
    return process


def role(host: Machine, name: str, **options: Any) -> subprocess.Popen[str]:
    return start(host, "-m", "benchmarks.clocks", "--role", name, **options)


def first(process: subprocess.Popen[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(cast("IO[str]", process.stdout).readline())
    return line


def first_estimates(here: Machine, there: Machine, n: int) -> list[float]:
    """Start probers; return the seconds from each start until there is an estimate."""
    found = []
    for _ in range(n):
        begin = time.monotonic()
        asks = start(here, "-m", "rigmesh.clocks.prober", there.address, str(PORT), key=True)
        while not first(asks)["probes"]:
            pass
        found.append(time.monotonic() - begin)
        asks.kill()
    return found


def first_corrections(here: Machine, env: dict[str, str], n: int) -> list[float]:
    """Start inlets; return the seconds from each one's making until LSL has a correction."""
    found = []
    for _ in range(n):
        inlet = role(here, "inlet", env=env)
        found.append(first(inlet)["took"])
        inlet.kill()
    return found


@dataclass
class Results:
    """What all told, by phase and way."""

    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    first: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    fast: list[tuple[float, ClockEstimate, float]] = field(default_factory=list)
    """Seconds, estimate, and error of the clock that is too fast."""

    def of(self, way: str) -> Found:
        return self.found.setdefault((Reader.phase, way), Found())


def measure(seconds: float, n_starts: int, *, n_hogs: int = 3) -> Results:
    results = Results()

    def wave(way: str, line: dict[str, Any]) -> None:
        estimate = ClockWave.from_json(line).estimate
        now = time.monotonic()
        error = estimate.model().to_local(now + AHEAD) - now
        results.of(way).add(estimate.at(now), error)

    def correction(line: dict[str, Any]) -> None:
        results.of("LSL").errors.append(line["offset"] + AHEAD)

    with Network() as network, tempfile.TemporaryDirectory() as folder:
        here, there = network.machine("here"), network.machine("there", monotonic=AHEAD)
        config = Path(folder) / "lsl_api.cfg"
        config.write_text(lsl_config("clocks", [there.address]), encoding="utf-8")
        env = {"LSLAPICFG": str(config)}
        first(start(there, "-m", "rigmesh.clocks.responder", "--port", str(PORT), key=True))
        first(role(there, "calls"))
        first(role(there, "outlet", env=env))
        begin = first(role(there, "fast", key=True))["begin"]

        def too_fast(line: dict[str, Any]) -> None:
            estimate = ClockWave.from_json(line).estimate
            now = time.monotonic()
            theirs = now + AHEAD
            theirs += (theirs - begin) * PPM * 1e-6
            results.fast.append((now - opened, estimate, estimate.model().to_local(theirs) - now))

        opened = time.monotonic()
        words = ("-m", "rigmesh.clocks.prober", there.address)
        Reader(start(here, *words, str(PORT), key=True), lambda line: wave("probes", line))
        Reader(start(here, *words, str(FAST_PORT), key=True), too_fast)
        calls = start(here, "-m", "benchmarks.clocks", "--role", "caller", there.address)
        Reader(calls, lambda line: wave("calls", line))
        Reader(role(here, "inlet", env=env), correction)
        time.sleep(3)
        for phase, n in (("idle", 0), ("busy", n_hogs)):
            print(f"{phase}: {seconds:g} s", flush=True)
            hogs = [there.run([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
            Reader.phase = phase
            time.sleep(seconds)
            Reader.phase = "between"
            results.first[phase, "probes"] = first_estimates(here, there, n_starts)
            results.first[phase, "LSL"] = first_corrections(here, env, n_starts)
            for hog in hogs:
                hog.kill()
    return results


def table(results: Results) -> str:
    lines = [
        "| way | machine | waves | error: mean µs | sd | largest | uncertainty: median µs "
        "| truth within | first estimate: median s | slowest |",
        "|---|---|" + 8 * "---:|",
    ]
    for way in ("probes", "calls", "LSL"):
        for phase in ("idle", "busy"):
            found = results.found.get((phase, way), Found())
            micros = [error * 1e6 for error in found.errors]
            if len(micros) < 2:
                lines.append(f"| {way} | {phase} | {len(micros)} | | | | | | | |")
                continue
            cells = [
                way,
                phase,
                str(len(micros)),
                f"{statistics.fmean(micros):+.0f}",
                f"{statistics.stdev(micros):.0f}",
                f"{max(map(abs, micros)):.0f}",
            ]
            if found.uncertainties:
                cells.append(f"{statistics.median(found.uncertainties) * 1e6:.0f}")
                cells.append(f"{100 * found.n_within / len(micros):.0f} %")
            else:
                cells += ["", ""]
            starts = results.first.get((phase, way))
            cells += (
                [f"{statistics.median(starts):.2f}", f"{max(starts):.2f}"] if starts else 2 * [""]
            )
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## A clock that is 200 ppm too fast", ""]
    lines += [
        "| after s | drift ppm | error µs | uncertainty µs | state |",
        "|---:|---:|---:|---:|---|",
    ]
    for after in (1, 5, 10, 20, 30, 60):
        told = [one for one in results.fast if one[0] <= after + 2]
        if told and told[-1][0] >= after - 2:
            seconds, estimate, error = told[-1]
            lines.append(
                f"| {seconds:.0f} | {estimate.drift * 1e6:+.2f} | {error * 1e6:+.0f} "
                f"| {estimate.uncertainty * 1e6:.0f} | {estimate.state} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a phase")
    parser.add_argument("--starts", type=int, default=5, help="how often all start anew")
    parser.add_argument("--quick", action="store_true", help="5 s a phase; nothing is kept")
    parser.add_argument("--role", choices=[*ROLES, "caller"], help=argparse.SUPPRESS)
    parser.add_argument("address", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "caller":
        probe_by_calls(options.address)
    elif options.role:
        ROLES[options.role]()
    else:
        if reason := why_not():
            sys.exit(reason)
        before = machine()
        seconds, n_starts = (5.0, 1) if options.quick else (options.seconds, options.starts)
        text = table(measure(seconds, n_starts))
        print(text)
        if not options.quick:
            head = f"# Clocks of two machines ({time.strftime('%Y-%m-%d')})"
            about = "- machines: network and time namespaces, joined by veth and a bridge\n"
            about += f"- {seconds:g} s idle, {seconds:g} s busy: 3 programs compute all the time"
            about += f" on {os.cpu_count()} cores\n"
            about += f"- first estimate: {n_starts} starts, of the process; for LSL, of the inlet\n"
            path = Path(__file__).parent / "results" / "clocks.md"
            path.write_text(f"{head}\n\n{before}{about}\n{text}", encoding="utf-8")
            print(f"kept in {path}")


if __name__ == "__main__":
    main()

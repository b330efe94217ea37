"""What is measured, and what there is to reach."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.loop.measured import Check

__all__ = ["HOPS", "LOOPS", "RECORDED", "Hop", "Loop", "Recorded"]

BARE = "bare loop"
FALCON = "Falcon-like"
RING = "bare ring"


@dataclass(frozen=True, slots=True)
class Loop:
    """A closed loop: UDP packet → stages → detector → byte on a pty.

    Parameters
    ----------
    name : str
        Of the cell.
    pipelines, stages : int
        Pipelines of 4 channels each, and filters in a row.
    rate : float
        Packets per second.
    layout : str
        ``replicas``: one node a stage over the stacked channels; ``nodes``: one for each pipeline;
        ``biquads``: as replicas, with three second-order sections a stage.
    peers : tuple of str
        What runs beside.
    checks : tuple of Check
        What there is to reach.
    """

    name: str
    pipelines: int
    stages: int
    rate: float = 1000.0
    layout: str = "replicas"
    peers: tuple[str, ...] = (BARE, FALCON)
    checks: tuple[Check, ...] = ()

    @property
    def n_channels(self) -> int:
        """In all."""
        return 4 * self.pipelines


@dataclass(frozen=True, slots=True)
class Hop:
    """A link between two processes.

    Parameters
    ----------
    name : str
        Of the cell.
    payload : str
        What is sent; see :mod:`benchmarks.loop.payload`.
    unit : str
        ``µs``, ``MB/s`` or ``messages/s``.
    peers : tuple of str
        What runs beside.
    checks : tuple of Check
        What there is to reach.
    """

    name: str
    payload: str
    unit: str
    peers: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def _times_bare(limit: float) -> tuple[Check, ...]:
    return Check("median", 1.5, of=BARE), Check("p99", limit)


LOOPS = (
    Loop("1 × 1", 1, 1, checks=_times_bare(120)),
    Loop("1 × 8", 1, 8, checks=_times_bare(150)),
    Loop("8 × 8", 8, 8, checks=_times_bare(200)),
    Loop("32 × 8", 32, 8, checks=(*_times_bare(250), Check("cpu", 0.10))),
    Loop(
        "32 × 8, 256 nodes",
        32,
        8,
        layout="nodes",
        peers=(),
        checks=(Check("median", 450), Check("p99", 1200)),
    ),
    Loop(
        "8 × 8 at 5,333/s",
        8,
        8,
        rate=5333.0,
        checks=(*_times_bare(250), Check("lost", 0)),
    ),
    Loop(
        "32 × 8, biquads",
        32,
        8,
        layout="biquads",
        peers=(BARE,),
        checks=(Check("median", 200),),
    ),
)

_EVERY_PEER = (RING, "bare ring, semaphore", "Pipe", "pyzmq", "pylsl", "ezmsg")

HOPS = (
    Hop(
        "32 ch × 30 float32 at 1 kHz",
        "eeg",
        "µs",
        _EVERY_PEER,
        (Check("median", 1.3, of=RING), Check("p99", 150)),
    ),
    Hop(
        "1024 ch × 30 int16 at 1 kHz",
        "probe",
        "µs",
        (RING, "Pipe", "pyzmq", "pylsl"),
        (Check("median", 40), Check("p99", 150)),
    ),
    Hop(
        "1 MiB chunks, flat out",
        "big",
        "MB/s",
        (RING, "Pipe", "pyzmq", "pylsl", "ezmsg"),
        (Check("rate", 0.85, of=RING, is_least=True),),
    ),
    Hop(
        "32 ch × 1 float32, flat out",
        "tiny",
        "messages/s",
        (RING, "Pipe", "pyzmq", "pylsl", "ezmsg"),
        (Check("rate", 300_000, is_least=True),),
    ),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A figure that was not measured in this run.

    Parameters
    ----------
    cell, system : str
        What of, and what was measured.
    figure : str
        The figure.
    source : str
        Where it is from; one of `SOURCES`.
    """

    cell: str
    system: str
    figure: str
    source: str


SOURCES = {
    "a": "Falcon's code of 2016–2019 (github.com/falcon-eyrie/falcon-legacy, 1666c05), run in "
    "November 2026 on two virtual cores (AMD EPYC, KVM), its own UDP test bench as the source, its "
    "dummy device as the output; two figures: default priorities, and all threads SCHED_FIFO",
    "b": "own programs of November 2026 on the same kind of machine: Timeflux 0.17.2, ezmsg 3.9.0, "
    "Redis 7.0.15 with redis-py (XADD and XREAD, as BRAND uses them), Pyacq's streams (plain data "
    "over TCP, and shared memory); Timeflux and ezmsg at raised priority",
    "c": "BRAND: J Neural Eng 21:026046 (2024)",
    "d": "Falcon 2.0: abstract of the FENS Forum 2026",
}

RECORDED = (
    Recorded("1 × 1", "Falcon (no output written)", "median 56–84 µs", "a"),
    Recorded("1 × 8", "Falcon (no output written)", "median 154–291 µs", "a"),
    Recorded("1 × 8", "Timeflux, one graph, at 780 of 1,000 Hz", "median 134, p99 335 µs", "b"),
    Recorded("1 × 8", "ezmsg, one process", "median 325, p99 829 µs", "b"),
    Recorded("8 × 8", "Falcon (no output written)", "median 312–529 µs", "a"),
    Recorded("32 × 8", "Falcon (no output written)", "median 963–2,696 µs, CPU 162–166 %", "a"),
    Recorded("32 × 8", "ezmsg, at 85 of 100 Hz", "median 101 ms", "b"),
    Recorded("8 × 8 at 5,333/s", "Falcon", "median 859, p99 11,862 µs; lost 560 of 200,000", "a"),
    Recorded("32 ch × 30", "Pyacq (one of its streams)", "median 131–206 µs", "b"),
    Recorded("32 ch × 30", "ezmsg", "median 276–286, p99 501–541 µs", "b"),
    Recorded("1024 ch × 30", "BRAND (its kind of stream)", "median 223–261, p99 967–1,309 µs", "b"),
    Recorded("1024 ch × 30", "BRAND, node to node", "< 600 µs", "c"),
    Recorded("1 MiB", "ezmsg", "5,900–6,400 MB/s", "b"),
    Recorded("whole loop", "Falcon 2.0", "153 µs, 99 % within 132–233 µs", "d"),
)

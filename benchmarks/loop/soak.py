"""Ten minutes of one closed loop: nothing may be lost. ``python -m benchmarks.loop.soak``.

8 × 8 as replicas at 5,333 packets a second; the histogram of rigmesh's own counters is kept in
``benchmarks/results/soak.md``. Ends with status 1 if a sample or a trigger is missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass

from benchmarks.hop import machine
from benchmarks.loop.cells import LOOPS
from benchmarks.loop.ours import Rig, Soaked
from benchmarks.loop.processes import ROOT, BenchError

__all__ = ["main", "soak"]

CELL = next(cell for cell in LOOPS if cell.name == "8 × 8 at 5,333/s")
_BAR = 40


@dataclass(frozen=True)
class Verdict:
    """What is wrong, if anything is."""

    missing: dict[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not any(self.missing.values())


def soak(seconds: float) -> tuple[Soaked, Verdict]:
    """Run the loop; return what came and what did not."""
    with Rig() as rig:
        found = rig.soak(CELL, seconds)
    return found, Verdict(
        {
            "packets": found.sent.packets - found.packets,
            "samples at the last stage": 6 * found.packets - found.samples,
            "triggers": abs(found.sent.events - found.written),
        }
    )


def drawn(found: Soaked) -> list[str]:
    """Draw the histogram with one line for each doubling of the latency."""
    lines: dict[int, int] = {}
    for low, _, count in found.histogram.bins():
        lines[(int(low * 1e6) + 1).bit_length()] = (
            lines.get((int(low * 1e6) + 1).bit_length(), 0) + count
        )
    most = max(lines.values(), default=1)
    return [
        f"{2 ** (power - 1):>7,} µs {'█' * -(-_BAR * count // most):{_BAR}} {count:,}"
        for power, count in sorted(lines.items())
    ]


def report(found: Soaked, verdict: Verdict, seconds: float) -> str:
    """Return the page that is kept."""
    p50, p99, p999 = (1e6 * found.histogram.percentile(p) for p in (50, 99, 99.9))
    rows = [f"| {name} missing | {count:,} |" for name, count in verdict.missing.items()]
    return "\n".join(
        [
            f"# Soak of the closed loop ({time.strftime('%Y-%m-%d')})",
            "",
            machine().rstrip(),
            f"- 8 × 8 as replicas, {CELL.rate:,.0f} packets/s for {seconds:.0f} s",
            "",
            "| | |",
            "|---|---:|",
            f"| packets sent | {found.sent.packets:,} |",
            f"| samples at the last stage | {found.samples:,} |",
            f"| triggers written | {found.written:,} |",
            *rows,
            f"| latency, median | {p50:.0f} µs |",
            f"| latency, p99 | {p99:.0f} µs |",
            f"| latency, p99.9 | {p999:,.0f} µs |",
            f"| latency, largest | {found.histogram.largest / 1e3:,.0f} µs |",
            "",
            "Triggers by latency, packet received → actuator done:",
            "",
            "```",
            *drawn(found),
            "```",
            "",
        ]
    )


def main() -> int:
    """Run, print and keep; the exit status says whether nothing is missing."""
    parser = argparse.ArgumentParser(prog="benchmarks.loop.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long")
    parser.add_argument("--quick", action="store_true", help="3 seconds; nothing is kept")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = 3.0 if options.quick else options.seconds
    try:
        found, verdict = soak(seconds)
    except KeyboardInterrupt:
        return 130
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = report(found, verdict, seconds)
    print(text)
    if not options.quick:
        (ROOT / "benchmarks" / "results" / "soak.md").write_text(text, encoding="utf-8")
    return 0 if verdict.is_whole else 1


if __name__ == "__main__":
    sys.exit(main())

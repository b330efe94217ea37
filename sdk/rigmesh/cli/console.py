"""What the commands share: consoles, exit codes, verdicts."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

__all__ = ["ERR", "FAILED", "OK", "OUT", "WITH_GAPS", "WRONG_USE", "exit_code_of", "styled_verdict"]

OUT = Console()
ERR = Console(stderr=True)

OK, FAILED, WRONG_USE, WITH_GAPS = 0, 1, 2, 3


def exit_code_of(verdicts: Iterable[str]) -> int:
    """Return the exit code for recordings' verdicts.

    Examples
    --------
    >>> exit_code_of(["OK", "OK with gaps (2, 13 ms)"])
    3
    """
    codes = [
        FAILED if v.startswith("FAILED") else WITH_GAPS if v.startswith("OK with gaps") else OK
        for v in verdicts
    ]
    return FAILED if FAILED in codes else max(codes, default=OK)


def styled_verdict(verdict: str) -> str:
    """Return a verdict with its colour."""
    colour = {OK: "green", WITH_GAPS: "yellow", FAILED: "red"}[exit_code_of([verdict])]
    return f"[bold {colour}]{verdict}[/]"

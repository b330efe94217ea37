"""Recorders and sealers that die in every way, and what is left of their recordings.

``python -m benchmarks.crashes`` prints a table and writes it to ``benchmarks/results``; it takes
some ten minutes. For each format a process records 4 channels × 10 kHz and a text every 0.25 s of
samples, as fast as it can, and brings them to the disk after each text; or it seals 20 s of that.

* kill: SIGKILL at a random moment.
* write: killed by the system within the write to a random byte of any file.
* cut: after a kill, a random file of the capture is cut at a random byte.
* power: the file system, an ext4 of its own on a loop device, is shut down at a random moment
  without its log being flushed, and mounted again. Needs root; left out where that is not allowed.

After ``recover``, a recording is *whole* if h5py, pynwb or pyxdf, and rigmesh, read samples, stamps
and texts that are those sent, from the first on without a hole, and the verdict says that it was
interrupted (of a sealer: ``OK``). Of a capture that was cut the verdict must be ``FAILED``.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import itertools
import os
import random
import resource
import signal
import struct
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.crash_check import FORMATS, SEALED, Board, Format, Tally, finished, look, record
from benchmarks.hop import machine

from rigmesh.recording import seal

COUNTS = {"kill": 50, "write": 100, "cut": 100, "power": 10}
_SHUTDOWN, _WITHOUT_LOG = 0x8004587D, 2

FAULTS = [
    (phase, fault)
    for phase in ("capture", "sealing")
    for fault in COUNTS
    if (phase, fault) != ("sealing", "cut")  # a half-written file is made anew
]

Act = Callable[[], object]


@contextmanager
def child(act: Act) -> Iterator[int]:
    """Run something in a process, which is dead afterwards."""
    pid = os.fork()
    if not pid:
        try:
            act()
        except OSError:
            pass  # the disk is gone
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def is_killed(act: Act) -> bool:
    """Run something in a process; return whether that was killed."""
    with child(act) as pid:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return ended is not None and ended.si_code == os.CLD_KILLED


# --- faults ------------------------------------------------------------------------------------


def capture_faults(form: Format, fault: str, folder: Path, dice: random.Random) -> Tally:
    """Let a recorder die once."""
    tally, path, board = Tally(), folder / f"a{form.ending}", Board()
    if fault == "write":
        number = dice.randrange(10_000)

        def record_and_die() -> None:
            die_writing(number, dice)
            record(path, form, board)

        assert is_killed(record_and_die)
    else:
        with child(lambda: record(path, form, board)):
            wait_until(lambda: board.promised)
            time.sleep(dice.uniform(0, 0.4))
    if fault == "cut":
        files = [p for p in folder.rglob("*") if p.suffix in (".bin", ".dat", ".stamps", ".text")]
        victim = dice.choice(sorted(p for p in files if p.stat().st_size))
        os.truncate(victim, dice.randrange(victim.stat().st_size))
    verdict = "FAILED (" if fault == "cut" else "FAILED (it was interrupted"
    look(tally, path, form, verdict=verdict, appended=board.appended, promised=board.promised)
    return tally


def die_writing(number: int, dice: random.Random) -> None:
    """Let this process die within one of its writes, of which a part is on the disk then."""
    write, numbers = os.pwrite, itertools.count()

    def pwrite(fd: int, content: Any, at: int) -> int:
        if next(numbers) == number:
            write(fd, bytes(content)[: dice.randrange(len(content) + 1)], at)
            os.kill(os.getpid(), signal.SIGKILL)
        return write(fd, content, at)

    os.pwrite = pwrite


def sealing_faults(form: Format, fault: str, folder: Path, dice: random.Random) -> Tally:
    """Let a sealer die once."""
    tally, path = Tally(), folder / f"a{form.ending}"
    capture = finished(path, form)
    seconds, size = usual(form)
    if fault == "write":
        # HDF5 writes by itself; of what it writes more than once, the first time counts.
        limit = dice.randrange(size)

        def seal_and_die() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            seal(capture.folder)

        assert is_killed(seal_and_die)
    else:
        with child(lambda: seal(capture.folder)):
            time.sleep(dice.uniform(0, seconds))
    look(tally, path, form, verdict="OK", appended=SEALED, promised=SEALED)
    return tally


@functools.cache
def usual(form: Format) -> tuple[float, int]:
    """Return how many seconds sealing takes, and how large the file is."""
    with tempfile.TemporaryDirectory(prefix="rigmesh-crash-") as folder:
        capture = finished(Path(folder) / f"a{form.ending}", form)
        begin = time.monotonic()
        with child(lambda: seal(capture.folder)) as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return time.monotonic() - begin, capture.path.stat().st_size


def power_faults(form: Format, phase: str, folder: Path, dice: random.Random) -> Tally:
    """Let the power fail once."""
    tally, board = Tally(), Board()
    image, mount = folder / "disk.img", folder / "disk"
    path = mount / f"a{form.ending}"
    with image.open("wb") as file:
        file.truncate(128 * 2**20)
    run("mkfs.ext4", "-q", "-F", str(image))
    mount.mkdir()
    with mounted(image, mount):
        act: Act = functools.partial(record, path, form, board)
        if phase == "sealing":
            act = functools.partial(seal, finished(path, form).folder)
        with child(act) as pid:
            if phase == "capture":
                wait_until(lambda: board.promised)
            time.sleep(dice.uniform(0, 0.4))
            os.kill(pid, signal.SIGSTOP)  # so that what it has said is what it had when it was cut
            promised, appended = board.promised, board.appended
            shut_down(mount)
    with mounted(image, mount):
        another_boot(mount)
        verdict = "OK" if phase == "sealing" else "FAILED (it was interrupted"
        look(tally, path, form, verdict=verdict, appended=appended, promised=promised)
    return tally


def shut_down(mount: Path) -> None:
    """End a file system as if its power had failed."""
    fd = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
    finally:
        os.close(fd)


def another_boot(folder: Path) -> None:
    """Let captures be of an earlier boot of the machine, as they would be."""
    for manifest in folder.glob("*/recording.json"):
        text = manifest.read_text(encoding="utf-8")
        text = text.replace('"clock_id": "', '"clock_id": "before-')
        manifest.write_text(text, encoding="utf-8")


@contextmanager
def mounted(image: Path, mount: Path) -> Iterator[None]:
    run("mount", "-o", "loop", str(image), str(mount))
    try:
        yield
    finally:
        run("umount", str(mount))


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the recorder has not begun")
        time.sleep(0.001)


def can_cut_power() -> bool:
    """Whether a file system of one's own may be mounted and shut down."""
    with tempfile.TemporaryDirectory(prefix="rigmesh-power-") as folder:
        image, mount = Path(folder) / "disk.img", Path(folder) / "disk"
        try:
            mount.mkdir()
            with image.open("wb") as file:
                file.truncate(16 * 2**20)
            run("mkfs.ext4", "-q", "-F", str(image))
            with mounted(image, mount):
                shut_down(mount)
        except (OSError, subprocess.CalledProcessError):
            return False
    return True


# --- all of it ---------------------------------------------------------------------------------


def measure(
    form: Format, phase: str, fault: str, n: int, *, seed: int = 0, folder: Path | None = None
) -> Tally:
    """Let a recorder (phase ``capture``) or sealer (``sealing``) die `n` times."""
    total = Tally()
    for number in range(n):
        dice = random.Random(f"{form.ending} {phase} {fault} {seed} {number}")
        with tempfile.TemporaryDirectory(prefix="rigmesh-crash-", dir=folder) as where:
            if fault == "power":
                one = power_faults(form, phase, Path(where), dice)
            elif phase == "capture":
                one = capture_faults(form, fault, Path(where), dice)
            else:
                one = sealing_faults(form, fault, Path(where), dice)
        total.n += one.n
        total.whole += one.whole
        total.most_lost = max(total.most_lost, one.most_lost)
        total.unsaid += one.unsaid
        total.flaws += one.flaws
    return total


def table(results: dict[tuple[str, str, str], Tally]) -> str:
    lines = [
        "| format | while | fault | n | whole after recover | most lost, s "
        "| reported written, lost unsaid |",
        "|---|---|---|" + 4 * "---:|",
    ]
    for (name, phase, fault), found in results.items():
        lost = "as cut" if fault == "cut" else f"{found.most_lost:.2f}"
        lines.append(
            f"| {name} | {phase} | {fault} | {found.n} | {found.whole} | {lost} | {found.unsaid} |"
        )
    flaws = [
        f"- {name}, {phase}, {fault}: {flaw}"
        for (name, phase, fault), found in results.items()
        for flaw in found.flaws[:3]
    ]
    return "\n".join([*lines, *(["", *flaws] if flaws else [])]) + "\n"


def keep(before: str, text: str) -> None:
    """Write the table among the results."""
    head = f"# Recorders and sealers that die ({time.strftime('%Y-%m-%d')})"
    about = "- 4 channels × 10 kHz int32, and a text every 0.25 s, then brought to the disk\n"
    about += "- killed at a random moment, killed within a write, cut at a random byte, and with "
    about += "the power of their ext4 cut: see `benchmarks/crashes.py`\n"
    path = Path(__file__).parent / "results" / "crashes.md"
    path.write_text(f"{head}\n\n{before}{about}\n{text}", encoding="utf-8")
    print(f"kept in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two of each; nothing is kept")
    options = parser.parse_args()
    before = machine()
    results: dict[tuple[str, str, str], Tally] = {}
    possible = FAULTS if can_cut_power() else [each for each in FAULTS if each[1] != "power"]
    for name, form in FORMATS.items():
        for phase, fault in possible:
            n = 2 if options.quick else COUNTS[fault]
            results[name, phase, fault] = found = measure(form, phase, fault, n)
            print(f"{name}: {phase}, {fault}: {found.whole}/{n} whole", flush=True)
    text = table(results)
    print(text)
    if not options.quick:
        keep(before, text)
    if not all(found.is_good for found in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()

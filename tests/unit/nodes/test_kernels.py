from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rigmesh_nodes._kernels import aligned_zeros, cache_folder, has_compiler, kernel, like

Array = npt.NDArray[Any]


@kernel
def add_to(x: Array, y: Array, amount: int) -> int:
    for i in range(len(x)):
        y[i] = x[i] + amount
    return len(x)


def test_a_kernel_does_what_its_function_does() -> None:
    given, result = np.arange(5.0), np.empty(5)
    add = add_to.compiled(like("float64", 1, is_read_only=True), like("float64", 1), 0)

    assert add is not None
    assert add(given, result, 3) == 5
    np.testing.assert_array_equal(result, given + 3)


def test_what_was_compiled_once_is_not_compiled_again() -> None:
    arguments = like("int32", 1), like("int32", 1), 0

    assert add_to.compiled(*arguments) is add_to.compiled(*arguments)


def test_other_types_are_an_error_and_never_compiled_at_a_call() -> None:
    add = add_to.compiled(like("float64", 1), like("float64", 1), 0)

    assert add is not None
    with pytest.raises(TypeError, match="No matching definition"):
        add(like("float32", 1), like("float64", 1), 0)


def test_a_kernel_for_read_only_arrays_takes_others_too() -> None:
    add = add_to.compiled(like("float64", 1, is_read_only=True), like("float64", 1), 0)
    frozen = np.ones(3)
    frozen.flags.writeable = False

    assert add is not None
    assert add(frozen, np.empty(3), 1) == add(np.ones(3), np.empty(3), 1) == 3


def test_several_threads_that_want_the_same_get_the_same() -> None:
    found = []

    def look() -> None:
        found.append(add_to.compiled(like("uint8", 1), like("uint8", 1), 0))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(compiled) for compiled in found}) == 1


def test_without_numba_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)

    assert not has_compiler()
    assert add_to.compiled(like("float64", 1), like("float64", 1), 0) is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"NUMBA_CACHE_DIR": "/n", "CACHE_DIRECTORY": "/s"}, "/n"),
        ({"CACHE_DIRECTORY": "/s", "XDG_CACHE_HOME": "/x"}, "/s/rigmesh/numba"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/rigmesh/numba"),
        ({"HOME": "/h"}, "/h/.cache/rigmesh/numba"),
    ],
)
def test_kernels_are_kept_where_caches_are(
    settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NUMBA_CACHE_DIR", "CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    assert cache_folder() == Path(expected)


SCRIPT = """
import sys
import numpy as np
from rigmesh_nodes import filters
assert "numba" not in sys.modules, "imported before it is used"
from rigmesh_nodes._fir import scale
from rigmesh_nodes._kernels import like
numba_dir = __import__("numba").config.CACHE_DIR
compiled = scale.compiled(like("float32", 1), like("int8", 2), like("float32", 2))
y = np.empty((2, 2), np.float32)
compiled(np.full(1, 0.5, np.float32), np.full((2, 2), 4, np.int8), y)
assert (y == 2).all()
assert __import__("numba").config.CACHE_DIR == numba_dir, "changed for all"
print(sum(compiled.stats.cache_hits.values()))
"""


def script(folder: Path | str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={"XDG_CACHE_HOME": str(folder), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_that_compile_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    at_once = [script(tmp_path) for _ in range(3)]
    ends = [process.communicate(timeout=50) for process in at_once]
    later, errors = script(tmp_path).communicate(timeout=50)

    assert [process.returncode for process in at_once] == [0, 0, 0], ends
    assert later.strip() == "1", errors
    assert list((tmp_path / "rigmesh" / "numba").rglob("*.nbi"))


def test_a_folder_that_cannot_be_written_to_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    process = script(tmp_path / "file")

    _, errors = process.communicate(timeout=50)
    assert process.returncode == 0, errors


def test_aligned_zeros_begin_with_a_cache_line() -> None:
    for _ in range(20):
        zeros = aligned_zeros((3, 5, 7), "float32")

        assert zeros.ctypes.data % 64 == 0
        assert zeros.shape == (3, 5, 7)
        assert not zeros.any()

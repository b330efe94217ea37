"""The tree is as CONTRIBUTING says: a package a root, modules that can be read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "proto": "rigmesh_proto",
    "sdk": "rigmesh",
    "nodes": "rigmesh_nodes",
    "daemon": "rigmesh_daemon",
}
MOST_LINES = 400


def modules() -> Iterator[Path]:
    """Every module that somebody wrote."""
    for folder in (*PACKAGES, "tests", "benchmarks", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.match("rigmesh_proto/v1/*"):
                yield path.relative_to(ROOT)


@pytest.mark.parametrize(("folder", "package"), PACKAGES.items())
def test_each_root_holds_exactly_one_package(folder: str, package: str) -> None:
    found = {path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"}

    assert found == {package}
    assert (ROOT / folder / package / "py.typed").exists()


def test_no_module_is_too_long_to_be_read() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()
    }

    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    names = {"utils", "helpers", "common", "misc"}

    assert [str(path) for path in modules() if path.stem in names] == []


def test_importing_the_sdk_imports_nothing_else() -> None:
    source = (ROOT / "sdk/rigmesh/__init__.py").read_text(encoding="utf-8")

    imports = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]

    assert imports == []

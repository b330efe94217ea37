"""What README, tutorials and how-tos show: it runs, it parses, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rigmesh.graph import check_graph
from rigmesh.graph.loader import parse_graph
from rigmesh.node.registry import NodeType, describe_all

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        ROOT / "systemd" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
BLOCK = re.compile(r"^ *```(\w+)( no-run)?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def code(document: Path, language: str) -> list[str]:
    """Return the blocks of a language that are meant to be run."""
    text = document.read_text(encoding="utf-8")
    return [body for found, no_run, body in BLOCK.findall(text) if found == language and not no_run]


def named(document: Path) -> str:
    """Name a test case."""
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if code(d, "python")], ids=named)
def test_the_code_of_a_document_runs_from_its_first_block_to_its_last(
    document: Path, tmp_path: Path
) -> None:
    script = tmp_path / "document.py"
    script.write_text("\n".join(code(document, "python")), encoding="utf-8")
    has_tests = "def test_" in script.read_text(encoding="utf-8")
    runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if has_tests else ["-W", "error"]
    environment = {key: value for key, value in os.environ.items() if key != "RIGMESH_SOCKET"}

    result = subprocess.run(
        [sys.executable, *runner, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if code(d, "yaml")], ids=named)
def test_the_graphs_of_a_document_can_run(document: Path) -> None:
    types = {found.name: found for found in describe_all() if isinstance(found, NodeType)}
    graphs = [parse_graph(text) for text in code(document, "yaml")]

    checked = [check_graph(graph, types) for graph in graphs]

    assert all(graph.nodes for graph in checked)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_the_links_of_a_document_lead_to_files(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]

    missing = [link for link in local if not (document.parent / link).exists()]

    assert missing == []


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (document.parent / link).resolve()
        for document in DOCUMENTS
        for link in LINK.findall(document.read_text(encoding="utf-8"))
    }

    assert set((ROOT / "docs/images").iterdir()) <= shown

"""``rigmesh new-node``: a package with a node that is ready to run, and its test."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from rigmesh.cli.console import OUT
from rigmesh.errors import GraphError

__all__ = ["new_node"]

_NODE = Template('''"""$title."""

from __future__ import annotations

from rigmesh.node import Input, Node, Output, param
from rigmesh.streams import Signal


class $name(Node):
    """Multiply every sample by a gain. Say here what $name does instead."""

    signal = Input(Signal)
    result = Output(Signal)

    gain: float = param(default=1.0, doc="Factor.", live=True)

    def prepare(self) -> None:
        """Describe the result: the same as the input, but for its type."""
        info = self.signal.info
        if info.dtype not in ("float32", "float64"):
            raise TypeError(f"{self.name} takes floats; {info.name} has {info.dtype}")
        self.result.announce(info)

    def process(self, chunk: Signal) -> Signal:
        """Scale a chunk; its data are read-only, so the result is a new array."""
        return chunk.with_data((chunk.data * self.gain).astype(chunk.data.dtype))
''')

_TEST = Template('''"""Tests of $name."""

from __future__ import annotations

import numpy as np
from $module import $name
from rigmesh.node.testing import NodeTests, run, sine


def test_every_sample_is_multiplied_by_the_gain() -> None:
    signal = sine(10.0)

    result = run($name(gain=2.0), signal)

    np.testing.assert_array_equal(result.data, 2 * signal.data)


class Test$name(NodeTests):
    make = staticmethod($name)
    feed = sine(10.0)
''')

_PROJECT = Template("""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$project"
version = "0.1.0"
description = "Nodes for rigmesh."
requires-python = ">=3.11"
dependencies = ["rigmesh"]

# This line makes the node known to rigmesh, as $module.$name.
[project.entry-points."rigmesh.nodes"]
$module = "$module"

[tool.hatch.build.targets.wheel]
include = ["$module.py"]
""")


def new_node(
    name: Annotated[str, typer.Argument(help="Class name of the node, such as SpikeCounter.")],
    into: Annotated[Path, typer.Option(help="Folder to put the package into.")] = Path(),
) -> None:
    """Write a package with a node that runs, and its test."""
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        raise GraphError(f"{name!r} is not a class name; write it like SpikeCounter")
    module = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    words = {
        "name": name,
        "module": module,
        "project": module.replace("_", "-"),
        "title": f"A node: {name}",
    }
    folder = into / words["project"]
    if folder.exists():
        raise GraphError(f"{folder} exists; choose another name, or --into another folder")
    folder.mkdir(parents=True)
    for path, template in (
        (folder / f"{module}.py", _NODE),
        (folder / f"test_{module}.py", _TEST),
        (folder / "pyproject.toml", _PROJECT),
    ):
        path.write_text(template.substitute(words), encoding="utf-8")
        OUT.print(f"wrote {path}", highlight=False)
    OUT.print(
        f"\nNext:  cd {folder} && pip install -e . && python -m pytest\n"
        f"Then:  rigmesh nodes {module}.{name}",
        highlight=False,
    )

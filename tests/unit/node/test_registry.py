"""Node classes are found by their entry point, described, and named when asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rigmesh.errors import GraphError, UnknownName
from rigmesh.node import NodeType
from rigmesh.node.registry import describe_all, find_type, load

MODULE = '''
from rigmesh.node import Hz, Input, Node, Output, param
from rigmesh.streams import Markers, Signal

class Detector(Node):
    """Find things."""

    signal = Input(Signal, lossless=True)
    marks = Input(Markers, many=True, optional=True)
    out = Output(Markers)
    detached = "slow"
    rate: Hz = param(default=5.0, doc="How often.")

    def process_signal(self, chunk): ...
    def process_marks(self, chunk): ...

class Player(Node):
    """Play things."""

    out = Output(Signal)
    can_wait = True

    def acquire(self):
        yield from ()

class _Base(Node):
    pass

from rigmesh.node import Node as Imported
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with node classes where it is found like an installed one."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name: str, files: dict[str, str], entry: str = "") -> None:
        for file, text in files.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[rigmesh.nodes]\n{name} = {entry or name}\n")

    return put


def found_in(prefix: str) -> dict[str, NodeType]:
    types = [found for found in describe_all() if isinstance(found, NodeType)]
    return {found.name: found for found in types if found.name.startswith(prefix)}


def test_the_library_is_named_without_its_package() -> None:
    assert "filters.BandPass" in found_in("filters.")


def test_the_classes_of_another_package_have_its_name_before_theirs(install: Install) -> None:
    install("labx", {"labx/__init__.py": "", "labx/things.py": MODULE, "labx/_own.py": MODULE})

    assert sorted(found_in("labx.")) == ["labx.things.Detector", "labx.things.Player"]


def test_a_package_may_be_a_single_module(install: Install) -> None:
    install("laby", {"laby.py": MODULE})

    assert sorted(found_in("laby.")) == ["laby.Detector", "laby.Player"]


def test_a_type_says_everything_but_its_code(install: Install) -> None:
    install("labz", {"labz.py": MODULE})

    types = found_in("labz.")
    detector, player = types["labz.Detector"], types["labz.Player"]

    assert (detector.doc, detector.detached, detector.version) == ("Find things.", "slow", "1.2")
    assert detector.input("signal").lossless
    assert detector.input("marks").many
    assert detector.input("marks").optional
    assert detector.output("out").kinds == ("markers",)
    assert detector.schema["properties"]["rate"]["unit"] == "Hz"
    assert (detector.is_source, player.is_source, player.can_wait) == (False, True, True)


def test_a_type_survives_json(install: Install) -> None:
    install("labj", {"labj.py": MODULE})
    found = found_in("labj.")["labj.Detector"]

    stored = json.loads(json.dumps(found.to_dict()))

    assert NodeType.from_dict(stored) == found


def test_a_broken_module_is_named_and_hides_no_other(install: Install) -> None:
    files = {"labb/__init__.py": "", "labb/good.py": MODULE, "labb/bad.py": "import no_such_thing"}
    install("labb", files)

    found = list(describe_all())

    broken = [item for item in found if isinstance(item, tuple)]
    assert [(name, type(error)) for name, error in broken] == [("labb.bad", ModuleNotFoundError)]
    assert "labb.good.Player" in [item.name for item in found if isinstance(item, NodeType)]


def test_a_class_is_loaded_by_its_full_name(install: Install) -> None:
    install("labl", {"labl/__init__.py": "", "labl/things.py": MODULE})

    cls = load("labl.things.Player")

    assert (cls.__name__, cls.__module__) == ("Player", "labl.things")


@pytest.mark.parametrize("name", ["os.PathLike", "filters.NoSuch", "filters._Base", "BandPass", ""])
def test_nothing_else_is_ever_loaded(name: str) -> None:
    with pytest.raises(UnknownName, match="no installed package has the node type"):
        load(name)


TYPES = {
    name: NodeType(name)
    for name in ("filters.BandPass", "sim.EEG", "events.Threshold", "lab.x.Threshold")
}


@pytest.mark.parametrize("name", ["filters.BandPass", "BandPass", "bandpass", "FILTERS.bandpass"])
def test_a_type_is_found_by_its_class_name_in_any_case(name: str) -> None:
    assert find_type(name, TYPES).name == "filters.BandPass"


def test_a_class_name_of_several_packages_asks_for_the_full_one() -> None:
    with pytest.raises(
        GraphError, match=r"may be any of events\.Threshold, lab\.x\.Threshold; write the full"
    ):
        find_type("Threshold", TYPES)


def test_an_unknown_type_gets_a_near_miss() -> None:
    with pytest.raises(UnknownName, match=r"no node type 'BandPas' \(did you mean BandPass\?\)"):
        find_type("BandPas", TYPES)
    with pytest.raises(UnknownName, match=r"did you mean filters\.BandPass\?"):
        find_type("filter.BandPass", TYPES)


def test_an_unknown_port_gets_a_near_miss(install: Install) -> None:
    install("labp", {"labp.py": MODULE})
    detector = found_in("labp.")["labp.Detector"]

    with pytest.raises(
        UnknownName, match=r"no input of labp\.Detector 'sgnal' \(did you mean signal\?\)"
    ):
        detector.input("sgnal")

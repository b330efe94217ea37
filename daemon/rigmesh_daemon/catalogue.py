"""What node types there are, found out in a process of its own: the daemon imports no node code.

``python -m rigmesh_daemon.catalogue`` prints them as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from rigmesh.errors import DaemonError
from rigmesh.node.registry import GROUP, NodeType, describe_all

__all__ = ["Catalogue", "read_catalogue"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The node types by full name, and the modules that could not be imported."""

    types: dict[str, NodeType] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


async def read_catalogue(*, refresh: bool = False) -> Catalogue:
    """Return what is installed; from a cache while no package and no module has changed.

    Raises
    ------
    DaemonError
        If the process that imports the packages fails altogether.
    """
    cache = _cache_file()
    if not refresh and cache.exists():
        try:
            return _parse(cache.read_text(encoding="utf-8"))
        except (ValueError, TypeError, KeyError):
            _log.warning("the cached list of node types is damaged; making it anew")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rigmesh_daemon.catalogue",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise DaemonError(f"cannot list the node types:\n{err.decode(errors='replace')}")
    text = out.decode().rpartition("\n\0")[2]
    catalogue = _parse(text)
    for module, why in catalogue.broken.items():
        _log.warning("node module %s cannot be imported: %s", module, why)
    if not catalogue.broken:
        _save(cache, text)
    return catalogue


def _parse(text: str) -> Catalogue:
    values = json.loads(text)
    types = [NodeType.from_dict(t) for t in values["types"]]
    return Catalogue({t.name: t for t in types}, dict(values["broken"]))


def _save(cache: Path, text: str) -> None:
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = cache.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(cache)
    except OSError as error:
        _log.info("no cache of the node types: %s", error)


def _cache_file() -> Path:
    root = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    folder = Path(root) if root else Path.home() / ".cache"
    return folder / "rigmesh" / f"types-{_fingerprint()}.json"


def _fingerprint() -> str:
    """Name the installed versions, and the sources of node packages as they are on disk."""
    digest = hashlib.sha1(sys.version.encode(), usedforsecurity=False)
    # The folders' names hold name and version; parsing all metadata took 0.12 s of each start.
    for folder in sys.path:
        for path in sorted(Path(folder or ".").glob("*.dist-info")):
            digest.update(path.name.encode())
    for entry in entry_points(group=GROUP):
        spec = find_spec(entry.value.partition(":")[0])
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(folder).glob("*.py")):
                digest.update(f"{path} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:20]


def main() -> None:
    """Print all node types; what modules print on import goes before the marker."""
    types, broken = [], {}
    for found in describe_all():
        if isinstance(found, NodeType):
            types.append(found.to_dict())
        else:
            broken[found[0]] = f"{type(found[1]).__name__}: {found[1]}"
    sys.stdout.write("\n\0" + json.dumps({"types": types, "broken": broken}))


if __name__ == "__main__":
    main()

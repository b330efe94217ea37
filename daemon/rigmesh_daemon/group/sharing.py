"""States of nodes: read, written, and shared by the members of an alias."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rigmesh.errors import RigmeshError, UnknownName
from rigmesh.node import NodeRunner
from rigmesh.node.live import call, live_values, write
from rigmesh.node.states import Writers
from rigmesh.streams import local_clock

__all__ = ["States", "effective_json", "taken"]

_log = logging.getLogger(__name__)

Journal = Callable[[dict[str, Any]], None]


def effective_json(effective: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Return for each stream the epoch and index at which something took effect."""
    return {stream: {"epoch": e, "index": i} for stream, (e, i) in effective.items()}


def taken(runner: NodeRunner) -> dict[str, int]:
    """Return how many samples each input of a node has been handed; for who holds its lane."""
    return {port: meter.delivered for port, meter in runner.meters.items()}


class States:
    """The states and live parameters of this process's nodes.

    What a node writes into a member of an alias goes to the other members from a thread of its own,
    since they may be in other lanes, and a lane is never entered from within another.

    Parameters
    ----------
    runners : mapping of str to NodeRunner
        The nodes; grows as they are made.
    journal : callable
        Told of every change by somebody else than the node itself.
    changed : callable
        Told the alias, the member and the value of what other processes share.
    """

    def __init__(
        self,
        runners: Mapping[str, NodeRunner],
        journal: Journal,
        changed: Callable[[str, str, Any], None],
    ) -> None:
        self._runners = runners
        self._journal = journal
        self._changed = changed
        self._known: dict[tuple[str, str], Any] = {}
        self._queue: queue.SimpleQueue[tuple[str, str, Any] | None] = queue.SimpleQueue()
        self._aliases: dict[str, Sequence[str]] = {}
        self._thread: threading.Thread | None = None

    def get(self, nodes: Sequence[str]) -> dict[str, Any]:
        """Return the states and live parameters of nodes, of all if none is named."""
        found = {}
        for name in nodes or list(self._runners):
            for attribute, value in live_values(self._runner(name)).items():
                found[f"{name}.{attribute}"] = value
        return found

    def set(self, values: Mapping[str, Any], writer: Writers) -> dict[str, Any]:
        """Write states and live parameters, each node's all or none; return where it took effect.

        Raises
        ------
        UnknownName, NotPermitted, ParameterError
            If one cannot be written.
        """
        by_node: dict[str, dict[str, Any]] = {}
        for reference, value in values.items():
            node, _, attribute = reference.partition(".")
            by_node.setdefault(node, {})[attribute] = value
        effective: dict[str, Any] = {}
        for node, mine in by_node.items():
            runner = self._runner(node)
            with runner.lane:
                at, inputs = effective_json(write(runner, mine, writer)), taken(runner)
            self._journal(
                {
                    "kind": "state", "time": local_clock(), "node": node, "values": mine,
                    "writer": writer, "effective": at, "taken": inputs,
                }
            )  # fmt: skip
            effective.update(at)
        return effective

    def call(self, node: str, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Let a node obey a command; return its result and where it took effect."""
        runner = self._runner(node)
        with runner.lane:
            result, effective = call(runner, command, arguments)
            inputs = taken(runner)
        at = effective_json(effective)
        self._journal(
            {
                "kind": "command", "time": local_clock(), "node": node, "command": command,
                "arguments": dict(arguments), "effective": at, "taken": inputs,
            }
        )  # fmt: skip
        return {"result": result, "effective": at}

    # --- aliases -----------------------------------------------------------------------------

    def share(self, aliases: Mapping[str, Sequence[str]]) -> None:
        """Let the members of each alias have one value from now on: that of who writes last."""
        self._aliases = dict(aliases)
        for runner in self._runners.values():
            runner.watchers.clear()
        for alias, members in aliases.items():
            for member in members:
                node, _, attribute = member.partition(".")
                if node in self._runners:
                    here = self._runners[node]
                    here.watchers.append(self._watcher(alias, member, here, attribute))
        if aliases and self._thread is None:
            self._thread = threading.Thread(target=self._pass_on, name="states", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _watcher(
        self, alias: str, member: str, runner: NodeRunner, attribute: str
    ) -> Callable[[], None]:
        node, key, known = runner.node, (alias, member), self._known
        known[key] = getattr(node, attribute)

        def watch() -> None:
            value = getattr(node, attribute)
            if value != known[key]:
                known[key] = value
                self._queue.put((alias, member, value))

        return watch

    def _pass_on(self) -> None:
        while (item := self._queue.get()) is not None:
            alias, source, value = item
            members = self._aliases.get(alias, ())
            for member in members:
                if member != source and member.partition(".")[0] in self._runners:
                    self._known[alias, member] = value
                    try:
                        self.set({member: value}, "peers")
                    except RigmeshError as error:
                        _log.warning("alias %s: %s", alias, error)
            if any(m.partition(".")[0] not in self._runners for m in members):
                self._changed(alias, source, json.loads(json.dumps(value, default=str)))

    def _runner(self, name: str) -> NodeRunner:
        if name not in self._runners:
            raise UnknownName.among("node", name, self._runners)
        return self._runners[name]

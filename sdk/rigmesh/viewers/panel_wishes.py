"""What people ask a panel for: handed to the daemons, and told how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rigmesh.client.manager import Manager
from rigmesh.errors import NotOwner, RigmeshError
from rigmesh.viewers.panel_client import Answer, PanelClient
from rigmesh.viewers.panel_model import HostView, NodeView
from rigmesh.viewers.panel_words import MessageBar, StatusLine

__all__ = ["Wishes"]

Call = Callable[[Manager], Any]


class Wishes:
    """Has daemons do what a person wants; what they refuse is said in words.

    Parameters
    ----------
    client : PanelClient
        Who asks.
    message, status : MessageBar, StatusLine
        Where is told what was refused, and what was done.
    refuse : callable
        Given the key of a node, a name and a reason: its value was not accepted.
    changed : callable
        Called when something has begun or ended.

    Attributes
    ----------
    views, nodes : dict
        Hosts and nodes as they are now; set by the panel.
    doing : str
        What takes its time now: ``starting``, ``stopping`` or nothing.
    """

    def __init__(
        self,
        client: PanelClient,
        message: MessageBar,
        status: StatusLine,
        refuse: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self.views: Mapping[str, HostView] = {}
        self.nodes: Mapping[str, NodeView] = {}
        self.doing = ""
        self._client = client
        self._message = message
        self._status = status
        self._refuse = refuse
        self._changed = changed

    def start(self) -> None:
        """Start the graph, if all of it is there."""
        gone = [view.name for view in self.views.values() if view.link == "gone"]
        if gone:
            self._warn(
                f"not started: {', '.join(gone)} does not answer, and without it only a part of "
                "the graph would run"
            )
            return
        self._run("starting", "start", lambda manager: manager.start_all())

    def stop(self) -> None:
        """Stop the graph."""
        self._run("stopping", "stop", lambda manager: manager.stop_all())

    def _run(self, doing: str, verb: str, call: Call) -> None:
        """Start or stop, which takes its time."""
        self.doing = doing
        self._tell(f"{doing}…")
        self._changed()

        def then(answer: Answer) -> None:
            self.doing = ""
            if answer.error is not None:
                self._refused(answer.error, verb, lambda: self._run(doing, verb, _taking(call)))
            else:
                done = "started" if verb == "start" else "stopped"
                self._tell(f"{done} at {time.strftime('%H:%M:%S')}")
            self._changed()

        self._client.ask(call, then, lane="run")

    def take_over(self) -> None:
        """Make the graph the person's."""

        def then(answer: Answer) -> None:
            if answer.error is not None:
                self._warn(str(answer.error))
            else:
                before = ", ".join(answer.value) or "nobody else"
                self._tell(f"the graph is yours now; it belonged to {before}")

        self._client.ask(lambda manager: manager.take_over(), then)

    def annotate(self, text: str, noted: Callable[[], None]) -> None:
        """Put a note into all recordings; `noted` is called when it is there."""

        def then(answer: Answer) -> None:
            if answer.error is not None:
                self._warn(f"not noted: {answer.error}")
                return
            self._tell(f"noted at {time.strftime('%H:%M:%S')}: {text}")
            noted()

        self._client.ask(lambda manager: manager.annotate(text), then)

    def set_parameter(self, node: NodeView, name: str, value: Any) -> None:
        """Change a parameter of a node."""
        self._change(node, name, value, lambda m: m.set_parameters(node.name, {name: value}))

    def set_state(self, node: NodeView, name: str, value: Any) -> None:
        """Write a state of a node."""
        full = f"{node.name}.{name}"
        self._change(node, name, value, lambda m: m.states.write({full: value}))

    def _change(self, node: NodeView, name: str, value: Any, call: Call) -> None:
        if self._is_ambiguous(node):
            return

        def then(answer: Answer) -> None:
            if answer.error is None:
                where = [
                    f"from sample {index:,} on" if epoch == 0
                    else f"from sample {index:,} of epoch {epoch} on"
                    for epoch, index in answer.value.values()
                ]  # fmt: skip
                at = f", {where[0]}" if where and node.state == "running" else ""
                self._tell(f"{node.name}.{name} = {value}{at}")
                self._refuse(node.key, name, "")
                return
            self._refuse(node.key, name, _short(answer.error))
            self._refused(
                answer.error, f"set {name}", lambda: self._change(node, name, value, _taking(call))
            )

        self._client.ask(call, then, key=(node.key, name))

    def call_command(self, node: NodeView, command: str, given: dict[str, Any]) -> None:
        """Let a node obey a command."""
        if self._is_ambiguous(node):
            return

        def call(manager: Manager) -> Any:
            return manager.call(node.name, command, **given)

        def then(answer: Answer) -> None:
            if answer.error is not None:
                again: Call = _taking(call)
                self._refused(answer.error, command, lambda: self._client.ask(again, then))
            else:
                came = "done" if answer.value is None else str(answer.value)
                self._tell(f"{node.name}.{command}: {came}")

        self._client.ask(call, then)

    def _tell(self, text: str) -> None:
        self._message.clear()
        self._status.tell(text)

    def _refused(self, error: RigmeshError, verb: str, again: Callable[[], None]) -> None:
        if isinstance(error, NotOwner):
            self._status.clear()
            self._message.offer(str(error), f"Take over and {verb}", again)
        else:
            self._warn(f"could not {verb}: {error}")

    def _warn(self, text: str) -> None:
        self._status.clear()
        self._message.warn(text)

    def _is_ambiguous(self, node: NodeView) -> bool:
        twins = [other.host.name for other in self.nodes.values() if other.name == node.name]
        if len(twins) > 1:
            self._warn(
                f"{' and '.join(twins)} each have a node {node.name!r}: open a panel of one of "
                "them to change it"
            )
        return len(twins) > 1


def _taking(call: Call) -> Call:
    """Do something after having taken the graph over."""

    def taken(manager: Manager) -> Any:
        manager.take_over()
        return call(manager)

    return taken


def _short(error: RigmeshError) -> str:
    return str(error).partition("\n")[0]

"""The panel: hosts, groups, nodes and links as they run, and all that can be done to them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence

from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.client.private import find_running
from rigmesh.names import operator
from rigmesh.viewers.colours import SoftLabel
from rigmesh.viewers.mistakes import survive_mistakes
from rigmesh.viewers.panel_client import FindSocket, PanelClient
from rigmesh.viewers.panel_graph import GraphPicture
from rigmesh.viewers.panel_log import LogTable
from rigmesh.viewers.panel_model import HostView, NodeView, graph_state, nodes_of, troubles_of
from rigmesh.viewers.panel_node import NodeInspector
from rigmesh.viewers.panel_tables import HostTable, RecorderTable, StreamTable, told_span
from rigmesh.viewers.panel_wishes import Wishes
from rigmesh.viewers.panel_words import MessageBar, StateChip, StatusLine, TroubleList
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Panel", "run_panel"]

_WORSE = ("WARNING", "ERROR", "CRITICAL")


class Panel(QtWidgets.QWidget):
    """A window of all that runs on some hosts; it may be closed at any time.

    Parameters
    ----------
    hosts : sequence of str
        Addresses of other machines that one is logged in to.
    find_socket : callable
        Finds the daemon of this machine; asked anew each time it is gone.

    Attributes
    ----------
    closed : pyqtSignal
        The window is gone.
    nodes : dict of str to NodeView
        The nodes of all hosts by their keys.
    selected : str
        The key of the node that is shown beside the picture; empty for none.
    """

    closed = QtCore.pyqtSignal()

    def __init__(self, hosts: Sequence[str] = (), find_socket: FindSocket = find_running) -> None:
        super().__init__()
        self.setWindowTitle("rigmesh panel")
        self.resize(1360, 880)
        self.client = PanelClient(hosts, find_socket)
        self.views = {key: HostView(key) for key in self.client.keys}
        self.nodes: dict[str, NodeView] = {}
        self.selected = ""
        self._n_worse = 0

        self.name = QtWidgets.QLabel("rigmesh")
        self.chip = StateChip()
        self.owner = SoftLabel()
        self.start = self._button("▶  Start", "F5", lambda: self.wishes.start())
        self.stop = self._button("■  Stop", "F6", lambda: self.wishes.stop())
        self.take_over = self._button("Take over", "Ctrl+T", lambda: self.wishes.take_over())
        self.note = QtWidgets.QLineEdit()
        self.troubles = TroubleList()
        self.message = MessageBar()
        self.status = StatusLine()
        self.hosts = HostTable()
        self.picture = GraphPicture()
        self.inspector = NodeInspector()
        self.streams, self.recorders, self.log = StreamTable(), RecorderTable(), LogTable()
        self.tabs = QtWidgets.QTabWidget()
        self._lay_out()
        self.wishes = Wishes(
            self.client, self.message, self.status, self.inspector.refuse, self.refresh
        )

        self.picture.chosen.connect(self.choose)
        self.troubles.chosen.connect(self.choose)
        self.streams.chosen.connect(lambda key: self.choose(key.partition(".")[0]))
        self.recorders.chosen.connect(self.choose)
        self.inspector.parameter_changed.connect(self.wishes.set_parameter)
        self.inspector.state_changed.connect(self.wishes.set_state)
        self.inspector.command_called.connect(self.wishes.call_command)
        self.note.returnPressed.connect(self._annotate)
        self.client.seen.connect(self._see)
        self.client.said.connect(self._hear)
        self.refresh()
        self.client.start()

    # --- looking -----------------------------------------------------------------------------

    def choose(self, key: str) -> None:
        """Show a node, with its form; none for an empty key."""
        if key and key not in self.nodes:
            return
        self.selected = key
        self.picture.choose(key)
        self.recorders.mark(key)
        self.inspector.show_node(self.nodes.get(key))

    def _see(self, view: HostView) -> None:
        before = self.views[view.key]
        self.views[view.key] = view
        if before.link == "gone" and view.is_live:
            self._note_link(view, "INFO", f"{view.name} answers again")
            self.status.tell(f"{view.name} answers again")
        elif before.is_live and not view.is_live:
            self._note_link(view, "WARNING", f"{view.name} does not answer: {view.why}")
        self.refresh()

    def _note_link(self, view: HostView, level: str, text: str) -> None:
        record = pb.LogRecord(time=time.time(), level=level, process="panel", message=text)
        self._hear(view.name, record)

    def _hear(self, host: str, record: pb.LogRecord) -> None:
        self.log.add(host, record)
        if record.level in _WORSE and self.tabs.currentWidget() is not self.log:
            self._n_worse += 1
            self._name_tabs()

    def refresh(self) -> None:
        """Show what is known now."""
        views = list(self.views.values())
        here, *others = views
        shown = others if others and here.link == "waiting" else views
        nodes = self.nodes = nodes_of(views)
        if self.selected not in nodes and nodes:
            self.selected = ""
        self.wishes.views, self.wishes.nodes = self.views, nodes
        state = self.wishes.doing or graph_state(views)
        if state == "gone" and all(view.link == "waiting" for view in views):
            state = "waiting"
        run_time = max((v.status.run_time for v in views if v.is_live), default=0.0)
        self.chip.show_state(state, told_span(run_time) if state == "running" else "")
        names = [view.graph.name for view in views if view.graph.name and view.status.nodes]
        self.name.setText(names[0] if names else "rigmesh")
        self.troubles.show_troubles(list(troubles_of(views, nodes)))
        self.hosts.show_hosts(shown)
        self._fit_hosts(len(shown))
        self.picture.empty_text = self._why_empty(views)
        self.picture.show_hosts(views, nodes)
        self.streams.show_hosts(views)
        self.recorders.show_nodes(nodes.values())
        if self.picture.selected != self.selected:
            self.picture.choose(self.selected)
        self.inspector.show_node(nodes.get(self.selected))
        self._show_owner(views)
        is_live, is_running = any(v.is_live for v in views), state in ("running", "starting")
        self.start.setEnabled(is_live and bool(nodes) and state == "idle")
        self.stop.setEnabled(is_live and is_running and not self.wishes.doing)
        self.note.setEnabled(is_live and state == "running")
        self._name_tabs()

    def _show_owner(self, views: Sequence[HostView]) -> None:
        owners = list(dict.fromkeys(v.status.owner for v in views if v.is_live and v.status.owner))
        mine = all(owner == operator() for owner in owners)
        words = "yours" if mine and owners else ", ".join(owners)
        self.owner.setText(f"belongs to {words}" if owners and not mine else words)
        self.owner.setToolTip("Who may change, start and stop the graph; anybody may annotate it")
        self.take_over.setVisible(bool(owners) and not mine)

    @staticmethod
    def _why_empty(views: Sequence[HostView]) -> str:
        if any(view.is_live for view in views):
            return (
                "There are no nodes yet.\n`rigmesh run GRAPH.yaml` or a script makes some; "
                "they appear here."
            )
        reasons = "\n".join(view.why for view in views if view.why)
        return f"Waiting for a daemon…\n{reasons}".strip()

    def _annotate(self) -> None:
        text = self.note.text().strip()

        def noted() -> None:
            if self.note.text().strip() == text:
                self.note.clear()

        if text:
            self.wishes.annotate(text, noted)

    # --- the window --------------------------------------------------------------------------

    def _button(self, text: str, keys: str, does: Callable[[], None]) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(text)
        button.setShortcut(QtGui.QKeySequence(keys))
        button.clicked.connect(does)
        return button

    def _lay_out(self) -> None:
        self.start.setToolTip("Start every node, sinks first; all or none (F5)")
        self.stop.setToolTip("End the sources, let all drain, seal the recordings (F6)")
        self.take_over.setToolTip("Make the graph yours; who had it is told (Ctrl+T)")
        self.note.setPlaceholderText("Note into all recordings…  (Ctrl+N)")
        self.note.setToolTip("A note with the time, for all recordings; Enter sends it (Ctrl+N)")
        self.note.setClearButtonEnabled(True)
        self.note.setMaximumWidth(420)
        shortcut = QtWidgets.QShortcut(QtGui.QKeySequence("Ctrl+N"), self)
        shortcut.activated.connect(self.note.setFocus)
        big = self.name.font()
        big.setPointSizeF(big.pointSizeF() * 1.5)
        big.setWeight(QtGui.QFont.Weight.DemiBold)
        self.name.setFont(big)
        self.name.setTextFormat(QtCore.Qt.TextFormat.PlainText)
        top = QtWidgets.QHBoxLayout()
        top.setContentsMargins(12, 8, 12, 8)
        top.setSpacing(10)
        for widget in (self.name, self.chip, self.owner):
            top.addWidget(widget)
        top.addStretch(1)
        for widget in (self.note, self.take_over, self.start, self.stop):
            top.addWidget(widget, 1 if widget is self.note else 0)
        for page in (self.streams, self.recorders, self.log):
            self.tabs.addTab(page, "")
        self.tabs.setDocumentMode(True)
        self.tabs.currentChanged.connect(self._name_tabs)
        left = QtWidgets.QSplitter(QtCore.Qt.Orientation.Vertical)
        left.addWidget(self.picture)
        left.addWidget(self.tabs)
        left.setSizes([560, 190])
        across = QtWidgets.QSplitter(QtCore.Qt.Orientation.Horizontal)
        across.addWidget(left)
        across.addWidget(self.inspector)
        across.setSizes([900, 380])
        across.setStretchFactor(0, 1)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(top)
        for part in (self.troubles, self.message, self.hosts):
            column.addWidget(part)
        column.addWidget(across, 1)
        column.addWidget(self.status)
        self.picture.setFocus()

    def _fit_hosts(self, n_rows: int) -> None:
        header = self.hosts.horizontalHeader()
        height = (header.sizeHint().height() if header is not None else 24) + 4
        self.hosts.setFixedHeight(height + 22 * min(max(n_rows, 1), 6))

    def _name_tabs(self) -> None:
        if self.tabs.currentWidget() is self.log:
            self._n_worse = 0
        worse = f" ({self._n_worse} new)" if self._n_worse else ""
        counted = (len(self.streams.texts), len(self.recorders.texts))
        for at, text in enumerate((f"Streams ({counted[0]})", f"Recorders ({counted[1]})",
                                   f"Log{worse}")):  # fmt: skip
            if self.tabs.tabText(at) != text:
                self.tabs.setTabText(at, text)

    def closeEvent(self, event: QtGui.QCloseEvent | None) -> None:  # noqa: N802
        """Hang up; what runs goes on."""
        self.client.close()
        super().closeEvent(event)
        self.closed.emit()


def run_panel(hosts: Sequence[str] = ()) -> int:
    """Open a panel, and return when it is closed.

    Parameters
    ----------
    hosts : sequence of str
        Addresses of other machines that one is logged in to.

    Returns
    -------
    int
        0 if all went well.
    """
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(sys.argv[:1])
    panel = Panel(hosts)
    # Python gets to see Ctrl-C because the panel runs slots of it all the time.
    before = signal.signal(signal.SIGINT, lambda *_: panel.close())
    hook = sys.excepthook
    survive_mistakes()
    try:
        panel.show()
        return int(application.exec())
    finally:
        sys.excepthook = hook
        signal.signal(signal.SIGINT, before)

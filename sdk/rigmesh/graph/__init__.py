"""What a graph is, whether it can run, and where its nodes do.

Graph files are in `rigmesh.graph.loader`, apart: a daemon, which gets graphs over the wire, does
without YAML and the models of the files.
"""

from rigmesh.graph.check import check_graph, check_link, check_node
from rigmesh.graph.expand import expand_graph
from rigmesh.graph.plan import blocking_nodes, plan_graph, process_of, start_order
from rigmesh.graph.resolve import check_order, find_output, locate
from rigmesh.graph.spec import (
    MAIN,
    AliasSpec,
    GraphSpec,
    GroupSpec,
    NodeSpec,
    spin_microseconds,
    split_port,
)

__all__ = [
    "MAIN",
    "AliasSpec",
    "GraphSpec",
    "GroupSpec",
    "NodeSpec",
    "blocking_nodes",
    "check_graph",
    "check_link",
    "check_node",
    "check_order",
    "expand_graph",
    "find_output",
    "locate",
    "plan_graph",
    "process_of",
    "spin_microseconds",
    "split_port",
    "start_order",
]

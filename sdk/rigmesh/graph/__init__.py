"""What a graph is, whether it can run, and where its nodes do.

Graph files are in `rigmesh.graph.loader`, apart: a daemon, which gets graphs over the wire, does
without YAML and the models of the files.
"""

from rigmesh.graph.check import check_graph, check_link, check_node, check_order, find_output
from rigmesh.graph.plan import blocking_nodes, process_of, start_order
from rigmesh.graph.spec import MAIN, GraphSpec, GroupSpec, NodeSpec, split_port

__all__ = [
    "MAIN",
    "GraphSpec",
    "GroupSpec",
    "NodeSpec",
    "blocking_nodes",
    "check_graph",
    "check_link",
    "check_node",
    "check_order",
    "find_output",
    "process_of",
    "split_port",
    "start_order",
]

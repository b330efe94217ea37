"""What a graph is, how it is read and checked, and where its nodes run."""

from rigmesh.graph.check import check_graph, check_link, check_node, check_order, find_output
from rigmesh.graph.loader import dump_graph, graph_schema, load_graph, parse_graph, parse_setting
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
    "dump_graph",
    "find_output",
    "graph_schema",
    "load_graph",
    "parse_graph",
    "parse_setting",
    "process_of",
    "split_port",
    "start_order",
]

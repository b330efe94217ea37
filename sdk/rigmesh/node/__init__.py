"""Writing nodes: the base class, ports, parameters and their units."""

from rigmesh.node.base import Node, Runtime
from rigmesh.node.demands import Demands
from rigmesh.node.links import link_nodes
from rigmesh.node.params import Parameters, param
from rigmesh.node.ports import Input, InputLink, Output, Target
from rigmesh.node.registry import NodeType
from rigmesh.node.runner import NodeRunner, NodeState
from rigmesh.node.states import Commands, States, command, state
from rigmesh.node.units import (
    Hz,
    MegaBytes,
    Microvolts,
    Milliseconds,
    Percent,
    Seconds,
    Unit,
)

__all__ = [
    "Commands",
    "Demands",
    "Hz",
    "Input",
    "InputLink",
    "MegaBytes",
    "Microvolts",
    "Milliseconds",
    "Node",
    "NodeRunner",
    "NodeState",
    "NodeType",
    "Output",
    "Parameters",
    "Percent",
    "Runtime",
    "Seconds",
    "States",
    "Target",
    "Unit",
    "command",
    "link_nodes",
    "param",
    "state",
]

"""Driving daemons from a script: the Manager and its handles."""

from rigmesh.client.host import GroupOptions, Host, NodeGroup
from rigmesh.client.live import Latency, StateView
from rigmesh.client.manager import Manager
from rigmesh.client.node import InputHandle, NodeHandle, OutputHandle

__all__ = [
    "GroupOptions",
    "Host",
    "InputHandle",
    "Latency",
    "Manager",
    "NodeGroup",
    "NodeHandle",
    "OutputHandle",
    "StateView",
]

"""Driving daemons from a script: the Manager and its handles."""

from rigmesh.client.host import Host, NodeGroup
from rigmesh.client.manager import Manager
from rigmesh.client.node import InputHandle, NodeHandle, OutputHandle

__all__ = ["Host", "InputHandle", "Manager", "NodeGroup", "NodeHandle", "OutputHandle"]

"""Which role each RPC needs: one table, checked against the service descriptors."""

from __future__ import annotations

import enum
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import rigmesh_proto.v1
from rigmesh.errors import DaemonError

__all__ = [
    "LOCAL_ONLY",
    "RULES",
    "Role",
    "changes_something",
    "check_rules",
    "role_for",
    "services",
]


class Role(enum.IntEnum):
    """What a token is good for; a higher role includes the lower ones."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> Role:
        """Return the role of that name.

        Raises
        ------
        DaemonError
            If there is none.

        Examples
        --------
        >>> Role.named("viewer") < Role.named("operator")
        True
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = ", ".join(role.label for role in cls)
            raise DaemonError(f"there is no role {name!r}; the roles are {known}") from None

    @property
    def label(self) -> str:
        """Its name as people write it."""
        return self.name.lower()


_CONTROL = {
    "GetStatus": Role.VIEWER,
    "ListNodeTypes": Role.VIEWER,
    "GetStates": Role.VIEWER,
    "GetLatencies": Role.VIEWER,
    "GetGraph": Role.VIEWER,
    "Subscribe": Role.VIEWER,
    "Watch": Role.VIEWER,
    "CreateGroup": Role.OPERATOR,
    "RemoveGroup": Role.OPERATOR,
    "CreateNode": Role.OPERATOR,
    "RemoveNode": Role.OPERATOR,
    "SetParameters": Role.OPERATOR,
    "SetStates": Role.OPERATOR,
    "CallCommand": Role.OPERATOR,
    "Connect": Role.OPERATOR,
    "Disconnect": Role.OPERATOR,
    "Start": Role.OPERATOR,
    "Stop": Role.OPERATOR,
    "LoadGraph": Role.OPERATOR,
    "Clear": Role.OPERATOR,
    "Annotate": Role.OPERATOR,
    "TakeOver": Role.OPERATOR,
    "RegisterGroup": Role.ADMIN,
}
_RELAY = {"Carry": Role.VIEWER, "GetClockKey": Role.VIEWER, "ProbeClock": Role.VIEWER}

_SERVICES: Mapping[str, Mapping[str, Role]] = {
    "rigmesh_proto.v1.ControlService": _CONTROL,
    "rigmesh_proto.v1.RelayService": _RELAY,
    "grpc.health.v1.Health": {
        "Check": Role.VIEWER,
        "List": Role.VIEWER,
        "Watch": Role.VIEWER,
    },
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": Role.VIEWER},
}

RULES: Mapping[str, Role] = {
    f"/{service}/{method}": role
    for service, methods in _SERVICES.items()
    for method, role in methods.items()
}
"""Full name of a method, as gRPC writes it, and the least role that may call it."""

LOCAL_ONLY = frozenset({"/rigmesh_proto.v1.ControlService/RegisterGroup"})
"""Not for other machines, whatever the role: names a socket that the daemon would connect to."""


def role_for(method: str, request: object) -> Role:
    """Return the role that a request needs, which may be more than its method does."""
    if method == "/rigmesh_proto.v1.ControlService/ListNodeTypes" and getattr(
        request, "refresh", False
    ):
        # Imports every node module anew, in a process of its own.
        return max(RULES[method], Role.OPERATOR)
    return RULES[method]


def changes_something(method: str) -> bool:
    """Whether calls of this method belong into the audit log."""
    return RULES.get(method, Role.ADMIN) > Role.VIEWER


def services() -> Iterator[ServiceDescriptor]:
    """Find every service that a daemon or one of its processes can serve."""
    ours = [
        importlib.import_module(f"rigmesh_proto.v1.{found.name}")
        for found in pkgutil.iter_modules(rigmesh_proto.v1.__path__)
        if found.name.endswith("_pb2")
    ]
    for module in (health_pb2, reflection_pb2, *ours):
        yield from module.DESCRIPTOR.services_by_name.values()


def check_rules(
    served: Iterable[ServiceDescriptor] | None = None,
    rules: Mapping[str, Role] = RULES,
) -> None:
    """Compare the table with the services; a server calls this before it starts.

    Parameters
    ----------
    served : iterable of ServiceDescriptor, optional
        By default `services`.
    rules : mapping of str to Role
        The table.

    Raises
    ------
    DaemonError
        If a method has no rule, or a rule no method.
    """
    found = list(services() if served is None else served)
    methods = {f"/{s.full_name}/{method.name}" for s in found for method in s.methods}
    missing = sorted(methods - rules.keys())
    superfluous = sorted(rules.keys() - methods)
    if missing or superfluous:
        lines = [f"no rule for {method}" for method in missing]
        lines += [f"a rule for {method}, which does not exist" for method in superfluous]
        raise DaemonError("the table of roles does not fit the services: " + "; ".join(lines))

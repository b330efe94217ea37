"""Decides who is let in to call what; free of asyncio and threads, so that both servers use it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from rigmesh.rpc import FAILURE_KEY
from rigmesh_daemon.security.audit import Audit, summary_of
from rigmesh_daemon.security.limits import RateLimit, Slots
from rigmesh_daemon.security.peers import connected_users
from rigmesh_daemon.security.rules import LOCAL_ONLY, RULES, Role, changes_something, role_for
from rigmesh_daemon.security.tokens import Token, TokenFile
from rigmesh_proto.v1 import control_pb2 as pb

__all__ = ["Caller", "Gate", "Refused"]

_log = logging.getLogger(__name__)

_BEARER = "bearer "
_REFUSALS = RateLimit(10, 60.0)
_PER_TOKEN = 32

Metadata = Iterable[tuple[str, str | bytes]]


class Refused(Exception):
    """A call that is not let in.

    Parameters
    ----------
    code : grpc.StatusCode
        Why, for gRPC.
    message : str
        Why, and the way out.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: somebody on this machine, or the holder of a token."""

    role: Role
    token: Token | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the call comes over the network."""
        return self.token is not None


class Gate:
    """Checks each call.

    Parameters
    ----------
    host : str
        Name of this machine, for messages.
    tokens : TokenFile, optional
        What remote callers must show one of. None for a Unix socket: the permissions of the file
        have let the caller in already, and who is let in may do everything.
    audit : Audit, optional
        Where changes are noted.
    socket : Path, optional
        The Unix socket, to note which users are connected to it.
    per_token : int
        How many calls one token may have going on.
    """

    def __init__(
        self,
        host: str,
        tokens: TokenFile | None,
        audit: Audit | None = None,
        *,
        socket: Path | None = None,
        per_token: int = _PER_TOKEN,
    ) -> None:
        self.host = host
        self._tokens = tokens
        self._audit = audit
        self._socket = socket
        self._slots = Slots(per_token)

    def admit(self, method: str, metadata: Metadata | None) -> Caller:
        """Return who calls, if he may.

        Raises
        ------
        Refused
            Otherwise.
        """
        if self._tokens is None:
            return Caller(Role.ADMIN)
        shown = [str(value) for key, value in metadata or () if key == "authorization"]
        if len(shown) != 1 or not shown[0].lower().startswith(_BEARER):
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                f"{self.host} lets nobody in without a token; use one: rigmesh login",
            )
        token = self._tokens.check(shown[0][len(_BEARER) :])
        if token is None:
            raise Refused(
                grpc.StatusCode.UNAUTHENTICATED,
                f"the token is wrong, expired or revoked; get another one (on {self.host}: "
                "rigmeshd token add), then: rigmesh login",
            )
        caller = Caller(token.role, token)
        if method in LOCAL_ONLY:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{_short(method)} is not for other machines; call it on {self.host} itself",
            )
        if method in RULES:
            self._demand(caller, method, RULES[method])
        return caller

    def check_rule(self, method: str) -> None:
        """Refuse a method that exists and has no rule; servers look before they start, too.

        Raises
        ------
        Refused
            If it has none.
        """
        if method not in RULES:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED, f"nobody may call {_short(method)}: no rule"
            )

    def check_request(self, caller: Caller, method: str, request: object) -> None:
        """Refuse what the caller's role is not enough for with just this request.

        Raises
        ------
        Refused
            If it is not.
        """
        self._demand(caller, method, role_for(method, request))

    def parse(self, deserializer: Callable[[bytes], Any] | None, raw: bytes) -> Any:
        """Return the message; the bytes themselves for a method that reads them by itself.

        Raises
        ------
        Refused
            If it is corrupt, without a word on what is wrong with it.
        """
        try:
            return raw if deserializer is None else deserializer(raw)
        except (DecodeError, ValueError, RecursionError, MemoryError) as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read") from error

    def take(self, caller: Caller) -> None:
        """Count a call that begins.

        Raises
        ------
        Refused
            If the token has too many going on.
        """
        if caller.token is not None and not self._slots.take(caller.token.id):
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the token {caller.token.id} has {self._slots.most} calls going on already; end "
                "some, or use a token for each client",
            )

    def give_back(self, caller: Caller) -> None:
        """Count a call that ended."""
        if caller.token is not None:
            self._slots.give_back(caller.token.id)

    def is_good(self, caller: Caller) -> bool:
        """Whether who was let in would be let in now."""
        if caller.token is None or self._tokens is None:
            return True
        return self._tokens.is_good(caller.token)

    def ended(self) -> Refused:
        """Return what a running stream ends with when its token is no longer good."""
        return Refused(
            grpc.StatusCode.UNAUTHENTICATED,
            "the token has expired or was revoked meanwhile; use another one: rigmesh login",
        )

    def log(self, peer: str, method: str, refused: Refused) -> None:
        """Note a refusal, but not each one of a flood; the token is no part of it."""
        held = _REFUSALS.passes()
        if held is not None:
            more = f" ({held} more were not logged)" if held else ""
            _log.warning(
                "refused %s of %s: %s%s", ascii(method[:100]), ascii(peer), refused.code.name, more
            )

    def note(
        self, caller: Caller, peer: str, method: str, request: Message | None, outcome: str
    ) -> None:
        """Put a call that changes something into the audit log."""
        if self._audit is None or not changes_something(method):
            return
        self._audit.record(
            who=self._name(caller),
            peer=peer,
            method=method,
            summary="" if request is None else summary_of(request),
            outcome=outcome,
        )

    def harmless(
        self, caller: Caller, code: grpc.StatusCode, details: str, trailing: Metadata
    ) -> tuple[str, tuple[tuple[str, str | bytes], ...]]:
        """Take out of an error what is nobody's business on another machine."""
        if not caller.is_remote:
            return details, tuple(trailing)
        kept = []
        for key, value in trailing:
            if key != FAILURE_KEY or not isinstance(value, bytes):
                kept.append((key, value))
            elif code is not grpc.StatusCode.INTERNAL:
                failure = pb.Failure.FromString(value)
                if caller.role < Role.OPERATOR:
                    failure.ClearField("traceback")
                kept.append((key, failure.SerializeToString()))
        if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN):
            details = self.internal_error
        return details, tuple(kept)

    @property
    def internal_error(self) -> str:
        """What others are told of a mistake in the daemon."""
        return f"internal error, see the log of {self.host}"

    def shown_to(self, caller: Caller, response: object) -> None:
        """Take tracebacks out of an answer to somebody who only looks."""
        if caller.role >= Role.OPERATOR:
            return
        if isinstance(response, pb.GetStatusResponse):
            _without_tracebacks(response.status.nodes)
        elif isinstance(response, pb.WatchResponse):
            kind = response.event.WhichOneof("what")
            if kind == "status":
                _without_tracebacks(response.event.status.nodes)
            elif kind == "node":
                _without_tracebacks([response.event.node])

    def _demand(self, caller: Caller, method: str, needed: Role) -> None:
        if caller.role >= needed:
            return
        name = caller.token.id if caller.token else "?"
        raise Refused(
            grpc.StatusCode.PERMISSION_DENIED,
            f"{_short(method)} needs the role {needed.label}, and token {name} has "
            f"{caller.role.label}; get another one (on {self.host}: rigmeshd token add --role "
            f"{needed.label}), then: rigmesh login",
        )

    def _name(self, caller: Caller) -> str:
        if caller.token is not None:
            return f"{caller.token.id} {caller.token.note}".rstrip()
        users = connected_users(self._socket) if self._socket else {os.getuid()}
        return "uid " + (" or ".join(map(str, sorted(users))) or "?")


def _without_tracebacks(nodes: Iterable[pb.NodeStatus]) -> None:
    for node in nodes:
        if node.HasField("failure"):
            node.failure.ClearField("traceback")


def _short(method: str) -> str:
    return ascii(method.rpartition("/")[2][:60])[1:-1]

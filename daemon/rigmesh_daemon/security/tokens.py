"""Tokens: what other machines show to be let in. Only hashes of them are stored."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rigmesh.errors import DaemonError, RigmeshError, UnknownName
from rigmesh_daemon.security.files import check_secret, locked, write_secret
from rigmesh_daemon.security.rules import Role

__all__ = ["Token", "TokenFile", "duration"]

_log = logging.getLogger(__name__)

_VERSION = 1
_LONGEST = 128
_LONGEST_NOTE = 200
_MOST = 1000
_FORM = re.compile(r"([0-9a-f]{8})\.([A-Za-z0-9_-]{43})", re.ASCII)
_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str) -> float:
    """Return the seconds in ``30d``, ``12h``, ``90m`` or ``4w``.

    Raises
    ------
    DaemonError
        If it is none of these.

    Examples
    --------
    >>> duration("30d")
    2592000.0
    """
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII)
    if match is None or int(match[1]) == 0:
        raise DaemonError(f"{text!r} is no duration; write 90m, 12h, 30d or 4w")
    return float(int(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: all but its secret."""

    id: str
    role: Role
    hash: str = field(repr=False)
    created: float
    expires: float | None = None
    note: str = ""

    @property
    def is_expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and time.time() >= self.expires

    def to_dict(self) -> dict[str, Any]:
        """Return it as the file has it."""
        return {
            "id": self.id,
            "role": self.role.label,
            "sha256": self.hash,
            "created": self.created,
            "expires": self.expires,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Token:
        """Take it from the file.

        Raises
        ------
        ValueError, TypeError, KeyError, RigmeshError
            If something else is there.
        """
        expires = values["expires"]
        made = cls(
            id=str(values["id"]),
            role=Role.named(str(values["role"])),
            hash=str(values["sha256"]),
            created=float(values["created"]),
            expires=None if expires is None else float(expires),
            note=str(values.get("note", "")),
        )
        if len(made.hash) != 64 or (made.expires is not None and not math.isfinite(made.expires)):
            raise ValueError(f"token {made.id} is damaged")
        return made


class TokenFile:
    """The tokens of a host.

    It is read anew as soon as the file is another one, so a token that was revoked by
    ``rigmeshd token revoke`` is refused from the next call on. A file that is missing or damaged
    lets nobody in.

    Parameters
    ----------
    path : Path
        ``tokens.json``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def check(self, presented: str) -> Token | None:
        """Return the token that was presented, or None if it is not good (any more).

        It takes as long whether the secret is nearly right or not at all.
        """
        match = _FORM.fullmatch(presented) if len(presented) <= _LONGEST else None
        token = self._current().get(match[1]) if match else None
        expected = token.hash if token else "0" * 64
        found = _hash(match[2] if match else "")
        good = hmac.compare_digest(found, expected)
        return token if token is not None and good and not token.is_expired else None

    def is_good(self, token: Token) -> bool:
        """Whether a token that was accepted would be so now."""
        return self._current().get(token.id) == token and not token.is_expired

    def all(self) -> list[Token]:
        """Return the tokens, oldest first.

        Raises
        ------
        DaemonError
            If the file cannot be read.
        """
        return sorted(self._read().values(), key=lambda token: token.created)

    def add(self, role: Role, *, expires: float | None = None, note: str = "") -> tuple[Token, str]:
        """Make a token.

        Parameters
        ----------
        role : Role
            What it is good for.
        expires : float, optional
            For so many seconds.
        note : str
            Whose it is.

        Returns
        -------
        Token
            What is stored.
        str
            The token itself, which is not stored anywhere.
        """
        secret = secrets.token_urlsafe(32)
        with locked(self.path.parent):
            tokens = self._read() if self.path.exists() else {}
            if len(tokens) >= _MOST:
                raise DaemonError(f"there are {len(tokens)} tokens; revoke some first")
            while (name := secrets.token_hex(4)) in tokens:
                pass
            now = time.time()
            made = Token(
                name,
                role,
                _hash(secret),
                created=now,
                expires=None if expires is None else now + expires,
                note="".join(c for c in note if c.isprintable())[:_LONGEST_NOTE],
            )
            self._write({**tokens, name: made})
        return made, f"{name}.{secret}"

    def revoke(self, name: str) -> Token:
        """Take a token back, by its id.

        Raises
        ------
        UnknownName
            If there is none.
        """
        name = name.partition(".")[0]
        with locked(self.path.parent):
            tokens = self._read()
            if name not in tokens:
                raise UnknownName.among("token", name, tokens)
            revoked = tokens.pop(name)
            self._write(tokens)
        return revoked

    def clear(self) -> None:
        """Revoke all of them."""
        with locked(self.path.parent):
            self._write({})

    def _current(self) -> dict[str, Token]:
        with self._lock:
            try:
                about = self.path.stat()
                # Each change is another file, so its number tells even of two in one clock tick.
                seen = (about.st_ino, about.st_mtime_ns, about.st_size)
            except OSError:
                seen = (0, 0, 0)
            if seen != self._seen:
                self._seen = seen
                try:
                    self._tokens = self._read()
                except RigmeshError as error:
                    _log.warning("nobody is let in from other machines: %s", error)
                    self._tokens = {}
            return self._tokens

    def _read(self) -> dict[str, Token]:
        try:
            check_secret(self.path)
            return _parsed(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DaemonError(
                f"there are no tokens: {self.path} does not exist; make it: rigmeshd init"
            ) from error
        except OSError as error:
            raise DaemonError(f"cannot read the tokens: {error}") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DaemonError(
                f"{self.path} is damaged ({error}); make new tokens: rigmeshd init --force"
            ) from error

    def _write(self, tokens: dict[str, Token]) -> None:
        content = {"version": _VERSION, "tokens": [token.to_dict() for token in tokens.values()]}
        write_secret(self.path, json.dumps(content, indent=1).encode())


def _parsed(text: str) -> dict[str, Token]:
    content = json.loads(text)
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']!r}, not {_VERSION}")
    found = [Token.from_dict(values) for values in content["tokens"]]
    return {token.id: token for token in found}


def _hash(secret: str) -> str:
    # The secret has 256 random bits: nothing slower than SHA-256 would make it harder to guess.
    return hashlib.sha256(secret.encode()).hexdigest()

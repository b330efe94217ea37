"""The configuration file of liblsl: which streams a process sees, and who sees its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rigmesh.errors import ParameterError

__all__ = ["lsl_config"]

_LOOPBACK = "127.0.0.1"
_SESSION = re.compile(r"[\w.:@ -]*")
_PEER = re.compile(r"[\w.:%-]+")
_ERRORS = -2
_LOOPBACK_PORTS = 256
"""LSL's own 32 are used up by a dozen streams, and one without such a port is never found."""


def lsl_config(session: str = "", peers: Sequence[str] = (), loopback_only: bool = False) -> str:
    """Return the text of a configuration file, for the environment variable ``LSLAPICFG``.

    liblsl reads it once in a process, before its first stream.

    Parameters
    ----------
    session : str
        Only streams of the same session are seen; empty for LSL's own, ``default``.
    peers : list of str
        Names or addresses of hosts to ask for streams, besides those that multicast reaches.
    loopback_only : bool
        Neither ask nor answer other hosts, and have ports for more streams. The data ports of an
        outlet still listen on every interface: liblsl cannot bind them to one.

    Raises
    ------
    ParameterError
        If a text has characters that would change the meaning of the file.

    Examples
    --------
    >>> print(lsl_config("rig-2", ["10.0.0.7"]))
    [lab]
    KnownPeers = {10.0.0.7}
    SessionID = rig-2
    [log]
    level = -2
    <BLANKLINE>
    """
    if not _SESSION.fullmatch(session):
        raise ParameterError(
            f"an LSL session is named by letters, digits, blanks and .:@-_, not {session!r}"
        )
    for peer in peers:
        if not _PEER.fullmatch(peer):
            raise ParameterError(f"an LSL peer is a host name or an address, not {peer!r}")
    sections: dict[str, dict[str, str]] = {"ports": {}, "multicast": {}, "lab": {}}
    known = list(peers)
    if loopback_only:
        sections["ports"] = {"IPv6": "disable", "PortRange": str(_LOOPBACK_PORTS)}
        sections["multicast"] = {
            "ResolveScope": "machine",
            "AddressesOverride": f"{{{_LOOPBACK}}}",
            "Interfaces": f"{{{_LOOPBACK}}}",
            "ListenAddress": _LOOPBACK,
        }
        # A datagram to 127.0.0.1 reaches one of the processes that share the multicast port, by
        # chance; a known peer is asked port by port.
        known.append(_LOOPBACK)
    if known:
        sections["lab"]["KnownPeers"] = f"{{{', '.join(dict.fromkeys(known))}}}"
    if session:
        sections["lab"]["SessionID"] = session
    # Less than errors is not worth a line: losses are counted and told by the nodes themselves.
    sections["log"] = {"level": str(_ERRORS)}
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for name, entries in sections.items()
        if entries
    )

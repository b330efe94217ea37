"""``rigmeshd init`` and ``rigmeshd token``: certificates and tokens of this host."""

from __future__ import annotations

import argparse
import ipaddress
import os
import pwd
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rigmesh.errors import DaemonError, NotPermitted
from rigmesh.names import DEFAULT_PORT
from rigmesh_daemon.config import SYSTEM_FILE, DaemonConfig, load_config, user_config_dir
from rigmesh_daemon.security.files import make_folder
from rigmesh_daemon.security.listen import Listen
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import TokenFile, duration

__all__ = ["add_commands"]

if TYPE_CHECKING:
    from rigmesh_daemon.security.pki import Pki

_SYSTEM_USER = "rigmesh"
Arguments = dict[str, Any]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Give ``rigmeshd`` its commands; without one it is the daemon."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings, as TOML")
    common.add_argument("--system", action="store_true", help="for the system's daemon")
    common.add_argument("--tls-dir", type=Path, metavar="DIR", help="certificates and tokens")
    commands = parser.add_subparsers(title="commands", metavar="{init,token}")

    init = commands.add_parser(
        "init", parents=[common], help="make certificates and tokens, so that others can be let in"
    )
    init.add_argument("--name", action="append", default=[], help="another name of this machine")
    init.add_argument("--address", action="append", default=[], help="another address of it")
    how = init.add_mutually_exclusive_group()
    how.add_argument(
        "--renew",
        action="store_true",
        help="another certificate of the same authority: tokens and log-ins stay good",
    )
    how.add_argument(
        "--force", action="store_true", help="replace all; everybody has to log in anew"
    )
    _set_command(init, _init)

    token = commands.add_parser("token", help="make, list and revoke tokens")
    actions = token.add_subparsers(title="commands", metavar="{add,list,revoke}", required=True)
    add = actions.add_parser("add", parents=[common], help="make a token, and print it once")
    add.add_argument("--role", required=True, choices=[role.label for role in Role])
    add.add_argument("--expires", metavar="30d", help="when: 90m, 12h, 30d, 4w; never by default")
    add.add_argument("--note", default="", help="whose it is")
    _set_command(add, _add)
    listed = actions.add_parser("list", parents=[common], help="list the tokens")
    _set_command(listed, _list)
    revoke = actions.add_parser("revoke", parents=[common], help="revoke tokens, at once")
    revoke.add_argument("ids", nargs="+", metavar="ID", help="the eight characters before the dot")
    _set_command(revoke, _revoke)


def _set_command(parser: argparse.ArgumentParser, command: Callable[[Arguments], None]) -> None:
    parser.set_defaults(command=command)


def _config(arguments: Arguments) -> DaemonConfig:
    wanted = {key: arguments.get(key) for key in ("system", "tls_dir")}
    return load_config(arguments.get("config"), **wanted)


def _init(arguments: Arguments) -> None:
    from rigmesh_daemon.security.pki import Pki, names_of_this_machine

    config = _config(arguments)
    folder = config.tls_dir
    pki, tokens = Pki(folder), TokenFile(folder / "tokens.json")
    given = list(arguments["name"])
    names, addresses = names_of_this_machine()
    names = [*given, *names]
    if _is_name(config.host):
        names.append(config.host)
    addresses = [*arguments["address"], *addresses]
    if arguments["renew"]:
        if pki.host.exists():
            old_names, old_addresses = _allowed(pki.alternatives, folder)
            names, addresses = [*names, *old_names], [*addresses, *old_addresses]
        _allowed(lambda: pki.make_host(names, addresses), folder)
        _say(f"Renewed the certificate in {folder}; restart the daemon to use it.")
        _say_names(names, addresses)
        return
    if (pki.exists or tokens.path.exists()) and not arguments["force"]:
        raise DaemonError(
            f"there are certificates or tokens in {folder} already; --renew makes a new "
            "certificate and keeps the rest, --force replaces all"
        )

    def make() -> list[tuple[Role, str]]:
        make_folder(folder, owner=_owner(config))
        tokens.clear()
        pki.make_ca(config.host)
        pki.make_host(names, addresses)
        return [(role, tokens.add(role, note="rigmeshd init")[1]) for role in Role]

    made = _allowed(make, folder)
    _say(f"Certificates and tokens of {config.host} are in {folder}.")
    _say_names(names, addresses)
    _say(f"\nOn another machine:\n  {_login(config, pki, arguments)}")
    _say("\nTokens, which are not shown again:")
    for role, token in made:
        _say(f"  {role.label:<9} {token}")
    if not config.listen:
        file = arguments.get("config") or (
            SYSTEM_FILE if config.system else user_config_dir() / "rigmeshd.toml"
        )
        how = "restart the daemon" if config.system else f"start the daemon with --config {file}"
        _say(f'\nTo listen, put this into {file}, and {how}:\n  listen = "0.0.0.0:{DEFAULT_PORT}"')


def _login(config: DaemonConfig, pki: Pki, arguments: Arguments) -> str:
    """Return the line that a client machine needs."""
    from rigmesh_daemon.security.pki import fingerprint, names_of_this_machine

    port = Listen.parse(config.listen).port if config.listen else DEFAULT_PORT
    names, addresses = names_of_this_machine()
    public = [a for a in addresses if _is_public(a)]
    candidates = [*arguments["address"], *arguments["name"], *public, *names]
    host = candidates[0]
    where = f"[{host}]" if ":" in host else host
    port_part = "" if port == DEFAULT_PORT else f":{port}"
    return f"rigmesh login {where}{port_part} --ca {fingerprint(pki.ca.read_bytes())}"


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.version == 4 and not parsed.is_loopback and not parsed.is_link_local


def _is_name(host: str) -> bool:
    return all(c.isalnum() or c in "-_." for c in host) and host.isascii()


def _owner(config: DaemonConfig) -> tuple[int, int] | None:
    """Return whose the files of a system daemon are when root makes them."""
    if not config.system or os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        return None
    return user.pw_uid, user.pw_gid


def _add(arguments: Arguments) -> None:
    tokens = _tokens(arguments)
    expires = duration(arguments["expires"]) if arguments["expires"] else None
    role = Role.named(arguments["role"])
    _, text = _allowed(
        lambda: tokens.add(role, expires=expires, note=arguments["note"]), tokens.path
    )
    _say(text)


def _list(arguments: Arguments) -> None:
    tokens = _allowed(_tokens(arguments).all, Path("tokens.json"))
    rows = [("ID", "ROLE", "EXPIRES", "NOTE")]
    for token in tokens:
        when = "never" if token.expires is None else _date(token.expires)
        ended = " (expired)" if token.is_expired else ""
        rows.append((token.id, token.role.label, when + ended, token.note))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        _say("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]).rstrip())


def _revoke(arguments: Arguments) -> None:
    tokens = _tokens(arguments)
    for name in arguments["ids"]:
        revoked = _allowed(partial(tokens.revoke, name), tokens.path)
        _say(f"revoked {revoked.id} ({revoked.role.label})")


def _tokens(arguments: Arguments) -> TokenFile:
    tokens = TokenFile(_config(arguments).tls_dir / "tokens.json")
    _allowed(tokens.all, tokens.path)
    return tokens


def _allowed(action: Callable[[], Any], path: Path) -> Any:
    try:
        return action()
    except PermissionError as error:
        raise NotPermitted(f"{path} is another user's; as its owner or root: sudo …") from error
    except OSError as error:
        raise DaemonError(f"cannot write {path}: {error}") from error


def _say_names(names: Iterable[str], addresses: Iterable[str]) -> None:
    _say("They are good for the names and addresses " + ", ".join(dict.fromkeys(names)))
    _say("  " + ", ".join(dict.fromkeys(addresses)))


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")

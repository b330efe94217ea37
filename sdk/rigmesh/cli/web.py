"""``rigmesh web``: the rig in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rigmesh.cli.console import OUT
from rigmesh.errors import NotPermitted, Unsupported

__all__ = ["web"]


def web(
    listen: Annotated[
        str,
        typer.Option(
            help="Address and port. Other machines are served by HTTPS only, and with tokens."
        ),
    ] = "127.0.0.1:8765",
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--host", "-H", metavar="ADDRESS",
            help="A machine you are logged in to; may be repeated.",
        ),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", exists=True, file_okay=False,
            help="Folder of recordings to look at; by default the recording_root of the daemon.",
        ),
    ] = None,
    role: Annotated[
        Literal["viewer", "operator"],
        typer.Option(help="What the one-time link is good for, if the host has no tokens."),
    ] = "operator",
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings of the daemon, which say where tokens are."),
    ] = None,
    system: Annotated[
        bool, typer.Option("--system", help="With the tokens of the system's daemon.")
    ] = False,
) -> None:  # fmt: skip
    """Show hosts, graphs, live streams and recordings in a browser.

    One logs in with a token of this host (`rigmeshd token add`); if it has none, a link that is
    good once is printed. Who has the role viewer looks; operators start, stop and change.
    """
    try:
        from rigmesh.web.serve import serve
        from rigmesh.web.settings import Address, Settings
        from rigmesh_daemon.config import load_config
        from rigmesh_daemon.security.pki import Pki
    except ImportError as error:
        raise Unsupported(
            f"the page needs {error.name}: pip install 'rigmesh[web,daemon]'"
        ) from error
    address = Address.parse(listen)
    # A daemon that can be reached by others has an audit log, and so has the page.
    daemon = load_config(config, system=system or None, listen=str(address))
    tokens = daemon.tls_dir / "tokens.json"
    is_open = not address.is_loopback
    if is_open and not tokens.exists():
        raise NotPermitted(
            f"{listen} can be reached by others, and there are no tokens and certificates in "
            f"{daemon.tls_dir}; make them: rigmeshd init"
        )
    names, addresses = Pki(daemon.tls_dir).alternatives() if is_open else ([], [])
    root = Path(daemon.recording_root) if daemon.recording_root else None
    settings = Settings(
        listen=address,
        hosts=tuple(hosts or ()),
        recordings=(recordings or root),
        tls_dir=daemon.tls_dir if is_open else None,
        tokens=tokens if tokens.exists() else None,
        role=role,
        audit_log=daemon.audit_log,
        names=(*names, *addresses),
    )

    def say(where: str) -> None:
        OUT.print(where, highlight=False, markup=False, soft_wrap=True)
        how = "log in with a token of this host" if settings.tokens else "the link is good once"
        OUT.print(f"{how}; Ctrl-C ends the page, and nothing else", style="dim")

    serve(settings, say)

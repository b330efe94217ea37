"""The relay over the network: encrypted, with tokens, and through a cable that is pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.contract.bad_cable import Cable
from tests.contract.relay_rig import Rig, Seen, Source, until

from rigmesh.credentials import Credentials
from rigmesh.errors import NotPermitted
from rigmesh_daemon.relay.server import serve_tls
from rigmesh_daemon.relay.service import Relay
from rigmesh_daemon.security.pki import Pki
from rigmesh_daemon.security.rules import Role
from rigmesh_daemon.security.tokens import TokenFile


class SecuredRig(Rig):
    """A host whose relay listens on 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.tls = folder / "tls"
        self.tls.mkdir(mode=0o700)
        self.pki = Pki(self.tls)
        self.pki.make_ca("rig-1")
        self.pki.make_host(["localhost"], ["127.0.0.1"])
        self.tokens = TokenFile(self.tls / "tokens.json")
        self.tokens.add(Role.ADMIN)
        self.port = 0
        super().__init__(folder)

    def serve(self, relay: Relay) -> grpc.Server:
        server, self.port = serve_tls(relay, f"127.0.0.1:{self.port}", self.tls, host="rig-1")
        return server

    def credentials(self, token: str, port: int = 0) -> Credentials:
        # The relay is at the port after the daemon's.
        address = f"127.0.0.1:{(port or self.port) - 1}"
        return Credentials(address, self.pki.ca.read_bytes(), token)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SecuredRig]:
    with SecuredRig(tmp_path) as made:
        yield made


@pytest.fixture
def source(rig: SecuredRig) -> Source:
    return Source(rig).begin()


@pytest.fixture
def token(rig: SecuredRig) -> str:
    return rig.tokens.add(Role.VIEWER)[1]


def test_a_viewers_token_is_enough_to_read(rig: SecuredRig, source: Source, token: str) -> None:
    with rig.reader(host=rig.credentials(token)) as seen:
        source.send(500)
        seen.wait(500)

    assert seen.numbers == list(range(500))


@pytest.mark.parametrize("wrong", ["00000000.nothing", "", "x"])
def test_nobody_reads_without_a_good_token(rig: SecuredRig, source: Source, wrong: str) -> None:
    source.send(10)
    with rig.reader(host=rig.credentials(wrong)) as seen:
        until(lambda: seen.error is not None)

    assert isinstance(seen.error, NotPermitted)
    assert seen.chunks == []


def test_a_token_that_is_revoked_ends_the_reading(
    rig: SecuredRig, source: Source, token: str
) -> None:
    with rig.reader(host=rig.credentials(token)) as seen:
        source.send(10)
        seen.wait(10)
        rig.tokens.revoke(token.partition(".")[0])

        def refused() -> bool:
            source.send(1)
            return seen.error is not None

        until(refused)

    assert isinstance(seen.error, NotPermitted)


def test_two_tokens_do_not_share_what_is_kept_for_them(
    rig: SecuredRig, source: Source, token: str
) -> None:
    other = rig.tokens.add(Role.VIEWER)[1]
    mine, theirs = rig.credentials(token), rig.credentials(other)
    with rig.reader(host=mine) as seen, Seen(theirs, "source.signal") as thief:
        until(lambda: rig.relay.n_consumers == 2)
        source.send(10)
        seen.wait(10)
        thief.wait(10)

    assert seen.numbers == thief.numbers


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_cable_that_is_pulled_and_put_back_costs_nothing(
    rig: SecuredRig, source: Source, token: str, is_reset: bool
) -> None:
    with Cable(("127.0.0.1", 0), ("127.0.0.1", rig.port)) as cable:
        host = rig.credentials(token, port=cable.address[1])
        with rig.reader(host=host, spool_seconds=30) as seen:
            source.send(500)
            seen.wait(500)

            cable.cut()
            began = time.monotonic()
            source.send(500)
            until(lambda: not seen.reader.is_connected)
            noticed = time.monotonic() - began
            for _ in range(4):
                source.send(10_000, at_once=1000)
                until(lambda: rig.relay.waiting == 0)
            if is_reset:
                cable.heal()
            else:
                cable.resume()
            source.send(500)
            source.end()
            seen.wait_for_end()

    assert noticed < 5.0
    assert seen.numbers == list(range(41_500))
    assert seen.gaps == []

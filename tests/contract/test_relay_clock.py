"""The clock of a relay's host: by its responder, by calls, or not at all if it is our own."""

from __future__ import annotations

import math
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.relay_rig import Rig, until
from tests.contract.test_relay_tls import SecuredRig

from rigmesh.credentials import Credentials
from rigmesh.relay import clock as clock_module
from rigmesh.relay.clock import HostClock, Waves, borrow_clock, return_clock
from rigmesh_daemon.relay.responder import ClockResponder
from rigmesh_daemon.security.rules import Role


class ElsewhereRig(SecuredRig):
    """A host that says that its clock is another one, with a responder or a silent port."""

    def __init__(self, folder: Path, *, is_silent: bool = False) -> None:
        self.responder = ClockResponder("127.0.0.1", 0)
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind(("127.0.0.1", 0))
        if not is_silent:
            self.responder.start()
        self._is_silent = is_silent
        super().__init__(folder)

    def start_relay(self) -> None:
        super().start_relay()
        self.relay._clock_id = "another clock"
        self.relay._clock_key = (
            (lambda: (bytes(32), int(self.silent.getsockname()[1])))
            if self._is_silent
            else self.responder.key
        )

    def close(self) -> None:
        super().close()
        self.responder.close()
        self.silent.close()

    def host(self) -> Credentials:  # type: ignore[override]
        return self.credentials(self.tokens.add(Role.VIEWER)[1])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ElsewhereRig]:
    with ElsewhereRig(tmp_path) as made:
        yield made


def test_nothing_is_measured_where_the_clock_is_our_own(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        clock = HostClock(rig.host)
        assert clock.wait(10)

        assert clock.is_same
        assert clock.state == "same"
        assert clock.model().is_identity
        assert clock.model().uncertainty == 0
        clock.close()


def test_another_clock_is_measured_by_its_responder(rig: ElsewhereRig) -> None:
    waves: Waves = deque()
    clock = borrow_clock(rig.host(), waves)
    assert clock.wait(10)
    until(lambda: clock.state == "coarse")

    model = clock.model()
    assert not clock.by_calls
    assert abs(model.offset) < 0.01
    assert 0 < model.uncertainty < 0.05
    assert waves
    assert waves[0].probes
    return_clock(clock, waves)


def test_a_relay_that_is_started_again_is_asked_for_its_new_key(rig: ElsewhereRig) -> None:
    clock = borrow_clock(rig.host())
    assert clock.wait(10)
    rig.responder.close()
    rig.responder = ClockResponder("127.0.0.1", rig.responder.port)
    rig.responder.start()
    rig.stop_relay()
    rig.start_relay()
    before = clock.estimate.n_waves

    clock.refresh()

    until(lambda: clock.estimate.n_waves > before)
    return_clock(clock)


def test_a_host_whose_responder_is_silent_is_measured_by_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "_UDP_WITHIN", 0.5)
    with ElsewhereRig(tmp_path, is_silent=True) as rig:
        clock = borrow_clock(rig.host())
        assert math.isinf(clock.model().uncertainty)

        assert clock.wait(15)

        assert clock.by_calls
        assert abs(clock.model().offset) < 0.05
        return_clock(clock)


def test_all_streams_of_a_host_share_one_measurement(rig: ElsewhereRig) -> None:
    host = rig.host()
    first, second = borrow_clock(host), borrow_clock(host)

    assert first is second
    return_clock(first)
    assert second.wait(10)
    return_clock(second)

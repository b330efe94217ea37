"""Requests and bytes by chance, at the ports of a daemon that records: nobody notices anything."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.protobuf.descriptor import MethodDescriptor
from tests.system.fuzz import Fuzz
from tests.system.security_host import SecuredHost
from tests.system.test_recording import load

from rigmesh.client import Manager
from rigmesh.client.connection import Connection
from rigmesh.relay import RemoteStreamReader
from rigmesh_daemon.security.rules import LOCAL_ONLY, Role, services
from rigmesh_proto.v1 import control_pb2 as pb

Until = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.timeout(3000)

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for service in services()
    for method in service.methods
}
MAY_BE_MEANT = {"TakeOver"}
"""What an operator may do although the graph is another's, and then may end it."""
_MIB = 2**20


def method_of(name: str) -> str:
    return name.rpartition("/")[2]


@dataclass
class Ports:
    """The ports of a host, and what its clients have."""

    host: SecuredHost
    tokens: dict[str, str]
    codes: Counter[str] = field(default_factory=Counter)
    _channels: dict[int, grpc.Channel] = field(default_factory=dict)

    def call(self, fuzz: Fuzz, name: str, method: MethodDescriptor, caller: str) -> None:
        """Call a method with whatever there is."""
        call: Any = self._channel("Relay" in name).stream_stream(name)
        token = self.tokens[caller]
        credentials = grpc.access_token_call_credentials(token) if token else None
        # A stream goes on for as long as one listens.
        within = 0.05 if method.server_streaming else 60.0
        found = call(iter(fuzz.requests(method)), timeout=within, credentials=credentials)
        with contextlib.suppress(grpc.RpcError):
            for _ in zip(found, range(3), strict=False):
                pass
        found.cancel()
        code = found.code().name
        self.codes[code] += 1
        assert code != "INTERNAL", f"{method_of(name)}: {found.details()}"
        assert "Traceback" not in (found.details() or "")

    def bother(self, fuzz: Fuzz) -> None:
        """Send bytes to a port, in plain text or within TLS."""
        port = self.host.port + fuzz.chance.randrange(2)
        with contextlib.suppress(OSError):
            plain = socket.create_connection(("127.0.0.1", port), timeout=10)
            with plain:
                if fuzz.chance.random() < 0.5:
                    plain.sendall(fuzz.hello())
                    return
                context = ssl.create_default_context(cadata=self.host.ca.decode("ascii"))
                context.set_alpn_protocols(["h2"])
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    secured.sendall(fuzz.frames())
                    secured.settimeout(0.01)
                    secured.recv(100)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            size = fuzz.chance.choice((0, 1, 32, 64, 80, 96, 128, 1400))
            probe.sendto(fuzz.chance.randbytes(size), ("127.0.0.1", self.host.port + 1))

    def _channel(self, is_relay: bool) -> grpc.Channel:
        port = self.host.port + is_relay
        if port not in self._channels:
            credentials = grpc.ssl_channel_credentials(self.host.ca)
            # Or it would be the connection of those who are admitted.
            options = [("grpc.use_local_subchannel_pool", 1)]
            self._channels[port] = grpc.secure_channel(
                f"127.0.0.1:{port}", credentials, options=options
            )
        return self._channels[port]

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


class Far(threading.Thread):
    """Reads a stream as another host does."""

    def __init__(self, host: SecuredHost, stream: str) -> None:
        super().__init__()
        self._stream = RemoteStreamReader(host.credentials(Role.VIEWER), stream, start="oldest")
        self.parts: list[Any] = []
        self.gaps: list[Any] = []
        self.start()

    def run(self) -> None:
        with self._stream as stream:
            for chunk in stream.chunks():
                self.parts.append(chunk.data[:, 0].copy())
                self.gaps += chunk.gaps


class Logs(threading.Thread):
    """What all processes of a host say."""

    def __init__(self, manager: Manager) -> None:
        super().__init__()
        self._manager = manager
        self._begun: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._watching: Any = None
        self.said: list[str] = []
        self.start()

    def run(self) -> None:
        connection = self._manager._connection
        self._watching = connection.stub.Watch(pb.WatchRequest(logs=True))
        self._begun.put(None)
        with contextlib.suppress(grpc.RpcError):
            for response in self._watching:
                self.said.append(response.event.log.message)

    def close(self) -> None:
        self._begun.get(timeout=60)
        self._watching.cancel()
        self.join()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SecuredHost]:
    # One for each test: relays keep for minutes what somebody wants who does not come back.
    with SecuredHost(tmp_path) as made:
        yield made


@pytest.fixture
def ports(host: SecuredHost) -> Iterator[Ports]:
    good = host.token(Role.VIEWER)
    tokens = {
        "none": "",
        "garbage": "nonsense",
        "wrong": good.partition(".")[0] + "." + "A" * 43,
        "expired": host.token(Role.ADMIN, expires=0.0),
        **{role.label: host.token(role) for role in Role},
    }
    made = Ports(host, tokens)
    yield made
    made.close()


def relay_of(host: SecuredHost) -> psutil.Process:
    return next(p for p in host.usage.children() if "rigmesh_daemon.relay" in p.cmdline())


@pytest.mark.parametrize(
    ("seed", "n_calls"),
    [(1, 2000), *(pytest.param(s, 25_000, marks=pytest.mark.soak) for s in (11, 12, 13, 14))],
)
def test_a_recording_and_its_readers_notice_nothing_of_requests_by_chance(
    ports: Ports, tmp_path: Path, until: Until, seed: int, n_calls: int
) -> None:
    fuzz = Fuzz(seed)
    host, path = ports.host, tmp_path / "file.h5"
    admitted = Connection(host.credentials(Role.VIEWER))
    with Manager(socket=host.socket) as manager:
        logs = Logs(manager)
        device = manager.create_node(
            "sim.Oscillators", name="device", sampling_rate=1000, dtype="float64",
            sample_number=True,
        )  # fmt: skip
        recorder = manager.create_node("HDF5Recorder", name="recorder", path=str(path))
        recorder.input.connect(device.output)
        manager.start_all()
        far = Far(host, "device.signal")
        until(lambda: far.parts)
        processes = [host.usage, relay_of(host)]
        before = [process.memory_info().rss for process in processes]

        callers = [*ports.tokens]
        names = [*METHODS]
        for n in range(n_calls):
            name, caller = fuzz.chance.choice(names), fuzz.chance.choice(callers)
            if caller in ("operator", "admin") and method_of(name) in MAY_BE_MEANT:
                continue
            ports.call(fuzz, name, METHODS[name], caller)
            if n % 20 == 0:
                ports.bother(fuzz)
            if n % 100 == 0:
                assert admitted.status().state == "running", f"seed {seed}, call {n}"

        grown = [p.memory_info().rss - was for p, was in zip(processes, before, strict=True)]
        assert relay_of(host).pid == processes[1].pid
        manager.stop_all()
        far.join(60)
        assert recorder.report["verdict"] == "OK"
        logs.close()
    admitted.close()

    (stream,) = load(path).values()
    np.testing.assert_array_equal(stream.data[:, 0], np.arange(len(stream.data)))
    np.testing.assert_array_equal(np.concatenate(far.parts), np.arange(len(stream.data)))
    assert not far.gaps
    print(  # noqa: T201 - the figures are what it is run for
        f"\n[seed {seed}: {n_calls} calls: {dict(ports.codes)}; daemon and relay "
        f"{[n / _MIB for n in grown]} MiB]"
    )
    assert max(grown) < 50 * _MIB, f"seed {seed}: {grown}"
    assert host.process.poll() is None
    assert not [line for line in (host.said, *logs.said) if "Traceback" in line]
    assert ports.codes["OK"] > n_calls / 100
    assert ports.codes["UNAUTHENTICATED"] > n_calls / 4


@pytest.mark.parametrize(
    ("seed", "n_calls"),
    [(2, 200), *(pytest.param(s, 5_000, marks=pytest.mark.soak) for s in (21,))],
)
def test_a_daemon_outlives_what_its_own_admin_may_send_by_chance(
    ports: Ports, seed: int, n_calls: int
) -> None:
    fuzz = Fuzz(seed)
    names = [name for name in METHODS if name not in LOCAL_ONLY]
    before = ports.host.usage.memory_info().rss

    for _ in range(n_calls):
        name = fuzz.chance.choice(names)
        ports.call(fuzz, name, METHODS[name], "admin")
    grown = ports.host.usage.memory_info().rss - before
    with Manager(socket=ports.host.socket) as manager:
        manager.take_over()
        manager._connection.call(manager._connection.stub.Clear, pb.ClearRequest())
        device = manager.create_node("sim.Oscillators", name="device")
        manager.start_all()
        assert next(device.output.chunks(timeout=60)).data.size

    print(f"\n[seed {seed}: {n_calls} calls: {dict(ports.codes)}; {grown / _MIB} MiB]")  # noqa: T201
    assert grown < 50 * _MIB, f"seed {seed}"
    assert "Traceback" not in ports.host.said, f"seed {seed}: {ports.host.said}"

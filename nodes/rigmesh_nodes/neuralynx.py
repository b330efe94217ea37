"""Neuralynx amplifiers."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from rigmesh.errors import NotPermitted, StateError
from rigmesh.node import Hz, MegaBytes, Microvolts, Node, Output, Seconds, param, state
from rigmesh.streams import Cause, Signal, StreamInfo
from rigmesh_nodes._digilynx import PacketBuffer, PacketClock, Sequence
from rigmesh_nodes.channels import channel_indices

__all__ = ["NeuralynxUDP"]

_LOOK = 0.1
"""The longest wait for a packet, and so for a stop, in seconds."""
# What Python's socket has no names for.
_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55
_MEMINFO = struct.Struct("9I")
_now_ns = time.monotonic_ns


class NeuralynxUDP(Node):
    """Receives the raw data of a Digital Lynx or ATLAS amplifier, a UDP packet a sample.

    The amplifier sends a copy of its data to the address of the acquisition computer; give the
    network interface that address, and the hardware address as well. `signal` has the channels,
    `ttl` the parallel port at the same samples, a bit a line.

    What is missing shows by the amplifier's time, which is in each packet: a gap, caused by an
    ``overrun`` if the system dropped packets because this process was too slow, else by the
    ``device``. Packets that fail their checksum are missing, too. After a restart of this process
    the gap is exact as well; a restart of the amplifier begins a new epoch.

    Stamps are the amplifier's; beside them lies how they map onto the local clock, found from the
    packets that came soonest. A batch waits for its last packet, and a larger one costs less:
    32,000 packets of 128 channels a second take 65 % of a core with a batch of 1, 42 % with 8, and
    33 % with 32.
    """

    signal = Output(Signal)
    ttl = Output(Signal)

    address: str = param(default="0.0.0.0", doc="Local address that packets are sent to.")
    udp_port: int = param(default=26090, ge=0, le=65535, doc="Port that packets are sent to.")
    n_channels: int = param(
        default=128, ge=1, le=16000, doc="Channels in each packet: 32 for each input board."
    )
    channels: list[int | str] = param(
        default=[],
        doc="Channels to give, by index from 0, label or slice; all if empty.",
        examples=[["0:32"], [0, 1, "AD5"]],
    )
    sampling_rate: Hz = param(default=32000.0, gt=0, doc="Packets per second.")
    batch: int = param(default=1, ge=1, le=4096, doc="Samples in a chunk.")
    dtype: Literal["float32", "int32"] = param(
        default="float32", doc="Microvolts, or what the converter counted."
    )
    bit_value: Microvolts = param(
        default=0.015624999960550667, gt=0, doc="What one count of the converter is."
    )
    stamps: Literal["device", "arrival"] = param(
        default="device", doc="Stamp samples by the amplifier's clock, or when they came in."
    )
    buffer: MegaBytes = param(
        default=8.0, gt=0, le=1024, doc="What the system may hold while this process is busy."
    )
    silence: Seconds = param(
        default=3.0, gt=0, doc="Time without packets after which the amplifier is called silent."
    )

    n_packets: int = state(default=0, doc="Packets that were good.")
    n_lost: int = state(default=0, doc="Packets that never came, or were bad.")
    n_dropped: int = state(default=0, doc="Packets that the system dropped: this was too slow.")
    n_invalid: int = state(default=0, doc="Packets of another size, kind or checksum.")
    n_duplicates: int = state(default=0, doc="Packets that came twice.")
    n_out_of_order: int = state(default=0, doc="Packets that came after a later one.")
    is_receiving: bool = state(default=False, doc="Whether packets come in.")

    _socket: socket.socket | None = None
    _overruns = 0
    """Packets that the system dropped and that are not in a gap yet."""
    _has_warned = False

    def open(self) -> None:
        """Listen."""
        self._socket = listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listening.bind((self.address, self.udp_port))
        except PermissionError as error:
            raise NotPermitted(
                f"{self.name}: this user may not listen on port {self.udp_port}"
            ) from error
        except (OSError, UnicodeError) as error:
            raise StateError(
                f"{self.name} cannot listen on {self.address}:{self.udp_port} ({error}); the "
                "address is one of this computer, and the port one that nobody else uses"
            ) from error
        self._enlarge_buffer(listening)
        # A time-out of Python's socket would be one more system call a packet.
        listening.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(_LOOK * 1e6))
        )

    def prepare(self) -> None:
        """Announce the channels; make room for a batch."""
        in_microvolts = self.dtype == "float32"
        whole = StreamInfo.signal(
            "signal",
            channels=[f"AD{number}" for number in range(self.n_channels)],
            sampling_rate=self.sampling_rate,
            dtype=self.dtype,
            unit="uV" if in_microvolts else "",
        )
        which = channel_indices(whole, self.channels or ["0:"])
        self._packets = PacketBuffer(
            self.n_channels, self.batch, np.array(which), self.bit_value if in_microvolts else 0.0
        )
        self._times = np.empty(self.batch)
        chosen = tuple(whole.channels[at] for at in which)
        clock_id = ""
        if self.stamps == "device":
            host, port = self._listening.getsockname()
            clock_id = f"digilynx:{host}:{port}"
        self._signal_info = replace(
            whole, sample_shape=(len(which),), channels=chosen, clock_id=clock_id
        )
        self._ttl_info = replace(
            StreamInfo.signal("ttl", channels=["ttl"], sampling_rate=self.sampling_rate,
                              dtype="int32"),
            clock_id=clock_id,
        )  # fmt: skip
        self._begin()
        self._announce()

    def acquire(self) -> Iterator[None]:
        """Receive until stopped."""
        self._last_packet = _now_ns()
        while not self.is_stopping:
            self._receive()
            yield

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- receiving ---------------------------------------------------------------------------

    def _receive(self) -> None:
        """Receive a batch, or less if nothing more comes."""
        receive, packets, times = self._listening.recv_into, self._packets, self._times
        step, by_device = self._sequence.step, self.stamps == "device"
        filled = arrived = 0
        while filled < self.batch and not self.is_stopping:
            try:
                n_bytes = receive(packets.views[filled], 0, socket.MSG_TRUNC)
            except BlockingIOError:
                self._note_silence()
                break
            now = _now_ns()
            micros = packets.micros(filled, n_bytes)
            missing = step(micros) if micros >= 0 else self._refuse()
            if missing:
                if missing == Sequence.DROP:
                    self.n_duplicates = self._sequence.n_duplicates
                    self.n_out_of_order = self._sequence.n_out_of_order
                    continue
                self._emit(filled, arrived)
                packets.keep_last(filled)
                filled = 0
                self._interrupt(missing)
            if not self._is_begun:
                self._start_at(micros)
            arrived = now
            times[filled] = micros * 1e-6 if by_device else now * 1e-9
            filled += 1
        self._emit(filled, arrived)

    def _emit(self, n: int, arrived: int) -> None:
        if not n:
            return
        self.is_receiving, self._is_silent = True, False
        self._last_packet = arrived
        self.n_packets += n
        times = self._times[:n]
        if self.stamps == "device" and self._clock.update(times.item(-1), arrived * 1e-9):
            self.signal.clock = self.ttl.clock = self._clock.model
        clock = self._clock.model
        signal = Signal(self._packets.samples(n), times, clock=clock)
        self.signal.push(signal, received=arrived)
        self.ttl.push(Signal(self._packets.ports(n), times, clock=clock), received=arrived)

    def _interrupt(self, missing: int) -> None:
        """Say what is missing, or begin anew with an amplifier that did."""
        if missing == Sequence.RESTART:
            self.log.warning("the amplifier's clock began anew")
            self._clock = PacketClock()
            self._announce(new_epoch=True)
            return
        if not self.n_lost:
            self.log.warning("%d packets are missing; from now on they are only counted", missing)
        self.n_lost += missing
        dropped = self._n_dropped()
        self._overruns += dropped - self.n_dropped
        self.n_dropped = dropped
        overrun = min(self._overruns, missing)
        self._overruns -= overrun
        for count, cause in ((overrun, Cause.OVERRUN), (missing - overrun, Cause.DEVICE)):
            if count:
                for output in (self.signal, self.ttl):
                    output.lose(
                        count,
                        cause=cause,
                        duration=count / self.sampling_rate,
                        exact=self._sequence.is_exact,
                    )

    def _refuse(self) -> int:
        self.n_invalid += 1
        found = self._packets.other_size
        if found and not self._has_warned:
            self._has_warned = True
            self.log.warning(
                "packets of %d channels come in and are not used; n_channels is %d",
                found,
                self.n_channels,
            )
        return Sequence.DROP

    def _note_silence(self) -> None:
        if self._is_silent or _now_ns() - self._last_packet < self.silence * 1e9:
            return
        self._is_silent, self.is_receiving = True, False
        host, port = self._listening.getsockname()
        self.log.warning("no packet came to %s:%d for %g s", host, port, self.silence)

    def _n_dropped(self) -> int:
        """Return how many packets the system has dropped for want of room."""
        found = self._listening.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(found)[-1])

    # --- beginning ---------------------------------------------------------------------------

    @property
    def _listening(self) -> socket.socket:
        if self._socket is None:
            raise StateError(f"{self.name} is not open")
        return self._socket

    def _enlarge_buffer(self, listening: socket.socket) -> None:
        wanted = int(self.buffer * 1e6)
        try:
            listening.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
        except PermissionError:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        granted = listening.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if granted < wanted:
            self.log.info(
                "the system grants a buffer of %.1f MB, not %g; to change that: "
                "sysctl net.core.rmem_max=%d",
                granted * 1e-6,
                self.buffer,
                wanted,
            )

    def _begin(self) -> None:
        self._sequence = Sequence(self.sampling_rate)
        self._clock = PacketClock()
        self._is_begun = self._has_warned = self._is_silent = False
        self._overruns = 0

    def _start_at(self, micros: int) -> None:
        """Announce again with the amplifier's count: a gap since the last run is exact then."""
        self._is_begun = True
        self._announce(device_index=round(micros * self.sampling_rate * 1e-6))

    def _announce(self, *, device_index: int | None = None, new_epoch: bool = False) -> None:
        for output, info in ((self.signal, self._signal_info), (self.ttl, self._ttl_info)):
            output.force_new_epoch = new_epoch
            output.announce(info, device_index=device_index)

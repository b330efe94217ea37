"""Packets of Neuralynx Digital Lynx and ATLAS amplifiers: one a sample, of all channels, over UDP.

All words have 32 bits, the lowest byte first. There is no public document of the stream; the
layout is that of the raw data records (.nrd) in Neuralynx's *Data File Formats*, and of the
network library of Falcon (KloostermanLab, falcon-fklab-extensions), which reads these amplifiers.

==================== =====================================================================
word                 meaning
==================== =====================================================================
0                    2048, the begin of a packet
1                    1, the kind of packet
2                    number of words in extras and data: channels + 10
3, 4                 the amplifier's time in µs, high and low half
5                    status
6                    the parallel port, a bit a line
7 to 16              extras
17 to 16 + channels  one sample of each channel, signed
17 + channels        what makes the XOR of all words 0
==================== =====================================================================

Falcon also knows packets whose bytes are swapped in each half of a word; they show by a first word
of 8. The XOR of such a packet is 0, too.
"""

from __future__ import annotations

import math
import socket
import struct
from collections import deque

import numpy as np
import numpy.typing as npt

from rigmesh.streams import ClockModel

__all__ = ["DigilynxSender", "PacketBuffer", "PacketClock", "Sequence", "n_words"]

Words = npt.NDArray[np.int32]
_xor = np.bitwise_xor.reduce

START, SWAPPED_START, KIND, N_EXTRAS = 2048, 8, 1, 10
DATA = 17
PORT_WORD = 6
HEAD = struct.Struct("<5I")
"""Begin, kind, size and both halves of the time."""


def n_words(n_channels: int) -> int:
    """Return the size of a packet, in words.

    Examples
    --------
    >>> 4 * n_words(128)
    584
    """
    return DATA + n_channels + 1


class Sequence:
    """Finds by the amplifier's time what is missing between two packets.

    Parameters
    ----------
    sampling_rate : float
        In Hz. Times are whole microseconds, so half a period either way is clear of them.

    Attributes
    ----------
    n_duplicates, n_out_of_order : int
        Packets that came twice, or after a later one. Neither is to be used: it was there before,
        or has been counted as missing.
    """

    DROP, RESTART = -1, -2
    _SLACK = 1.5
    """A sum of two rounding errors, in µs."""
    _RESTART = 1_000_000

    def __init__(self, sampling_rate: float) -> None:
        self._period = 1e6 / sampling_rate
        self._least, self._most = 0.5 * self._period, 1.5 * self._period
        self._last: int | None = None
        self.n_duplicates = self.n_out_of_order = 0
        self.is_exact = True

    def step(self, micros: int) -> int:
        """Return how many packets are missing before this one.

        Parameters
        ----------
        micros : int
            The packet's time, in µs.

        Returns
        -------
        int
            ``DROP`` if this packet is not to be used; ``RESTART`` if the amplifier's clock went
            back by more than a second, and so began anew.
        """
        last = self._last
        if last is not None:
            passed = micros - last
            if self._least < passed < self._most:
                self._last = micros
                return 0
            if passed <= self._least:
                return self._backwards(micros, passed)
            self._last = micros
            steps = round(passed / self._period)
            self.is_exact = abs(passed - steps * self._period) <= self._SLACK
            return steps - 1
        self._last = micros
        return 0

    def _backwards(self, micros: int, passed: int) -> int:
        if passed < -self._RESTART:
            self._last = micros
            return self.RESTART
        if passed >= 0:
            self.n_duplicates += 1
        else:
            self.n_out_of_order += 1
        return self.DROP


class PacketClock:
    """Maps the amplifier's time onto the local clock, by when packets came in.

    A packet is never early, so of each second the one that came soonest counts, and of the last
    minute a line through those (Theil's: a second in which this process slept changes nothing).
    What even the fastest packet takes cannot be seen, and is taken for none.

    Attributes
    ----------
    model : ClockModel
        The mapping. It changes once a second.
    """

    _WINDOW = 1.0
    _KEPT = 60
    _ENOUGH = 5
    _UNSEEN = 1e-4
    """A guess of what the fastest packet takes, in seconds."""

    def __init__(self) -> None:
        self.model = ClockModel()
        self._least = self._at = 0.0
        self._until = -math.inf
        self._soonest: deque[tuple[float, float]] = deque(maxlen=self._KEPT)

    def update(self, raw: float, arrived: float) -> bool:
        """Take note of a packet; return whether the mapping changed.

        Parameters
        ----------
        raw : float
            The packet's time, in seconds.
        arrived : float
            When it came in, by the local clock, in seconds.
        """
        offset = arrived - raw
        if raw < self._until:
            if offset < self._least:
                self._least, self._at = offset, raw
            return False
        if self._until < 0:
            self.model = ClockModel(offset, 0.0, raw, math.inf)
        else:
            self._soonest.append((self._at, self._least))
            self.model = self._fitted()
        self._least, self._at, self._until = offset, raw, raw + self._WINDOW
        return True

    def _fitted(self) -> ClockModel:
        at, offsets = np.array(self._soonest).T
        drift = 0.0
        if len(at) >= self._ENOUGH:
            first, second = np.triu_indices(len(at), 1)
            slopes = (offsets[second] - offsets[first]) / (at[second] - at[first])
            drift = float(np.median(slopes))
        reference = float(at[-1])
        rest = offsets - drift * (at - reference)
        offset = float(np.median(rest))
        spread = float(np.median(np.abs(rest - offset)))
        return ClockModel(offset, drift, reference, self._UNSEEN + 3 * spread)


class PacketBuffer:
    """Room for some packets, and what is in them.

    Parameters
    ----------
    n_channels : int
        Channels in a packet.
    size : int
        The most packets.
    which : ndarray, shape (n_chosen,)
        Channels to give.
    scale : float
        Microvolts per count, for ``float32``; 0 gives counts, in ``int32``.

    Attributes
    ----------
    views : list of memoryview
        Where to receive each packet.
    other_size : int
        Channels of the last packet that had another number of them; 0 if there was none.
    """

    def __init__(
        self, n_channels: int, size: int, which: npt.NDArray[np.intp], scale: float = 0.0
    ) -> None:
        self._n_channels = n_channels
        self._words = np.zeros((size, n_words(n_channels)), np.int32)
        self._rows = list(self._words)
        self.views = [row.data.cast("B") for row in self._rows]
        self._n_bytes = self._words.itemsize * n_words(n_channels)
        is_range = len(which) > 0 and bool((np.diff(which) == 1).all())
        first = DATA + int(which[0])
        self._columns = slice(first, first + len(which)) if is_range else which + DATA
        self._scale = np.float32(scale)
        shape = size, len(which)
        self._samples: npt.NDArray[np.number] = np.empty(shape, np.float32 if scale else np.int32)
        self._ports = np.empty((size, 1), np.int32)
        self.other_size = 0

    def micros(self, at: int, n_bytes: int) -> int:
        """Return the time of a packet in µs, or -1 if it is not as it should be.

        Parameters
        ----------
        at : int
            Which.
        n_bytes : int
            Size of the datagram that was received.
        """
        row = self._rows[at]
        start, kind, size, high, low = HEAD.unpack_from(self.views[at])
        if start == SWAPPED_START:
            row.view(np.uint16).byteswap(inplace=True)
            start, kind, size, high, low = HEAD.unpack_from(self.views[at])
        if start != START or kind != KIND or n_bytes < HEAD.size:
            return -1
        if size != self._n_channels + N_EXTRAS or n_bytes != self._n_bytes:
            self.other_size = int(size) - N_EXTRAS
            return -1
        if _xor(row):
            return -1
        return int(high << 32 | low)

    def keep_last(self, at: int) -> None:
        """Move a packet to the first place."""
        self._rows[0][:] = self._rows[at]

    def samples(self, n: int) -> npt.NDArray[np.number]:
        """Return the chosen channels of the first packets, shape (n, n_chosen)."""
        samples = self._samples[:n]
        samples[...] = self._words[:n, self._columns]
        if self._scale:
            np.multiply(samples, self._scale, out=samples)
        return samples

    def ports(self, n: int) -> npt.NDArray[np.int32]:
        """Return the parallel port in the first packets, shape (n, 1)."""
        ports = self._ports[:n]
        ports[:, 0] = self._words[:n, PORT_WORD]
        return ports


class DigilynxSender:
    """Sends packets as an amplifier does, for tests and for measuring latencies.

    Parameters
    ----------
    address : tuple of (str, int)
        Where to.
    n_channels : int
        Channels in a packet.
    sampling_rate : float
        In Hz.
    first : int
        Number of the first sample, from which its time comes.
    swapped : bool
        Whether to swap the bytes in each half of a word.

    Attributes
    ----------
    number : int
        Number of the next sample; raise it to lose some.
    """

    def __init__(
        self,
        address: tuple[str, int],
        n_channels: int = 128,
        *,
        sampling_rate: float = 32000.0,
        first: int = 0,
        swapped: bool = False,
    ) -> None:
        self.number = first
        self._rate = sampling_rate
        self._n_channels = n_channels
        self._swapped = swapped
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(address)

    def packets(self, samples: npt.NDArray[np.integer], ttl: npt.ArrayLike = 0) -> Words:
        """Make the packets of the next samples.

        Parameters
        ----------
        samples : ndarray, shape (n_samples, n_channels)
            Counts of the converter.
        ttl : array_like, shape (n_samples,) or ()
            The parallel port.

        Returns
        -------
        ndarray, shape (n_samples, n_words)
            A packet a row.
        """
        numbers = self.number + np.arange(len(samples))
        micros = (numbers * (1e6 / self._rate)).astype(np.uint64)
        words = np.zeros((len(samples), n_words(self._n_channels)), np.uint32)
        words[:, 0] = START
        words[:, 1] = KIND
        words[:, 2] = self._n_channels + N_EXTRAS
        words[:, 3] = micros >> np.uint64(32)
        words[:, 4] = micros & np.uint64(0xFFFFFFFF)
        words[:, PORT_WORD] = ttl
        words[:, DATA:-1] = samples.astype(np.int32).view(np.uint32)
        words[:, -1] = np.bitwise_xor.reduce(words[:, :-1], axis=1)
        self.number += len(samples)
        if self._swapped:
            words = words.view(np.uint16).byteswap().view(np.uint32)
        return words.view(np.int32)

    def send(self, samples: npt.NDArray[np.integer], ttl: npt.ArrayLike = 0) -> None:
        """Send the next samples, a packet each, at once."""
        for packet in self.packets(samples, ttl):
            self._socket.send(packet.data)

    def send_bytes(self, packet: bytes | memoryview) -> None:
        """Send a packet as it is: one made before, or a broken one."""
        self._socket.send(packet)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

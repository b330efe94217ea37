"""Receiving one LSL outlet's samples, metadata and clock."""

from __future__ import annotations

import ctypes
import math
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rigmesh.errors import StateError, StreamError, StreamFormatError, StreamLost, StreamNotFound
from rigmesh.streams import IDENTITY, ClockModel, StreamInfo, local_clock
from rigmesh.streams.lslxml import MAX_CHANNELS, flagged, from_xml, to_xml
from rigmesh_nodes._lsl_search import POLL, Search, describe, library

__all__ = ["Connection", "declared", "find"]

_SLICE = 0.1
"""liblsl's calls cannot be interrupted, so they wait no longer than this at a time, in seconds."""
_ANSWER = 5.0
"""A peer that has not answered after so many seconds is given up."""
_SETTLE = 0.7
"""Known peers are asked 0.5 s after a search began; then all have answered, in seconds."""
_HOSTING = (
    "<version>1.1</version><created_at>0</created_at><uid>-</uid>"
    "<v4data_port>0</v4data_port><v4service_port>0</v4service_port>"
    "<v6data_port>0</v6data_port><v6service_port>0</v6service_port>"
)
"""What liblsl wants to find in any description."""
_PULL_BYTES = 4 * 2**20
_PULL_TEXTS = 256
_PULL_IRREGULAR = 1024

Stamps = npt.NDArray[np.float64]


def declared(info: StreamInfo) -> Any:
    """Make pylsl's description of a stream, for an outlet.

    Raises
    ------
    StreamFormatError
        If LSL cannot carry the stream.
    """
    pylsl = library()
    from pylsl.lib import lib

    xml = to_xml(info).replace("<info>", f"<info>{_HOSTING}", 1)
    prototype = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)
    parsed = pylsl.StreamInfo(handle=prototype(("lsl_streaminfo_from_xml", lib))(xml.encode()))
    if not parsed.channel_count():
        raise StreamFormatError(f"liblsl does not take the description: {parsed.name()}")
    # An outlet fills in session and host only where there is an (empty) text, which parsing drops:
    # so the description moves over to one that pylsl makes.
    made = pylsl.StreamInfo(
        parsed.name(),
        parsed.type(),
        parsed.channel_count(),
        parsed.nominal_srate(),
        parsed.channel_format(),
        parsed.source_id(),
    )
    root = made.desc().parent()
    root.remove_child(made.desc())
    root.append_copy(parsed.desc())
    return made


class Connection:
    """Receives one outlet's samples until it is lost; liblsl's own recovery is off.

    liblsl recovers without telling anybody: samples of two outlets would follow each other as
    if nothing were missing, and an outlet of another format would never be found.

    Parameters
    ----------
    found : pylsl.StreamInfo
        What a search gave.
    buffer : float
        How much liblsl keeps for us, in seconds (of an irregular stream: in hundreds of samples).
    is_stopping : callable
        Asked while waiting for the peer.

    Attributes
    ----------
    info : StreamInfo
        The stream.
    clock : ClockModel
        Maps its stamps onto the local clock; of infinite uncertainty if its host does not answer.
    uid, hostname : str
        LSL's identifier of the outlet, and its machine.
    unread : int
        After a loss: samples that liblsl had received but does not give out any more.

    Raises
    ------
    StreamFormatError
        If the stream cannot be described.
    StreamLost
        If the peer does not answer as it should.
    """

    def __init__(self, found: Any, buffer: float, is_stopping: Callable[[], bool]) -> None:
        self._pylsl = library()
        if not 0 < found.channel_count() <= MAX_CHANNELS:  # pylsl allocates by this number
            raise StreamFormatError(
                f"LSL stream {found.name()!r} has {found.channel_count()} channels; "
                f"1 to {MAX_CHANNELS} are taken"
            )
        self.uid: str = found.uid()
        self.hostname: str = found.hostname()
        self.unread = 0
        self._found = found
        self._is_stopping = is_stopping
        self._is_own_host = self.hostname == socket.gethostname()
        self._inlet: Any = self._pylsl.StreamInlet(
            found, max_buflen=max(1, math.ceil(buffer)), recover=False
        )
        self._time_correction = _time_correction()
        self._data, self._stamps = np.empty((0, 0)), np.empty(0)
        self._last_wave = 0.0
        self._measure(0.0)  # its first answer takes liblsl 0.6 s: ask before the rest
        try:
            self._answer(self._inlet.open_stream, "does not open")
            self.info = self._describe()
            self.clock = self._first_clock()
        except BaseException:
            self.close()
            raise
        self._limit = (
            max(1, _PULL_BYTES // self.info.sample_bytes) if self.info.sample_bytes else _PULL_TEXTS
        )

    def pull(self, timeout: float) -> tuple[npt.NDArray[Any], Stamps]:
        """Wait for a sample and return it with all that came with it.

        Parameters
        ----------
        timeout : float
            In seconds.

        Returns
        -------
        data : ndarray, shape (n_samples, n_channels)
            Texts are bytes.
        stamps : ndarray, shape (n_samples,)
            As the outlet stamped them, in seconds of its clock.

        Raises
        ------
        StreamLost
            If the outlet is gone.
        """
        received = self._pull(timeout)
        if received is None:
            self.unread = max(self.unread, self._inlet.samples_available())
            # Not from pylsl's error: its traceback keeps the inlet, and so its sockets, alive.
            raise StreamLost(f"LSL stream {self._found.name()!r} of host {self.hostname!r} is lost")
        return received

    def gather(self, duration: float) -> tuple[npt.NDArray[Any], Stamps]:
        """Return the samples of so long a time; texts as `pull` does.

        It is liblsl that waits for each, which costs a twentieth of what Python takes, and the
        last samples before a loss are not left in its buffer.

        Parameters
        ----------
        duration : float
            In seconds; less if there is more than a buffer can hold.

        Returns
        -------
        data, stamps : ndarray
            As of `pull`; valid until the next call.

        Raises
        ------
        StreamLost
            If the outlet is gone.
        """
        if self.info.dtype == "text":
            return self.pull(duration)
        most = math.ceil(2 * duration * self.info.sampling_rate) or _PULL_IRREGULAR
        most = max(1, min(most, self._limit))
        if len(self._stamps) != most:
            self._data = np.empty((most, self.info.n_channels), self.info.dtype)
            self._stamps = np.empty(most)
        data, stamps, failure = self._data, self._stamps, ctypes.c_int()
        stamps.fill(np.nan)
        values = self._inlet.do_pull_chunk(
            self._inlet.obj,
            ctypes.c_void_p(data.ctypes.data),
            ctypes.c_void_p(stamps.ctypes.data),
            ctypes.c_size_t(data.size),
            ctypes.c_size_t(most),
            ctypes.c_double(duration),
            ctypes.byref(failure),
        )
        n = values // data.shape[1]
        if failure.value:
            # It does not say how many there were before.
            n = int((~np.isnan(stamps)).nonzero()[0].max(initial=-1)) + 1
            if not n:
                return self.pull(0.0)
        return data[:n], stamps[:n]

    def measured_clock(self) -> ClockModel | None:
        """Return how the outlet's stamps map onto the local clock, if that was measured anew.

        On one host the clock is the same; what is measured there is only noise.
        """
        return self._measure(0.0)

    def _first_clock(self) -> ClockModel:
        deadline = local_clock() + _ANSWER
        while not self._is_stopping() and local_clock() < deadline:
            measured = self._measure(_SLICE)
            if measured is not None:
                return measured
        return IDENTITY if self._is_own_host else ClockModel(uncertainty=math.inf)

    def close(self) -> None:
        """Disconnect."""
        self._inlet = None

    def _take(self, timeout: float, n: int) -> tuple[npt.NDArray[Any], Stamps]:
        # pylsl keeps a buffer for each number of texts that is asked for.
        most = min(n, self._limit) if self.info.dtype != "text" else self._limit
        data, stamps = self._inlet.pull_chunk(
            timeout, max_samples=1 if timeout else most, as_numpy=True
        )
        return data, stamps

    def _pull(self, timeout: float) -> tuple[npt.NDArray[Any], Stamps] | None:
        waiting = self.unread = self._inlet.samples_available()
        try:
            if waiting:
                return self._take(0.0, waiting)
            first, stamp = self._take(timeout, 1)
            waiting = self.unread = self._inlet.samples_available()
            if not len(stamp) or not waiting:
                return first, stamp
        except self._pylsl.util.LostError:
            return None
        try:
            more, stamps = self._take(0.0, waiting)
        except self._pylsl.util.LostError:
            return first, stamp  # the next call says that it is lost
        return np.concatenate((first, more)), np.concatenate((stamp, stamps))

    def _answer(self, call: Callable[[float], Any], refusal: str) -> Any:
        deadline = local_clock() + _ANSWER
        while not self._is_stopping() and local_clock() < deadline:
            try:
                return call(_SLICE)
            except self._pylsl.util.TimeoutError:
                continue
            except self._pylsl.util.LostError:
                break
        raise StreamLost(f"LSL stream {self._found.name()!r} of host {self.hostname!r} {refusal}")

    def _describe(self) -> StreamInfo:
        flaw = ""
        try:
            info = from_xml(self._answer(self._inlet.info, "gives no metadata").as_xml())
            if info.dtype != from_xml(self._found.as_xml()).dtype or (
                info.n_channels != self._found.channel_count()
            ):
                flaw = "metadata of another format than the stream"
        except (StreamFormatError, StreamLost) as error:
            flaw = str(error)
        if flaw:
            info = flagged(from_xml(self._found.as_xml()), flaw)
        return info

    def _measure(self, timeout: float) -> ClockModel | None:
        remote_time, round_trip = ctypes.c_double(), ctypes.c_double()
        failure = ctypes.c_int()
        offset = self._time_correction(self._inlet.obj, remote_time, round_trip, timeout, failure)
        # After a time-out the rest is not filled in; without a new wave it is the old one.
        if failure.value or remote_time.value == self._last_wave:
            return None
        self._last_wave = remote_time.value
        uncertainty = round_trip.value / 2
        if self._is_own_host and abs(offset) <= uncertainty:
            return IDENTITY
        return ClockModel(offset, 0.0, remote_time.value, uncertainty)


def find(
    predicate: str,
    timeout: float,
    connect: Callable[[Any], Connection],
    wait: Callable[[float], bool],
) -> Connection:
    """Wait for the one stream that matches, and connect to it.

    Parameters
    ----------
    predicate : str
        An XPath 1.0 predicate over LSL's description.
    timeout : float
        In seconds.
    connect : callable
        Takes what was found; is called again if it raises `StreamLost`.
    wait : callable
        Sleeps so many seconds, and returns False to stop waiting.

    Raises
    ------
    StreamNotFound
        If there is none in time; names those that are visible.
    StreamError
        If several match.
    StateError
        If stopped.
    """
    began = local_clock()
    refusal = ""
    with Search(predicate) as search, Search("") as everything:
        while True:
            try:
                found = search.found()
                if found:
                    connection = connect(found[0])
                    # Only now: the others had the time to answer that connecting took.
                    wait(max(0.0, began + _SETTLE - local_clock()))
                    _check_unique(predicate, search, connection)
                    return connection
            except StreamLost as error:
                refusal = f" ({error})"
            if local_clock() >= began + timeout:
                raise StreamNotFound(
                    f"no LSL stream matches {predicate} within {timeout:g} s{refusal}; "
                    f"visible: {describe(everything.found())}"
                )
            if not wait(POLL):
                raise StateError(f"stopped while waiting for the LSL stream {predicate}")


def _check_unique(predicate: str, search: Search, connection: Connection) -> None:
    found = search.found()
    if len(found) > 1:
        connection.close()
        raise StreamError(
            f"{len(found)} LSL streams match {predicate}: {describe(found)}. "
            "Narrow the predicate, for example by source_id or hostname"
        )


def _time_correction() -> Any:
    """Return the function of liblsl that also tells the uncertainty; pylsl does not have it."""
    from pylsl.lib import lib

    double_out = ctypes.POINTER(ctypes.c_double)
    prototype = ctypes.CFUNCTYPE(
        ctypes.c_double,
        ctypes.c_void_p,
        double_out,
        double_out,
        ctypes.c_double,
        ctypes.POINTER(ctypes.c_int),
    )
    return prototype(("lsl_time_correction_ex", lib))

"""A serial port: opened and set up by pyserial, written and read by the system's own calls."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import threading
from typing import Any

from rigmesh.errors import (
    NotPermitted,
    ParameterError,
    RigmeshError,
    StateError,
    StreamLost,
    StreamNotFound,
    Unsupported,
)

__all__ = ["SerialLine"]

_MOST = 4096
system_write = os.write


class SerialLine:
    """A serial port that nobody else may open meanwhile.

    pyserial's own ``write``, with a time-out, takes four times as long as the system call it ends
    in (6.3 and 1.4 µs), for a guarantee that a trigger has no use for: what cannot be sent now must
    not be sent later.

    Parameters
    ----------
    port : str
        Path of the device.
    baudrate : int
        Bits per second.

    Attributes
    ----------
    is_lost : bool
        Whether the device was found to be gone.

    Raises
    ------
    StreamNotFound
        If there is no such device.
    StateError
        If another program has it.
    NotPermitted, ParameterError, Unsupported
        If this user may not, no port has this speed, or pyserial is missing.
    """

    def __init__(self, port: str, baudrate: int) -> None:
        self.port = port
        self.baudrate = baudrate
        self.is_lost = False
        self._serial = _opened(port, baudrate)
        self._fd: int = self._serial.fileno()
        # Timers may write while the node is closed, and the number of a closed file is soon
        # another file's.
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def write(self, message: bytes) -> bool:
        """Hand a message to the system; return False if it did not take all of it at once.

        On a closed line nothing is written: who closed it wrote what had to come last.

        Raises
        ------
        StreamLost
            If the device is gone.
        """
        with self._lock:
            if self._fd < 0:
                return True
            try:
                return system_write(self._fd, message) == len(message)
            except BlockingIOError:
                return False
            except OSError as error:
                raise self._lost(error) from error

    def discard_unsent(self) -> None:
        """Drop what the device has not taken yet."""
        with self._lock, contextlib.suppress(OSError, termios.error):
            if self._fd >= 0:
                termios.tcflush(self._fd, termios.TCOFLUSH)

    def read(self, timeout: float) -> bytes:
        """Return what came in, empty if nothing did within `timeout` seconds.

        Raises
        ------
        StreamLost
            If the device is gone.
        """
        if not self._poll.poll(timeout * 1e3):
            return b""
        try:
            found = os.read(self._fd, _MOST)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not found:  # ready, and yet nothing there: unplugged
            raise self._lost(None)
        return found

    def close(self) -> None:
        """Give the port back."""
        with self._lock:
            self._fd = -1
            with contextlib.suppress(OSError):
                self._serial.close()

    def _lost(self, error: OSError | None) -> StreamLost:
        self.is_lost = True
        why = f": {os.strerror(error.errno)}" if error is not None and error.errno else ""
        return StreamLost(f"serial port {self.port!r} is gone{why}; is the device plugged in?")


def _opened(port: str, baudrate: int) -> Any:
    try:
        import serial
    except ImportError as error:
        raise Unsupported("serial ports need pyserial: pip install 'rigmesh[nodes]'") from error
    try:
        opened = serial.Serial(port, baudrate, timeout=0, write_timeout=0, exclusive=True)
    except serial.SerialException as error:
        raise _refused(port, error) from error
    except (ValueError, OverflowError, termios.error) as error:
        raise ParameterError(f"{port!r} takes no {baudrate} baud: {error}") from error
    with contextlib.suppress(ValueError, OSError):  # pseudo-terminals and some drivers cannot
        opened.set_low_latency_mode(True)
    return opened


def _refused(port: str, error: OSError) -> RigmeshError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotPermitted(f"this user may not open {port!r}; on most systems the group "
                            "'dialout' may: sudo usermod -aG dialout $USER")  # fmt: skip
    if error.errno in (errno.EAGAIN, errno.EBUSY):
        return StateError(f"serial port {port!r} is in use by another program or node")
    from serial.tools.list_ports import comports

    there = ", ".join(sorted(found.device for found in comports())) or "none"
    return StreamNotFound(f"cannot open serial port {port!r} ({error}); there are: {there}")

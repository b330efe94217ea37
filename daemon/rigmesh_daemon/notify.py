"""Tells systemd how the daemon is: one datagram a time, no library needed."""

from __future__ import annotations

import asyncio
import os
import socket

__all__ = ["keep_watchdog_quiet", "notify"]


def notify(message: str) -> None:
    """Send ``READY=1``, ``STATUS=…``, ``WATCHDOG=1`` or ``STOPPING=1``, if systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), address)


async def keep_watchdog_quiet() -> None:
    """Report from the event loop at twice the rate asked for: a loop that hangs is restarted."""
    period = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
    while period:
        notify("WATCHDOG=1")
        await asyncio.sleep(period)

"""Sends samples over UDP at a steady rate: ``sender.py PORT CHANNELS RATE SECONDS``.

Each packet holds 6 samples of every channel as float32, all of them 1 in every tenth packet and 0
in the others, so that every pipeline finds the same event a hundred times a second at 1,000 packets
a second. Without numpy, which takes longer to import than to do without.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

SAMPLES = 6
EVERY = 10
SETTLE = 0.3
LATE = 0.01


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    port, channels, rate, seconds = (float(word) for word in sys.argv[1:])
    number = int(rate * seconds)
    values = SAMPLES * int(channels)
    low, high = (struct.pack(f"={values}f", *[value] * values) for value in (0.0, 1.0))
    there = ("127.0.0.1", int(port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        say(ready=True)
        begin = time.monotonic() + SETTLE
        for k in range(number):
            rest = begin + k / rate - time.monotonic()
            if rest > 0:
                time.sleep(rest)
            elif rest < -LATE:  # what was late goes on at its rate: a device does not catch up
                begin -= rest
            out.sendto(high if k % EVERY == EVERY - 1 else low, there)
        took = time.monotonic() - begin
        say(sent=number, events=number // EVERY, seconds=took)
        time.sleep(0.1)
        for _ in range(3):  # the end; none of it is measured
            out.sendto(b"", there)
        say(over=True)


if __name__ == "__main__":
    main()

"""Sends numbered UDP packets at an even pace until its standard input ends; then prints when it sent each, as JSON.

    python benchmarks/cutover/sender.py ADDRESS PORT PACKETS_PER_SECOND

A process of its own: the one that changes flows must not wait for it, nor it for that one. A file of its own, with few
imports: it is started for each sample.
"""

import json
import socket
import struct
import sys
import threading
import time
from array import array
from contextlib import suppress

from intercloud.endpoints.sockets import Pace

PACKET = struct.Struct("!Q")


def main() -> None:
    """Send until told to stop."""
    target, interval = (sys.argv[1], int(sys.argv[2])), 1 / float(sys.argv[3])
    stop, sent = threading.Event(), array("d")
    threading.Thread(target=_wait_for_the_end, args=(stop,), daemon=True).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        pace = Pace(interval)
        while pace.wait(stop):
            number = len(sent)
            sent.append(time.monotonic())
            with suppress(OSError):  # what cannot be sent is lost
                sock.sendto(PACKET.pack(number), target)
    json.dump({"sent": list(sent), "late_s": pace.late}, sys.stdout)


def _wait_for_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()

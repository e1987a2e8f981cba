"""Two things that every prober needs: when a packet really came, and a pace that does not drift."""

import socket
import struct
import time
from threading import Event

SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("@ll")
MISSED = 10


def stamp(sock: socket.socket) -> socket.socket:
    """Have the kernel note when each packet comes, so that it does not matter when this process gets to read it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def receive(sock: socket.socket, size: int, flags: int = 0) -> tuple[bytes, float]:
    """Read from a stamped socket: the data, and when they came on the monotonic clock. Raises what recvmsg raises."""
    data, ancillary, _, _ = sock.recvmsg(size, 128, flags)
    age = 0.0
    for level, kind, raw in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _STAMP.unpack(raw[: _STAMP.size])
            age = max(0.0, time.time() - seconds - nanoseconds / 1e9)
    return data, time.monotonic() - age


class Pace:
    """Absolute deadlines, one each `interval` seconds. `late` is the longest time by which one was missed."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = time.monotonic()
        self.late = 0.0

    def wait(self, stop: Event) -> bool:
        """Sleep until the next deadline; False when it is time to stop.

        After a stall of many intervals the missed sends are left out: a burst of them would not be this rate.
        """
        self._next += self._interval
        pause = self._next - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        late = time.monotonic() - self._next
        self.late = max(self.late, late)
        if late > MISSED * self._interval:
            self._next += late
        return not stop.is_set()

"""What every prober needs: when a packet really came, when a probe really left, and a pace that does not drift."""

import socket
import struct
import time
from array import array
from threading import Event

from intercloud.endpoints.downtime import Samples
from intercloud.units import Seconds

SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("@ll")
MISSED = 10
LOOKS = 3


def stamp(sock: socket.socket) -> socket.socket:
    """Have the kernel note when each packet comes, so that it does not matter when this process gets to read it."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def receive(sock: socket.socket, size: int, flags: int = 0) -> tuple[bytes, float]:
    """Read from a stamped socket: the data, and when they came on the monotonic clock. Raises what recvmsg raises."""
    data, ancillary, _, _ = sock.recvmsg(size, 128, flags)
    now, monotonic = _clocks()
    age = 0.0
    for level, kind, raw in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _STAMP.unpack(raw[: _STAMP.size])
            age = max(0.0, now - seconds - nanoseconds / 1e9)
    return data, monotonic - age


def _clocks() -> tuple[float, float]:
    """Give the wall clock and the monotonic one of the same moment, even if this process stood still in between."""
    looks = [(time.monotonic(), time.time(), time.monotonic()) for _ in range(LOOKS)]
    _, now, monotonic = min(looks, key=lambda look: look[2] - look[0])
    return now, monotonic


class Log:
    """Which probe left when, and which answer came when, in plain arrays: a thousand a second for many minutes.

    A prober may stand still anywhere, also between its look at the clock and the send. So a probe is written down
    before it is sent, and again after that: it left at the latest then, and at the latest when its answer came.
    numbers: which probe each answer is to.
    """

    def __init__(self) -> None:
        self._sent, self._arrived = array("d"), array("d")
        self.numbers = array("Q")

    def __len__(self) -> int:
        return len(self._sent)

    def ask(self) -> int:
        """Write down a probe that is about to be sent; gives its number."""
        self._sent.append(time.monotonic())
        return len(self._sent) - 1

    def sent(self, number: int) -> None:
        """Say that the probe has left."""
        self._sent[number] = time.monotonic()

    def answer(self, number: int, at: float) -> None:
        """Write down an answer, and when it came."""
        self.numbers.append(number)
        self._arrived.append(at)
        self._sent[number] = min(self._sent[number], at)

    def samples(self, begin: float, interval: float, each: int = 1, index: int = 0) -> Samples:
        """Give the probes sent from `begin` on, numbered anew; of each `each` of them only the one at `index`."""
        first = sum(1 for sent in self._sent if sent < begin)
        first += -first % each + index
        kept = [
            ((number - first) // each, at)
            for number, at in zip(self.numbers, self._arrived, strict=True)
            if number >= first and (number - first) % each == 0
        ]
        return Samples(self._sent[first::each], [n for n, _ in kept], [at for _, at in kept], Seconds(interval * each))


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

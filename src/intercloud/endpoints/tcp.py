"""One long TCP stream of numbered records to an echo server: it must come back whole and in order, and never break."""

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event

from intercloud.endpoints.downtime import Samples
from intercloud.endpoints.result import ProbeConfig
from intercloud.endpoints.sockets import Log, Pace, receive, stamp

RECORD = struct.Struct("!8sQ")
CONNECT_WITHIN = 1.0
LINGER = 3.0


class TcpProber:
    """Send a record at each tick and read what came back. A broken stream is counted, and opened again."""

    def __init__(self, config: ProbeConfig, name: str) -> None:
        self._name = name
        self._peer = (config.targets[name], config.echo_port)
        self._run = config.run.encode()[-8:].ljust(8)
        self._log = Log()
        self._interval = config.tcp_interval
        self._stream: socket.socket | None = None
        self._unsent, self._unread, self._expected = b"", b"", 0
        self.pace = Pace(self._interval)
        self.broken = 0

    def silent(self) -> list[str]:
        """Name the server if it has not answered yet."""
        return [] if self._log.numbers else [f"{self._name} (TCP echo)"]

    def run(self, stop: Event) -> None:
        """Probe until told to stop, then wait for the rest; a stream that owes records in the end is broken, too."""
        while self.pace.wait(stop):
            self._log.ask()  # also while there is no stream: asked, and never answered
            self._guard(self._tick)
        patience = time.monotonic() + LINGER
        while self._stream and self._expected < len(self._log) and time.monotonic() < patience:
            time.sleep(self._interval)
            self._guard(self._read)
        if self._stream:
            self.broken += self._expected < len(self._log)
            self._stream.close()

    def _guard(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError:
            if self._stream:
                self._stream.close()
                self._stream = None
                self.broken += 1

    def _tick(self) -> None:
        """Read what came since the last tick, before anything new: records read together share one arrival time."""
        number = len(self._log) - 1
        reopens = self._stream is None
        if self._stream is None:
            self._stream = stamp(socket.create_connection(self._peer, CONNECT_WITHIN))
            self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream.setblocking(False)
            self._unsent, self._unread, self._expected = b"", b"", number
        self._read()
        self._unsent += RECORD.pack(self._run, number)
        with suppress(BlockingIOError):
            self._unsent = self._unsent[self._stream.send(self._unsent) :]
        if not reopens:  # connecting is waiting for the server
            self._log.sent(number)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while self._stream:
                data, at = receive(self._stream, 1 << 16)
                if not data:
                    raise ConnectionResetError("closed by the server")
                self._take(data, at)

    def _take(self, data: bytes, at: float) -> None:
        self._unread += data
        whole = len(self._unread) // RECORD.size * RECORD.size
        for run, number in RECORD.iter_unpack(self._unread[:whole]):
            if (run, number) != (self._run, self._expected):
                raise ConnectionResetError(f"record {number} came back in place of {self._expected}")
            self._log.answer(number, at)
            self._expected += 1
        self._unread = self._unread[whole:]

    def samples(self, begin: float) -> Samples:
        """Give the samples of records sent from `begin` on."""
        return self._log.samples(begin, self._interval)

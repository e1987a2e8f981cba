"""UDP echoes: numbered, sent at an even pace to all servers in turn.

One thread sends and now and then reads what came; the kernel's stamps tell when each answer came, so reading late
costs no accuracy.
"""

import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Event

from intercloud.endpoints.downtime import Samples
from intercloud.endpoints.result import ProbeConfig
from intercloud.endpoints.sockets import Log, Pace, receive, stamp

PACKET = struct.Struct("!8sQ")
READ_EACH = 8
LINGER = 1.0
RECEIVE_BUFFER = 4 << 20


class UdpProber:
    """Send, count and remember. Probe n goes to the n-th server, modulo their number."""

    def __init__(self, config: ProbeConfig) -> None:
        self._names = tuple(config.targets)
        self._peers = [(ip, config.echo_port) for ip in config.targets.values()]
        self._run = config.run.encode()[-8:].ljust(8)
        self._log = Log()
        self._silent = set(range(len(self._peers)))
        self._socket = stamp(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._interval = 1 / config.udp_rate
        self.pace = Pace(self._interval)

    def silent(self) -> list[str]:
        """Name the servers that have not answered yet."""
        return [f"{self._names[index]} (UDP echo)" for index in sorted(self._silent)]

    def run(self, stop: Event) -> None:
        """Probe until told to stop, then wait a moment for answers that are still under way."""
        while self.pace.wait(stop):
            self._send()
            if len(self._log) % READ_EACH == 0:
                self._read()
        patience = time.monotonic() + LINGER
        while time.monotonic() < patience:
            self._read()
            time.sleep(0.01)
        self._socket.close()

    def _send(self) -> None:
        number = self._log.ask()
        with suppress(OSError):  # a probe that cannot be sent is a probe that is not answered
            self._socket.sendto(PACKET.pack(self._run, number), self._peers[number % len(self._peers)])
        self._log.sent(number)

    def _read(self) -> None:
        while True:
            try:
                data, at = receive(self._socket, 2 * PACKET.size)
            except OSError:
                return
            if len(data) != PACKET.size:
                continue
            run, number = PACKET.unpack(data)
            if run == self._run and number < len(self._log):
                self._log.answer(number, at)
                self._silent.discard(number % len(self._peers))

    def samples(self, begin: float) -> Mapping[str, Samples]:
        """Give each server's samples of probes sent from `begin` on."""
        return {
            name: self._log.samples(begin, self._interval, len(self._names), index)
            for index, name in enumerate(self._names)
        }

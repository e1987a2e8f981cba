"""Numbered packets from a namespace to an address, and a receiver in a namespace at every site where that may be."""

import ctypes
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.cutover import sender
from benchmarks.cutover.arrivals import Arrivals, Seen
from intercloud.clouds.run import inside, urgently
from intercloud.endpoints.sockets import receive, stamp
from intercloud.errors import CloudError

_LINGER_S = 0.1
"""Silence after which nothing is under way any more: many times what a packet takes."""
_START_S, _END_S = 5.0, 10.0
_BUFFER = 128 << 20
"""Bytes: a receiver is read when all is over, so that reading disturbs nothing."""
_SO_RCVBUFFORCE = 33
_CLONE_NEWNET = 0x40000000
_PORTS = itertools.count(20000)
"""A port for each stream: what is left of one never counts in the next."""


@dataclass(frozen=True)
class Hosts:
    """Namespaces of the sender and, by site, of the receivers, which all have the same address."""

    sender: str
    address: str
    receivers: Mapping[str, str]


class Traffic:
    """One stream. It runs from the beginning of the context until `stop`, or the context's end."""

    def __init__(self, hosts: Hosts, rate: int) -> None:
        self._hosts = hosts
        self._rate = rate
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        port = next(_PORTS)
        self._receivers = {
            site: self._opened.enter_context(there(namespace, lambda: _receiver(port)))
            for site, namespace in self._hosts.receivers.items()
        }
        program = (sys.executable, sender.__file__, self._hosts.address, str(port), str(self._rate))
        self._sender = subprocess.Popen(
            inside(self._hosts.sender, [*urgently(), *program]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sender.poll() is None:
            self._sender.kill()
            self._sender.communicate(timeout=_END_S)
        self._opened.close()

    def wait_for_first(self, site: str) -> None:
        """Wait until packets arrive there. Raises CloudError when none does."""
        if not select.select([self._receivers[site]], [], [], _START_S)[0]:
            raise CloudError(f"no packet came to {site} within {_START_S:g} s")

    def stop(self) -> Seen:
        """Stop sending, wait for what is under way, and tell what was seen."""
        told = json.loads(self._sender.communicate(timeout=_END_S)[0])
        time.sleep(_LINGER_S)
        at = {site: _drain(receiver) for site, receiver in self._receivers.items()}
        return Seen(told["sent"], at, 1 / self._rate, told["late_s"])


def there(namespace: str, open_socket: Callable[[], socket.socket]) -> socket.socket:
    """Open a socket in another namespace, where it stays. Raises CloudError."""
    found: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            with Path("/run/netns", namespace).open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            found.append(open_socket())
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter)  # setns is for one thread, and this one ends
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise CloudError(f"cannot open a socket in {namespace}: {found[0]}")
    return found[0]


def _receiver(port: int) -> socket.socket:
    receiver = stamp(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    receiver.bind(("0.0.0.0", port))
    receiver.setblocking(False)
    return receiver


def _drain(receiver: socket.socket) -> Arrivals:
    arrivals: list[tuple[int, float]] = []
    while True:
        try:
            data, at = receive(receiver, sender.PACKET.size)
        except BlockingIOError:
            return arrivals
        arrivals.append((sender.PACKET.unpack(data)[0], at))

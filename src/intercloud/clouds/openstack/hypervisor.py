"""The only door to libvirt: a server's domain at its hypervisor, and its monitor as a socket where QMP is spoken.

Nova is not told: it finds the domain that it knows, with the definition that it wrote. Only how that runs is ours: it
is started once with `-incoming defer`, and is again an ordinary one at its next boot.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import libvirt
import libvirt_qemu

from intercloud.clouds.address import Address
from intercloud.clouds.openstack.domain import aliases, incoming, layout, node, receiving
from intercloud.clouds.openstack.names import ROOT
from intercloud.clouds.port import Doors, Monitor, ServerState
from intercloud.errors import CloudError, CloudUnreachable, MonitorError, NotFound

FIRST_PORT, SERVERS = 30000, 6000
"""Each server has three ports at its hypervisor: for its memory, for its disks, and for reading them."""
RECORDS = "/var/lib/intercloud/channels"
"""At a host: where processes beside hypervisors record what they have sent."""
HELD_BACK = 14.0
"""Seconds; for 15 s Nova holds back the word that a domain has stopped, and drops it when it has started again."""
GREETING = {"QMP": {"version": {"qemu": {"major": 0, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}}
STATES = {
    libvirt.VIR_DOMAIN_RUNNING: ServerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: ServerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: ServerState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: ServerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: ServerState.RUNNING,
}


@cache
def _events() -> None:
    """Let libvirt tell events, in a thread of its own; it must be asked to before the first connection."""
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt", daemon=True).start()


Tell = Callable[[str, int, int, str | None], None]
"""Called with an event of a monitor: its name, seconds, microseconds, and details in JSON."""

_connecting = threading.Lock()
_connections: dict[str, Any] = {}
_listeners: dict[str, Tell] = {}
"""UUID of a domain → who listens to its monitor."""


def connection(uri: str) -> Any:
    """Connect to a hypervisor, or find the connection that lives. Raises CloudUnreachable."""
    with _connecting:
        found = _connections.get(uri)
        if found is not None and found.isAlive():
            return found
        _events()
        try:
            _connections[uri] = libvirt.open(uri)
        except libvirt.libvirtError as error:
            raise CloudUnreachable(f"no answer from libvirt at {uri}: {error}") from error
        with suppress(libvirt.libvirtError):  # not every transport has it
            _connections[uri].setKeepAlive(5, 3)
        # once for all domains: libvirt loses events when one is registered for while another's ends
        libvirt_qemu.qemuMonitorEventRegister(_connections[uri], None, None, _dispatch, None, 0)
        return _connections[uri]


def _dispatch(*told: Any) -> None:
    listener = _listeners.get(told[1].UUIDString())
    if listener is not None:
        listener(*told[2:6])


@dataclass(frozen=True)
class Host:
    """A compute host. uri: of its libvirt; address: on the WAN; local: where this program reaches it.

    beside: words before a command that shall run there; None: none can.
    """

    uri: str
    address: str
    local: str
    beside: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Guest:
    """A server's domain. number: its UUID, in Nova and in libvirt; root: name of its root device ('vda')."""

    host: Host
    number: str
    name: str
    root: str

    @property
    def ports(self) -> tuple[int, int, int]:
        """For its memory, its disks, and for reading them."""
        first = FIRST_PORT + 3 * (crc32(self.number.encode()) % SERVERS)
        return first, first + 1, first + 2

    @property
    def domain(self) -> Any:
        """Its domain. Raises NotFound, CloudUnreachable."""
        try:
            return connection(self.host.uri).lookupByUUIDString(self.number)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NotFound(f"{self.host.uri} has no domain of server {self.name}") from error
            raise CloudUnreachable(f"no answer from libvirt at {self.host.uri}: {error}") from error

    def state(self) -> ServerState:
        """How its process is. Raises CloudUnreachable."""
        try:
            domain = self.domain
            found = STATES.get(domain.state()[0], ServerState.STOPPED)
            if found is ServerState.PAUSED and self.ask("query-status")["status"] == "inmigrate":
                return ServerState.INCOMING
        except NotFound:
            return ServerState.ABSENT
        except libvirt.libvirtError as error:
            raise CloudUnreachable(f"no answer from libvirt at {self.host.uri}: {error}") from error
        return found

    def was_let_in(self) -> bool:
        """Whether what runs was started to receive a memory, and not by Nova."""
        return "-incoming" in incoming(self.domain.XMLDesc(0))

    def ask(self, command: str, **arguments: object) -> Any:
        """Give its monitor one command. Raises MonitorError."""
        request = json.dumps({"execute": command, "arguments": arguments})
        try:
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, request, 0))
        except libvirt.libvirtError as error:
            raise MonitorError(f"{self.name}: {command}: {error}") from error
        if "error" in answer:
            raise MonitorError(f"{self.name}: {command} refused: {answer['error'].get('desc')}")
        return answer["return"]

    def layout(self) -> Mapping[str, str]:
        """Where its devices are. Raises NotFound, CloudUnreachable."""
        try:
            return layout(self.domain.XMLDesc(0))
        except libvirt.libvirtError as error:
            raise CloudUnreachable(f"no answer from libvirt at {self.host.uri}: {error}") from error

    def receive(self, wanted: Mapping[str, str]) -> bool:
        """Let it wait for its memory instead of running; nothing happens to one that does. Raises CloudError.

        wanted: where its devices shall be.

        Returns whether it was without a process for so short a time that Nova is not told of it.
        """
        if self.state() not in (ServerState.STOPPED, ServerState.ABSENT) and self.was_let_in():
            return True
        try:
            domain = self.domain
            xml = receiving(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), wanted)
            began, ran = time.monotonic(), domain.isActive()
            if ran:
                domain.destroy()
            connection(self.host.uri).createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)
        except libvirt.libvirtError as error:
            raise CloudError(f"{self.name} cannot be made to wait for its memory: {error}") from error
        return bool(ran) and time.monotonic() - began < HELD_BACK

    def monitor(self, folder: Path) -> Monitor:
        """Find its monitor. folder: for the socket."""
        blocks = self.ask("query-block")
        disks = aliases(self.domain.XMLDesc(0))
        nodes = {ROOT if device == self.root else device: node(blocks, name) for device, name in disks.items()}
        beside, doors = self.host.beside, None
        if beside is not None:
            memory, meeting, _ = self.ports
            record = f"{RECORDS}/{self.number}"
            doors = Doors(Address("127.0.0.1", memory), Address("127.0.0.1", meeting), record)
        return Monitor(relay(self, folder), nodes, beside or (), (self.host.local, self.ports[2]), doors)


_relays: dict[str, str] = {}
_relaying = threading.Lock()


def relay(guest: Guest, folder: Path) -> str:
    """Speak QMP at a socket for a domain, as long as this process lives; returns its path."""
    with _relaying:
        key = f"{guest.host.uri} {guest.number}"
        if key not in _relays:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{guest.number[:8]}-{os.getpid()}.qmp"
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen(1)
            threading.Thread(target=serve, args=(listener, guest), name="monitor", daemon=True).start()
            _relays[key] = str(path)
        return _relays[key]


def serve(listener: socket.socket, guest: Guest) -> None:
    """Serve one client after the other."""
    while True:
        client, _ = listener.accept()
        with client, suppress(OSError, CloudError, NotFound, libvirt.libvirtError, ValueError):
            converse(client, guest)


def converse(client: socket.socket, guest: Guest) -> None:
    """Pass on commands and their answers, and events, until either side has gone."""
    sending = threading.Lock()

    def send(message: Mapping[str, object]) -> None:
        with sending:
            client.sendall(json.dumps(message).encode() + b"\n")

    def tell(name: str, seconds: int, micros: int, details: str | None) -> None:
        with suppress(OSError):
            data = json.loads(details) if details else {}
            stamp = {"seconds": seconds, "microseconds": micros}
            send({"event": name, "data": data, "timestamp": stamp})

    domain = guest.domain
    with listening(guest.number, tell):
        send(GREETING)
        for request in requests(client):
            number = {"id": request.pop("id")} if "id" in request else {}
            if request["execute"] == "qmp_capabilities":
                send({"return": {}, **number})
                continue
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(request), 0))
            answer.pop("id", None)
            send({**answer, **number})


def requests(client: socket.socket) -> Iterator[dict[str, Any]]:
    """Read what a client of QMP asks for, one object after the other: nothing need be between them."""
    decoder, text = json.JSONDecoder(), ""
    while more := client.recv(65536):
        text += more.decode()  # requests are ASCII
        with suppress(ValueError):  # its end is still to come
            while text:
                request, end = decoder.raw_decode(text)
                text = text[end:].lstrip()
                yield request


@contextmanager
def listening(number: str, tell: Tell) -> Iterator[None]:
    """While the context lasts, events of a domain's monitor are told."""
    _listeners[number] = tell
    try:
        yield
    finally:
        del _listeners[number]

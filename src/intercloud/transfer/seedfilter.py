"""A process between a hypervisor that mirrors a disk and the NBD server at the disk's place, which holds a seed.

    python -m intercloud.transfer.seedfilter SOCKET URI EXPORT   (the seed's block digests come by stdin)

QEMU's mirror writes the whole disk; only what is not at the target yet crosses the WAN. Whoever writes, the mirror or
the guest through it, in whatever order, both sides are equal afterwards: QEMU has no two writes of one place under way.
The process outlives the program that starts it, as the mirror does, and ends when QEMU or the target closes.
"""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from intercloud.clouds.address import Address
from intercloud.clouds.nbd_reader import (
    EXPORT_NAME,
    FIXED_NEWSTYLE,
    NO_ZEROES,
    OPTION,
    READ,
    REPLY,
    REPLY_HEAD,
    REQUEST,
    REQUEST_HEAD,
    open_export,
    take,
)
from intercloud.clouds.port import Monitor
from intercloud.errors import TransferError
from intercloud.model.evidence import BlockDigests
from intercloud.transfer.held import Held, Part
from intercloud.transfer.sockets import connect, promptly
from intercloud.units import Bytes

START = 60.0
"""Seconds until it listens; a big disk has megabytes of digests."""
CONNECT = 10.0
"""Seconds for the target to answer."""
LONELY = 30.0
"""Seconds for QEMU to come; then nobody wants it any more."""
GLANCE = 0.2
"""Seconds between looks whether its socket is still there: who begins anew removes it."""
SILENCE_MS = 60_000
"""For data that the target does not acknowledge; then it counts as gone."""
ABORT, GO = 2, 7
ACK, INFO, UNSUPPORTED = 1, 3, 2**31 + 1
OPTION_REPLY = 0x3E889045565A9
FLAGS = 0x86F
"""Of the target's flags, those that hold here too: read-only, flush, FUA, trim, write zeroes, and these fast."""
LONGEST_OPTION = 64 * 1024


class Kind(IntEnum):
    """Requests that are not just passed on."""

    READ = READ
    WRITE = 1
    DISCONNECT = 2
    TRIM = 4
    WRITE_ZEROES = 6


def start(monitor: Monitor, server: Address, export: str, seed: BlockDigests) -> str:
    """Start one beside a hypervisor, for one disk; returns the socket at which it waits for QEMU.

    server: the NBD server as one finds it from there; seed: of what its export holds, to which nobody else writes.
    Raises TransferError.
    """
    path = str(_socket(monitor, export))
    program = (sys.executable, "-m", __name__, path, server.uri, export)
    try:
        done = subprocess.run(
            (*monitor.beside, *program), input=seed.digests, capture_output=True, timeout=START, check=False,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransferError(f"the filter before {export} does not start: {error}") from error
    if done.returncode:
        raise TransferError(f"the filter before {export} does not start: {done.stderr.decode().strip()}")
    return path


def sent(monitor: Monitor, export: str) -> Bytes | None:
    """Bytes that one has passed on so far; None when there is none."""
    try:
        return Bytes(int(_count(_socket(monitor, export)).read_text()))
    except (FileNotFoundError, ValueError):
        return None


def sweep(monitor: Monitor, export: str) -> None:
    """Remove the files of one that is not needed any more. Safe to repeat."""
    for path in (_socket(monitor, export), _count(_socket(monitor, export))):
        path.unlink(missing_ok=True)


def _socket(monitor: Monitor, export: str) -> Path:
    return Path(monitor.path).with_suffix(f".seed-{export}")


def _count(path: Path) -> Path:
    return path.with_name(f"{path.name}-sent")


@dataclass
class Pending:
    """A request under way, in so many parts. length: bytes that its answer carries; fault: of any of the parts."""

    cookie: int
    length: int
    parts: int
    fault: int = 0


class Relay:
    """Passes on what a client asks of a server, except the writes that would change nothing. count: file to tell in."""

    def __init__(self, client: socket.socket, server: socket.socket, held: Held, count: int) -> None:
        self._client, self._server, self._held, self._count = client, server, held, count
        self._answering = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._number, self._sent = 0, 0

    def run(self) -> None:
        """Go on until either side closes."""
        threading.Thread(target=self._answers, daemon=True).start()
        with suppress(OSError):
            while self._request():
                pass

    def _request(self) -> bool:
        _, flags, kind, cookie, start, length = REQUEST_HEAD.unpack(take(self._client, REQUEST_HEAD.size))
        content = take(self._client, length) if kind == Kind.WRITE else memoryview(b"")
        parts = self._parts(kind, start, length, content)
        if not parts:
            self._answer(cookie, 0)
        pending = Pending(cookie, length if kind == Kind.READ else 0, len(parts))
        for at, size in parts:
            self._number += 1
            self._pending[self._number] = pending
            head = REQUEST_HEAD.pack(REQUEST, flags, kind, self._number, at, size)
            self._server.sendall(b"".join((head, content[at - start : at - start + size])))
            self._tell(len(head) + (size if kind == Kind.WRITE else 0))
        return bool(kind != Kind.DISCONNECT)

    def _parts(self, kind: int, start: int, length: int, content: memoryview) -> list[Part]:
        match kind:
            case Kind.WRITE:
                return self._held.write(start, content)
            case Kind.WRITE_ZEROES:
                return self._held.zero(start, length)
            case Kind.TRIM:
                return self._held.trim(start, length)
            case _:
                return [(start, length)]

    def _tell(self, more: int) -> None:
        self._sent += more
        os.pwrite(self._count, b"%020d\n" % self._sent, 0)

    def _answers(self) -> None:
        try:
            while True:
                _, fault, number = REPLY_HEAD.unpack(take(self._server, REPLY_HEAD.size))
                pending = self._pending.pop(number)
                content = take(self._server, 0 if fault else pending.length)
                pending.fault = pending.fault or fault
                pending.parts -= 1
                if not pending.parts:
                    self._answer(pending.cookie, pending.fault, content)
        except (OSError, KeyError):  # it is gone, or speaks of what nobody asked
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _answer(self, cookie: int, fault: int, content: memoryview | bytes = b"") -> None:
        with self._answering:
            self._client.sendall(b"".join((REPLY_HEAD.pack(REPLY, fault, cookie), content)))


def welcome(client: socket.socket, size: int, flags: int) -> None:
    """Shake hands with a client, which gets the export whatever name it says. Raises ConnectionError when it leaves."""

    def reply(kind: int, content: bytes = b"") -> None:
        client.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(content)) + content)

    client.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION, FIXED_NEWSTYLE | NO_ZEROES))
    (wanted,) = struct.unpack(">I", take(client, 4))
    while True:
        _, option, length = struct.unpack(">QII", take(client, 16))
        if length > LONGEST_OPTION:
            raise ConnectionError("this is no NBD client")
        take(client, length)
        if option == EXPORT_NAME:
            client.sendall(struct.pack(">QH", size, flags) + (b"" if wanted & NO_ZEROES else bytes(124)))
            return
        if option == GO:
            reply(INFO, struct.pack(">HQH", 0, size, flags))
            reply(ACK)
            return
        if option == ABORT:
            reply(ACK)
            raise ConnectionError("it has thought better of it")
        reply(UNSUPPORTED)


def wait_for_client(listener: socket.socket, path: Path, inode: int) -> socket.socket | None:
    """The one client, after which nobody else can come; None when none came in time or who began anew removed the path.

    inode: of the path that is this listener's; another process may have put its own there since.
    """

    def is_there() -> bool:
        try:
            return path.stat().st_ino == inode
        except FileNotFoundError:
            return False

    client = None
    deadline = time.monotonic() + LONELY
    listener.settimeout(GLANCE)
    while client is None and is_there() and time.monotonic() < deadline:
        with suppress(TimeoutError):
            client, _ = listener.accept()
            client.settimeout(None)
    listener.close()
    if is_there():
        path.unlink()
    return client


def main(path: Path, where: Address, export: str) -> None:
    """Connect, listen, go on alone, serve one client."""
    server = promptly(connect(where, CONNECT))
    size, flags = open_export(server, export)
    held = Held(BlockDigests(size, sys.stdin.buffer.read()))
    server.settimeout(None)
    if server.family != socket.AF_UNIX:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    mine = path.stat().st_ino
    count = os.open(_count(path), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.pwrite(count, b"%020d\n" % 0, 0)
    if os.fork():
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for said in range(3):
        os.dup2(nowhere, said)
    if client := wait_for_client(listener, path, mine):
        welcome(client, size, flags & FLAGS)
        Relay(client, server, held, count).run()
    # at once: QEMU lets go in the switchover, when the interpreter's own way out takes 0.1 s of a processor from guests
    os._exit(0)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Address.read(sys.argv[2]), sys.argv[3])
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None

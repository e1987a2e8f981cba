"""A process between a hypervisor that mirrors a disk and the NBD server at the disk's place.

    python -m intercloud.transfer.nbdfilter WHERE SERVER EXPORT   (by stdin: block digests of the seed, if there is one)

It answers by itself what would change nothing at the target, so that this costs no way over the WAN and back:

- a flush when no write has been answered since the last one that the target carried out. A stopped QEMU flushes four
  times, one after the other, until it has let go of the mirror;
- a write of what the seed holds. QEMU's mirror writes the whole disk.

Whoever writes, the mirror or the guest through it, in whatever order, both sides are equal afterwards: QEMU has no two
writes of one place under way. The process outlives the program that starts it, as the mirror does, and ends when QEMU
or the target closes. Where servers share a channel, its process does the same (`multiplexer`).
"""

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
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
from intercloud.model.digests import BlockDigests
from intercloud.transfer.held import Held, Part
from intercloud.transfer.sockets import connect, inode, listen, promptly

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
    FLUSH = 3
    TRIM = 4
    WRITE_ZEROES = 6


WRITES = (Kind.WRITE, Kind.TRIM, Kind.WRITE_ZEROES)


@dataclass
class Pending:
    """A request under way, in so many parts. length: bytes that its answer carries; fault: of any of the parts.

    written: writes that had been answered when it came.
    """

    kind: int
    cookie: int
    length: int
    parts: int
    written: int
    fault: int = 0


class Relay:
    """Passes on what a client asks of a server, except what would change nothing there.

    held: what is there, if that is known; count: file to tell in what was sent.
    """

    def __init__(self, client: socket.socket, server: socket.socket, held: Held | None, count: int | None) -> None:
        self._client, self._server, self._held, self._count = client, server, held, count
        self._answering = threading.Lock()
        self._pending: dict[int, Pending] = {}
        self._number, self._sent = 0, 0
        self._written, self._flushed = 0, -1  # writes answered, and how many of them a flush has made safe

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
        pending = Pending(kind, cookie, length if kind == Kind.READ else 0, len(parts), self._written)
        for at, size in parts:
            self._number += 1
            self._pending[self._number] = pending
            head = REQUEST_HEAD.pack(REQUEST, flags, kind, self._number, at, size)
            self._server.sendall(b"".join((head, content[at - start : at - start + size])))
            self._tell(len(head) + (size if kind == Kind.WRITE else 0))
        return bool(kind != Kind.DISCONNECT)

    def _parts(self, kind: int, start: int, length: int, content: memoryview) -> list[Part]:
        if kind == Kind.FLUSH and self._flushed == self._written:
            return []
        if self._held is None:
            return [(start, length)]
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
        if self._count is not None:
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
                    self._note(pending)
                    self._answer(pending.cookie, pending.fault, content)
        except (OSError, KeyError):  # it is gone, or speaks of what nobody asked
            with suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)

    def _note(self, done: Pending) -> None:
        """Before it is answered: whoever flushes then has seen that it was, and wants it to be safe."""
        if done.kind in WRITES:
            self._written += 1
        elif done.kind == Kind.FLUSH and not done.fault:
            self._flushed = done.written

    def _answer(self, cookie: int, fault: int, content: memoryview | bytes = b"") -> None:
        with self._answering:
            self._client.sendall(b"".join((REPLY_HEAD.pack(REPLY, fault, cookie), content)))


def welcome(client: socket.socket, find: Callable[[str], tuple[int, int]]) -> None:
    """Shake hands with a client. find: the size and the flags of an export. Raises ConnectionError when it leaves."""

    def reply(kind: int, content: bytes = b"") -> None:
        client.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(content)) + content)

    client.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION, FIXED_NEWSTYLE | NO_ZEROES))
    (wanted,) = struct.unpack(">I", take(client, 4))
    while True:
        _, option, length = struct.unpack(">QII", take(client, 16))
        if length > LONGEST_OPTION:
            raise ConnectionError("this is no NBD client")
        content = bytes(take(client, length))
        if option in (EXPORT_NAME, GO):
            name = content if option == EXPORT_NAME else content[4 : 4 + int.from_bytes(content[:4], "big")]
            size, flags = find(name.decode())
            flags &= FLAGS
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


def count_file(path: Path) -> Path:
    """Where one at this socket tells what it has sent."""
    return path.with_name(f"{path.name}-sent")


def stand_between(client: socket.socket, server: socket.socket) -> None:
    """Do it for connections that just began, until either closes, and close both."""
    with client, server, suppress(OSError):
        welcome(client, partial(open_export, server))
        Relay(client, server, None, None).run()
        server.shutdown(socket.SHUT_RDWR)  # its reader still waits there, and while it does closing ends nothing


def wait_for_client(listener: socket.socket) -> socket.socket | None:
    """The one client, after which nobody else can come; None when none came in time or who began anew took the place.

    That is at a socket in a file: whoever begins anew removes it, or puts an own one there.
    """
    path = Path(listener.getsockname()) if listener.family == socket.AF_UNIX else None
    mine = inode(path)
    client = None
    deadline = time.monotonic() + LONELY
    listener.settimeout(GLANCE)
    while client is None and inode(path) == mine and time.monotonic() < deadline:
        with suppress(TimeoutError):
            client, _ = listener.accept()
            client.settimeout(None)
    listener.close()
    if path and inode(path) == mine:
        path.unlink()
    return client


def main(where: Address, target: Address, export: str) -> None:
    """Connect, listen, say where, go on alone, serve one client."""
    server = promptly(connect(target, CONNECT))
    size, flags = open_export(server, export)
    digests = sys.stdin.buffer.read()
    held = Held(BlockDigests(size, digests)) if digests else None
    server.settimeout(None)
    if server.family != socket.AF_UNIX:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
    listener = listen(where)
    count = None
    if held and where.path:
        count = os.open(count_file(Path(where.path)), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        os.pwrite(count, b"%020d\n" % 0, 0)
    sys.stdout.write((where if where.path else Address(*listener.getsockname())).uri)
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for said in range(3):
        os.dup2(nowhere, said)
    if client := wait_for_client(listener):
        welcome(promptly(client), lambda _: (size, flags))
        Relay(client, server, held, count).run()
    # at once: QEMU lets go in the switchover, when the interpreter's own way out takes 0.1 s of a processor from guests
    os._exit(0)


if __name__ == "__main__":
    try:
        main(Address.read(sys.argv[1]), Address.read(sys.argv[2]), sys.argv[3])
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None

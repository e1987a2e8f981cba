"""Many connections, one compressed stream: a process beside the hypervisors at either side of a path.

    python -m intercloud.transfer.multiplexer NAME   (what it is to do comes by stdin: an End as JSON)

What the servers of a gang send, memory and disks, becomes one stream with a long window: what one of them has sent, the
others do not send again. After the token each direction is one zstd frame (RFC 8878); in it the connections take turns:

    kind (1 byte), number of the connection (4), number of its door or length of its data (4), data

A connection is made by whoever comes to a door at the source, and goes to the door of the same number at the target;
one of a disk's mirror begins with a filter (`nbdfilter`).
Both processes outlive the program that starts them, as the transfers do, and end when the other one does. The source's
ends when nobody has come for a while, or when its files are gone and nobody is left.
"""

import fcntl
import json
import math
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import IntEnum
from hmac import compare_digest
from pathlib import Path
from queue import Empty, SimpleQueue

import zstandard

from intercloud.clouds.address import Address
from intercloud.clouds.nbd_reader import take
from intercloud.transfer.nbdfilter import stand_between
from intercloud.transfer.sockets import connect, inode, listen, promptly

HEAD = struct.Struct("!BII")
PIECE = 128 * 1024
"""Bytes that a connection sends in its turn: one block of zstd."""
TAKEN = 16 * 1024
"""Bytes that are decompressed at a time; what compresses best makes some 100 MiB of them."""
UNSENT = 64 * 1024
"""Bytes that wait in the kernel for the WAN: what is queued there stands before the last of a stopped guest."""
TCP_NOTSENT_LOWAT = 25
"""Linux' number of it; Python 3.11 has no name for it."""
DOORS, DISKS = 2, 1
"""Of each server, and which of them is that of its disks' mirrors."""
LEVEL = 1
"""Of zstd; it compresses some 300 MB/s on one core, and the long window finds more than a higher level."""
CONNECT = 10.0
"""Seconds for the other end to come."""
LONELY = 60.0
"""Seconds without anybody who may say more, after which nobody wants it any more; the other end may hang."""
LITTLE, PAUSE = 4096, 0.002
"""Bytes, and seconds: who has no memory left to send says so over and over, and would keep both ends busy. When
nobody says more than so little, the next turn is so much later."""
GLANCE = 0.2
"""Seconds between two looks whether its files are still there."""
SILENCE_MS = 60_000
"""For data that the other end does not acknowledge; then it counts as gone."""
BACK_WINDOW = 20
"""The window of what goes back, as a power of two: answers, next to nothing."""


@dataclass(frozen=True)
class End:
    """What one of the two has to do.

    wan: URI of where the target's listens, and the source's connects to. token: what the source's must say.
    doors: URIs of where the source's listens, and of where the target's finds who listens. window: bytes, as a power of
    two, kept at both ends. record: file in which the source's tells the bytes that it has sent, and which it locks.
    """

    wan: str
    token: str
    doors: tuple[str, ...]
    window: int
    record: str | None = None

    def to_json(self) -> str:
        """Write it for the process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "End":
        """Read what to_json wrote."""
        given = json.loads(text)
        return End(**{**given, "doors": tuple(given["doors"])})


class Kind(IntEnum):
    """What follows in the stream. END: nothing more comes; RESET: nothing more is taken either."""

    OPEN = 0
    DATA = 1
    END = 2
    RESET = 3


@dataclass
class Connection:
    """A local one. read_over: it has closed or failed; write_over: the far one has. memory: of a memory's source."""

    local: socket.socket
    memory: bool = False
    read_over: bool = False
    write_over: bool = False


class Outgoing:
    """The compressed stream to the other end; used by one thread."""

    def __init__(self, wan: socket.socket, window: int, record: int | None) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=window, enable_ldm=True)
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._wan, self._record = wan, record
        self._sent = 0
        self.held = False
        """Whether something has not been sent yet: more may come with which it compresses better."""

    def say(self, kind: Kind, number: int, figure: int, data: memoryview | bytes = b"") -> None:
        """Send a head and its data, as soon as there is enough of it."""
        self._send(self._stream.compress(HEAD.pack(kind, number, figure)) + self._stream.compress(data))
        self.held = True

    def flush(self) -> None:
        """Send all that was said."""
        self._send(self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        self.held = False

    def _send(self, block: bytes) -> None:
        if block:
            self._wan.sendall(block)
            self._sent += len(block)
            if self._record is not None:
                os.pwrite(self._record, b"%020d\n" % self._sent, 0)


class Incoming:
    """The other end's stream, decompressed; used by one thread. Raises EOFError when it ends."""

    def __init__(self, wan: socket.socket, window: int) -> None:
        self._stream = zstandard.ZstdDecompressor(max_window_size=1 << window).decompressobj()
        self._wan = wan
        self._left = memoryview(b"")

    def head(self) -> tuple[Kind, int, int]:
        """Read what comes next."""
        head = b""
        while len(head) < HEAD.size:
            head += self.some(HEAD.size - len(head))
        kind, number, figure = HEAD.unpack(head)
        return Kind(kind), number, figure

    def some(self, most: int) -> memoryview:
        """Read what is there, at least a byte."""
        while not self._left:
            got = self._wan.recv(TAKEN)
            if not got:
                raise EOFError
            self._left = memoryview(self._stream.decompress(got))
        part, self._left = self._left[:most], self._left[most:]
        return part


class Multiplexer:
    """Passes on what local connections say and are told. doors: of the target; listeners: of the source, by door."""

    def __init__(
        self, out: Outgoing, back: Incoming, listeners: Sequence[socket.socket], doors: Sequence[Address]
    ) -> None:
        self._out, self._in, self._doors = out, back, doors
        self._connections: dict[int, Connection] = {}
        self._news: SimpleQueue[tuple[Kind, int]] = SimpleQueue()  # of the stream's reader, for who owns connections
        self._bell, self._rung = socket.socketpair()
        self._buffer = memoryview(bytearray(PIECE))
        self._serial = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._rung, selectors.EVENT_READ, None)
        for door, listener in enumerate(listeners):
            self._selector.register(listener, selectors.EVENT_READ, (listener, door))

    def run(self, path: Path | None) -> None:
        """Go on until the other end leaves. path: a file that stands for those who want this one."""
        threading.Thread(target=self._inward, daemon=True).start()
        mine = path.stat().st_ino if path else None
        wanted = time.monotonic()
        while True:
            events = self._selector.select(0 if self._out.held else GLANCE)
            if not events and self._out.held:
                self._out.flush()
            little = [self._serve(key.data) for key, _ in events]
            if little and all(little):
                time.sleep(PAUSE)
            if path is None or not all(each.read_over for each in self._connections.values()):
                wanted = time.monotonic()
            elif time.monotonic() - wanted > LONELY or not (self._connections or inode(path) == mine):
                return

    def _serve(self, what: tuple[socket.socket, int] | int | None) -> bool:
        """Take what there is; tells whether it was next to nothing, of a memory."""
        if what is None:
            self._rung.recv(PIECE)
            with suppress(Empty):
                while True:
                    self._hear(*self._news.get_nowait())
        elif isinstance(what, int):
            return self._outward(what)
        else:
            listener, door = what
            self._serial += 1
            local = promptly(listener.accept()[0])
            disks = door % DOORS == DISKS
            self._connections[self._serial] = Connection(filtered(local) if disks else local, memory=not disks)
            self._out.say(Kind.OPEN, self._serial, door)
            self._hear(Kind.OPEN, self._serial)

        return False

    def _outward(self, number: int) -> bool:
        connection = self._connections[number]
        try:
            got = connection.local.recv_into(self._buffer)
        except OSError:
            got = 0
        if got:
            self._out.say(Kind.DATA, number, got, self._buffer[:got])
            return connection.memory and got < LITTLE
        self._selector.unregister(connection.local)
        self._out.say(Kind.END, number, 0)
        connection.read_over = True
        self._forget(number, connection)
        return False

    def _hear(self, kind: Kind, number: int) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return  # the last words about one that both sides have ended
        if kind is Kind.OPEN:
            self._selector.register(connection.local, selectors.EVENT_READ, number)
            return
        if kind is Kind.RESET:
            self._out.say(Kind.RESET, number, 0)
        connection.write_over = True
        self._forget(number, connection)

    def _forget(self, number: int, connection: Connection) -> None:
        if connection.read_over and connection.write_over:
            del self._connections[number]
            connection.local.close()

    def _inward(self) -> None:
        try:
            while True:
                kind, number, figure = self._in.head()
                if kind is Kind.DATA:
                    self._pass_on(number, figure)
                elif kind is Kind.OPEN:
                    self._open(number, figure)
                else:
                    with suppress(OSError, KeyError):  # it may have gone by itself
                        how = socket.SHUT_WR if kind is Kind.END else socket.SHUT_RDWR
                        self._connections[number].local.shutdown(how)
                    self._ring(Kind.END, number)
        finally:
            os._exit(0)  # the other end has gone, or talks nonsense: with this process all connections end

    def _open(self, number: int, door: int) -> None:
        try:
            local = promptly(connect(self._doors[door], CONNECT))
            local.settimeout(None)
        except OSError:
            local, failed = socket.socketpair()
            failed.close()
        self._connections[number] = Connection(local)
        self._ring(Kind.OPEN, number)

    def _pass_on(self, number: int, length: int) -> None:
        connection = self._connections.get(number)
        while length:
            part = self._in.some(length)
            length -= len(part)
            if connection is not None and not connection.write_over:
                try:
                    connection.local.sendall(part)
                except OSError:
                    connection.write_over = True
                    self._ring(Kind.RESET, number)

    def _ring(self, kind: Kind, number: int) -> None:
        self._news.put((kind, number))
        self._bell.send(b"\0")


def filtered(client: socket.socket) -> socket.socket:
    """Let a filter stand before who mirrors a disk; returns where that one is asked, and answered."""
    near, far = socket.socketpair()
    threading.Thread(target=stand_between, args=(client, near), daemon=True).start()
    return far


def meet(listener: socket.socket, token: str) -> socket.socket:
    """Let in who knows the token. Raises OSError when nobody came in time."""
    listener.settimeout(CONNECT)
    with listener:
        while True:
            wan, _ = listener.accept()
            wan.settimeout(CONNECT)
            with suppress(OSError):
                if compare_digest(bytes(take(wan, len(token))), token.encode()):
                    return wan
            wan.close()


def keep_record(path: Path) -> int:
    """Begin a record and lock it: it says that this process lives. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    record = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    fcntl.flock(record, fcntl.LOCK_EX)
    return record


def _outweigh(servers: int) -> None:
    """Take more than one process' part of processors that are short: it carries for that many servers.

    A step of nice is a quarter more. All that the servers would have taken was too much: with it guests waited so long
    that QEMU stopped them before their traffic was turned. So it takes half as many steps, docs/decisions/0019.
    """
    nice = -round(math.log(servers, 1.25) / 2)
    with suppress(OSError):
        os.nice(nice)
    with suppress(OSError):  # where Linux first divides among sessions, and then within each: this is one of its own
        Path("/proc/self/autogroup").write_text(str(nice))


def main() -> None:
    """Get ready, go on alone, serve. The caller may go on when this process has ended."""
    end = End.from_json(sys.stdin.read())
    path, address = Path(end.record) if end.record else None, Address.read(end.wan)
    record, listeners = None, list[socket.socket]()
    if path is None:
        wan = listen(address)
    else:
        record = keep_record(path)
        wan = connect(address, CONNECT)
        wan.sendall(end.token.encode())
        listeners = [listen(Address.read(door), PIECE) for door in end.doors]
    if os.fork():
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for said in range(3):
        os.dup2(nowhere, said)
    _outweigh(math.ceil(len(end.doors) / DOORS))
    with suppress(OSError):
        wan = wan if path else meet(wan, end.token)
        wan.settimeout(None)
        promptly(wan).setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)
        wan.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
        there, back = (end.window, BACK_WINDOW) if path else (BACK_WINDOW, end.window)
        doors = [Address.read(door) for door in end.doors]
        Multiplexer(Outgoing(wan, there, record), Incoming(wan, back), listeners, doors).run(path)
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None

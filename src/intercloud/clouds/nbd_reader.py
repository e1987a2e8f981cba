"""NBD as two programs of ours speak it: the fixed newstyle handshake, simple requests, simple replies.

Read what a server offers, any bytes in any order, which no program at hand does.
github.com/NetworkBlockDevice/nbd, doc/proto.md.
"""

import socket
import struct
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from intercloud.errors import TransferError
from intercloud.units import Bytes

PATIENCE = 60.0
"""Seconds for one answer."""
OPTION, REQUEST, REPLY = 0x49484156454F5054, 0x25609513, 0x67446698
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
EXPORT_NAME, READ = 1, 0
REQUEST_HEAD, REPLY_HEAD = struct.Struct(">IHHQQI"), struct.Struct(">IIQ")
"""Magic, flags, kind, cookie, start, length; magic, fault, cookie."""


def take(peer: socket.socket, length: int) -> memoryview:
    """Receive just so many bytes. Raises ConnectionError when the peer closes before."""
    taken = memoryview(bytearray(length))
    have = 0
    while have < length:
        got = peer.recv_into(taken[have:])
        if not got:
            raise ConnectionError("the server closed the connection; is there such an export?")
        have += got
    return taken


def open_export(server: socket.socket, name: str) -> tuple[Bytes, int]:
    """Shake hands with a server; returns the export's bytes and its flags. Raises OSError, or ConnectionError."""
    magic, _ = struct.unpack(">8s8sH", take(server, 18))[1:]
    if magic != OPTION.to_bytes(8, "big"):
        raise ConnectionError("this is no NBD server of the newstyle kind")
    export = name.encode()
    server.sendall(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
    server.sendall(struct.pack(">QII", OPTION, EXPORT_NAME, len(export)) + export)
    size, flags = struct.unpack(">QH", take(server, 10))
    return Bytes(size), flags


class Reader:
    """One connection to one export. size: bytes of the export. Use as a context manager.

    uri: nbd+unix:///EXPORT?socket=PATH, or nbd://HOST:PORT/EXPORT.
    Every method raises TransferError when the server goes away or says no.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        parts = urlsplit(uri)
        self._socket = socket.socket(socket.AF_INET if parts.hostname else socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            place = (parts.hostname, parts.port) if parts.hostname else parse_qs(parts.query)["socket"][0]
            self._socket.connect(place)
            self.size, _ = open_export(self._socket, parts.path.removeprefix("/"))
        except OSError as error:
            self._socket.close()
            raise TransferError(f"{uri} cannot be read: {error}") from error

    def read(self, start: int, length: int) -> memoryview:
        """Read bytes; they must lie within the export."""
        try:
            self._socket.sendall(REQUEST_HEAD.pack(REQUEST, 0, READ, start, start, length))
            magic, fault, handle = REPLY_HEAD.unpack(take(self._socket, REPLY_HEAD.size))
            if (magic, fault, handle) != (REPLY, 0, start):
                raise TransferError(f"{self.uri}: {length} bytes at {start} cannot be read: error {fault}")
            return take(self._socket, length)
        except OSError as error:
            raise TransferError(f"{self.uri} cannot be read: {error}") from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

"""Read what an NBD server at a unix socket offers: any bytes in any order, which no program at hand does.

The fixed newstyle handshake with NBD_OPT_EXPORT_NAME, then simple replies: github.com/NetworkBlockDevice/nbd,
doc/proto.md.
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


class Reader:
    """One connection to one export. size: bytes of the export. Use as a context manager.

    uri: nbd+unix:///EXPORT?socket=PATH. Every method raises TransferError when the server goes away or says no.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        parts = urlsplit(uri)
        name = parts.path.removeprefix("/").encode()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(parse_qs(parts.query)["socket"][0])
            magic, _ = struct.unpack(">8s8sH", self._take(18))[1:]
            if magic != OPTION.to_bytes(8, "big"):
                raise TransferError(f"{uri}: this is no NBD server of the newstyle kind")
            self._socket.sendall(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
            self._socket.sendall(struct.pack(">QII", OPTION, EXPORT_NAME, len(name)) + name)
            self.size = Bytes(struct.unpack(">QH", self._take(10))[0])
        except OSError as error:
            self._socket.close()
            raise TransferError(f"{uri} cannot be read: {error}") from error

    def read(self, start: int, length: int) -> memoryview:
        """Read bytes; they must lie within the export."""
        try:
            self._socket.sendall(struct.pack(">IHHQQI", REQUEST, 0, READ, start, start, length))
            magic, fault, handle = struct.unpack(">IIQ", self._take(16))
            if (magic, fault, handle) != (REPLY, 0, start):
                raise TransferError(f"{self.uri}: {length} bytes at {start} cannot be read: error {fault}")
            return self._take(length)
        except OSError as error:
            raise TransferError(f"{self.uri} cannot be read: {error}") from error

    def _take(self, length: int) -> memoryview:
        taken = memoryview(bytearray(length))
        have = 0
        while have < length:
            got = self._socket.recv_into(taken[have:])
            if not got:
                raise ConnectionError("the server closed the connection; is there such an export?")
            have += got
        return taken

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

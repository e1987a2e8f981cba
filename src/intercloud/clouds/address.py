"""Where one program waits for another."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Address:
    """A port of a host, or a socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def uri(self) -> str:
        """As one word, which QEMU's migrate and migrate-incoming take."""
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"

    @property
    def kind(self) -> str:
        """As QMP's SocketAddress has it."""
        return "unix" if self.path else "inet"

    def connect(self, timeout: float) -> socket.socket:
        """Connect to who waits there. Raises OSError."""
        if not self.path:
            return socket.create_connection((self.host, self.port), timeout)
        found = socket.socket(socket.AF_UNIX)
        found.settimeout(timeout)
        found.connect(self.path)
        return found

    def listen(self, buffer: int | None = None) -> socket.socket:
        """Wait there; a socket that somebody else has left goes. buffer: bytes that a peer may send ahead, about."""
        found = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        if self.path:
            Path(self.path).unlink(missing_ok=True)
        else:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        found.bind(self.path or (self.host, self.port))
        found.listen()
        return found

    @staticmethod
    def read(uri: str) -> "Address":
        """Read what `uri` gave."""
        kind, _, place = uri.partition(":")
        host, _, port = place.rpartition(":")
        return Address(path=place) if kind == "unix" else Address(host, int(port))

    @property
    def place(self) -> Mapping[str, str]:
        """The rest of a SocketAddress."""
        return {"path": self.path} if self.path else {"host": self.host, "port": str(self.port)}

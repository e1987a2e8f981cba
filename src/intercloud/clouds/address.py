"""Where one program waits for another."""

from collections.abc import Mapping
from dataclasses import dataclass


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

"""What a server is, wherever it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from intercloud.units import Bytes


@dataclass(frozen=True)
class Image:
    """A base image. digest: 'sha256:<hex>' of the file's bytes, its name in every cloud; size: bytes of the file."""

    digest: str
    name: str
    size: Bytes
    format: str = "qcow2"


@dataclass(frozen=True)
class Nic:
    """One network card: the static internal endpoint that never changes during a move."""

    network: str
    mac: str
    ip: str


@dataclass(frozen=True)
class Disk:
    """One disk of `size` virtual bytes; with an image it is an overlay over that image, else it starts empty.

    held: bytes that it really held when its cloud was read, without the image; None where the cloud does not say.
    It is seen, not wanted: two disks that differ in this alone are equal.
    """

    name: str
    size: Bytes
    image: Image | None = None
    held: Bytes | None = field(default=None, compare=False)

    @property
    def blank(self) -> str:
        """The mark of its content when just made: its image's digest, or 'zeros'."""
        return self.image.digest if self.image else "zeros"


@dataclass(frozen=True)
class Server:
    """A virtual machine as it is wanted: what a cloud needs to make it. memory: bytes of guest RAM."""

    name: str
    vcpus: int
    memory: Bytes
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A layer 2 network. key: the tunnel key (VNI) it has between sites; mtu: of the guests' cards, in bytes."""

    name: str
    key: int
    cidr: str
    mtu: int


@dataclass(frozen=True)
class Cluster:
    """The servers that together serve one application.

    health: URL that answers 200 when the application works, reached through the static endpoints.
    """

    name: str
    networks: tuple[Network, ...]
    servers: tuple[Server, ...]
    health: str | None = None

    def subset(self, names: frozenset[str]) -> "Cluster":
        """The same cluster with only these servers."""
        return Cluster(self.name, self.networks, tuple(s for s in self.servers if s.name in names), self.health)

"""What a server is, wherever it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from intercloud.model.finding import Finding
from intercloud.units import Bytes


@dataclass(frozen=True)
class Image:
    """A base image. digest: 'ALGORITHM:<hex>' of the file's bytes, its name in every cloud; size: bytes of the file.

    The algorithm is the source's choice ('sha256', 'sha512'), one that hashlib knows.
    """

    digest: str
    name: str
    size: Bytes
    format: str = "qcow2"


@dataclass(frozen=True)
class Nic:
    """One network card: the static internal endpoint that never changes during a move.

    groups: names of its security groups. allowed: what else it may send from, each 'IP' or 'IP MAC'.
    guarded: whether its cloud lets it send from its own addresses only, and through its security groups.
    """

    network: str
    mac: str
    ip: str
    groups: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    guarded: bool = True


@dataclass(frozen=True)
class Volume:
    """What a cloud knows of a disk that outlives its server. kind: its type, as that cloud calls it."""

    name: str
    kind: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Disk:
    """One disk of `size` virtual bytes; with an image it is an overlay over that image, else it starts empty.

    held: bytes that it really held when its cloud was read, without the image; None where the cloud does not say.
    volume: what it is called where it is a volume. Both are seen, not wanted: two disks that differ in these alone are
    equal. The first disk of a server is the one that it boots from.
    """

    name: str
    size: Bytes
    image: Image | None = None
    held: Bytes | None = field(default=None, compare=False)
    volume: Volume | None = field(default=None, compare=False)

    @property
    def blank(self) -> str:
        """The mark of its content when just made: its image's digest, or 'zeros'."""
        return self.image.digest if self.image else "zeros"


@dataclass(frozen=True)
class Server:
    """A virtual machine as it is wanted: what a cloud needs to make it. memory: bytes of guest RAM.

    metadata: what its guest is told; 'user_data' among it is for its first boot. drive: told by a config drive, too.
    key: name of the key pair that its guest lets in. group: name of its server group.
    flavor: what its cloud calls its figures. hardware: what its cloud knows of the machine, by the names that OpenStack
    has for properties of images. layout: where the devices of its running machine are, by its cloud's own names.
    losses: what of it its cloud cannot give away. All four are seen, not wanted.
    """

    name: str
    vcpus: int
    memory: Bytes
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    drive: bool = True
    key: str | None = None
    group: str | None = None
    flavor: str | None = field(default=None, compare=False)
    losses: tuple[Finding, ...] = field(default=(), compare=False)
    hardware: Mapping[str, str] = field(default_factory=dict, compare=False)
    layout: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Network:
    """A layer 2 network. key: the tunnel key (VNI) it has between sites; mtu: of the guests' cards, in bytes.

    gateway: address of the way out, if there is one. dhcp: whether its cloud tells the servers their addresses.
    """

    name: str
    key: int
    cidr: str
    mtu: int
    gateway: str | None = None
    dhcp: bool = True


@dataclass(frozen=True)
class Rule:
    """What a security group lets through. direction: 'ingress' or 'egress'; ether_type: 'IPv4' or 'IPv6'.

    protocol, ports (first and last), remote (a CIDR), group (the name of another, or of the same): None means any.
    """

    direction: str
    ether_type: str
    protocol: str | None = None
    ports: tuple[int | None, int | None] = (None, None)
    remote: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class SecurityGroup:
    """A named set of rules; its order means nothing."""

    name: str
    rules: frozenset[Rule] = frozenset()


@dataclass(frozen=True)
class KeyPair:
    """A public key that guests let in. kind: 'ssh' or 'x509'."""

    name: str
    public: str
    kind: str = "ssh"


@dataclass(frozen=True)
class ServerGroup:
    """Servers that shall run together or apart. policy: as OpenStack names it, 'anti-affinity' for one."""

    name: str
    policy: str


@dataclass(frozen=True)
class Cluster:
    """The servers that together serve one application.

    health: URL that answers 200 when the application works, reached through the static endpoints.
    groups (security groups), keys, server_groups: those that its servers name, and the groups that these name.
    """

    name: str
    networks: tuple[Network, ...]
    servers: tuple[Server, ...]
    health: str | None = None
    groups: tuple[SecurityGroup, ...] = ()
    keys: tuple[KeyPair, ...] = ()
    server_groups: tuple[ServerGroup, ...] = ()

    def subset(self, names: frozenset[str]) -> "Cluster":
        """The same cluster with only these servers."""
        return replace(self, servers=tuple(server for server in self.servers if server.name in names))

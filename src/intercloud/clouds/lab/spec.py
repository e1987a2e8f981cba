"""What a lab shall be, and every name and path that follows from it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from intercloud.clouds.nbd import Stand
from intercloud.clouds.reach import End
from intercloud.clouds.run import inside
from intercloud.errors import ConfigError
from intercloud.model.site import Quota, Site
from intercloud.units import GIB, BitsPerSecond, Bytes, Seconds

BORDER = "br-ic"
"""The border bridge of each site; the control layer makes it."""
LAB_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
"""No hyphen, so that no two labs have a namespace of the same name."""
SITE_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path (sun_path, less its closing zero)."""


DEFAULT_RATE = BitsPerSecond(400e6)
DEFAULT_DELAY = Seconds(0.005)


@dataclass(frozen=True)
class WanSpec:
    """What the path between any two sites shall carry. delay: one way; loss: 0…1; mtu: bytes of an IP packet."""

    rate: BitsPerSecond = DEFAULT_RATE
    delay: Seconds = DEFAULT_DELAY
    loss: float = 0.0
    mtu: int = 1500


DEFAULT_QUOTA = Quota(vcpus=8, memory=Bytes(2 * GIB), disk=Bytes(8 * GIB), image_store=Bytes(1 * GIB))


@dataclass(frozen=True)
class SiteSpec:
    """One site. cloud: whether it has servers; else it only has clients. patience: seconds for a guest to shut down."""

    name: str
    cloud: bool = True
    quota: Quota = DEFAULT_QUOTA
    patience: float = 8.0


DEFAULT_SITES = (SiteSpec("lab-a"), SiteSpec("lab-b"), SiteSpec("office", cloud=False))


@dataclass(frozen=True)
class LabSpec:
    """A whole lab. root: where the state of all labs lives; cache: what is built once and shared by all labs."""

    name: str = "demo"
    root: Path = Path("/var/lib/intercloud/labs")
    cache: Path = Path("/var/cache/intercloud")
    sites: tuple[SiteSpec, ...] = DEFAULT_SITES
    wan: WanSpec = field(default_factory=WanSpec)

    def __post_init__(self) -> None:
        names = [site.name for site in self.sites]
        problems = [
            f"site {name!r}: expected a lower-case letter, then at most 14 letters, digits or hyphens"
            for name in names
            if not SITE_NAME.fullmatch(name)
        ]
        if not LAB_NAME.fullmatch(self.name):
            problems.append(f"name {self.name!r}: expected a lower-case letter, then at most 14 letters or digits")
        if len(set(names)) != len(names) or not 1 <= len(names) <= 32:
            problems.append("sites: expected 1 to 32 different names")
        longest = (
            max((len(str(place.path)) for place in self.places()), default=0) + len("/servers/") + 24 + len("/qmp.sock")
        )
        if longest > SOCKET_PATH_LIMIT:
            problems.append(f"root: {self.root} is {longest - SOCKET_PATH_LIMIT} bytes too long for unix sockets in it")
        if not (self.wan.rate > 0 and self.wan.delay >= 0 and 0 <= self.wan.loss < 1 and self.wan.mtu >= 576):
            problems.append("wan: expected rate > 0, delay >= 0, 0 <= loss < 1, mtu >= 576")
        if problems:
            raise ConfigError(f"lab {self.name}", problems)

    @property
    def path(self) -> Path:
        """Everything of this lab on disk, apart from the cache."""
        return self.root / self.name

    @property
    def wan_namespace(self) -> str:
        """The namespace that stands for the WAN."""
        return f"ic-{self.name}--wan"

    def places(self) -> "tuple[Place, ...]":
        """Every site's names and paths, in the order of the specification."""
        return tuple(Place(self, site, number) for number, site in enumerate(self.sites, start=1))

    def place(self, site: str) -> "Place":
        """One site's names and paths. Raises KeyError when there is no such site."""
        return {place.name: place for place in self.places()}[site]


@dataclass(frozen=True)
class Place:
    """Where one site is: its namespace, directories and addresses. number: from 1, in the order of the sites."""

    lab: LabSpec
    spec: SiteSpec
    number: int

    @property
    def name(self) -> str:
        """The site's name."""
        return self.spec.name

    @property
    def namespace(self) -> str:
        """The network namespace that is this site."""
        return f"ic-{self.lab.name}-{self.name}"

    @property
    def path(self) -> Path:
        """The site's state."""
        return self.lab.path / self.name

    @property
    def ovs(self) -> Path:
        """OVS_RUNDIR of the site: database, sockets, pid files, logs."""
        return self.path / "ovs"

    @property
    def address(self) -> str:
        """The site's WAN address for storage and migration traffic (the kernel's TCP)."""
        return f"10.255.0.{self.number}"

    @property
    def tunnel_address(self) -> str:
        """The site's WAN address for tunnels: on the internal port of the bridge that leads to the uplink."""
        return f"10.254.0.{self.number}"

    @property
    def stand(self) -> Stand:
        """Where the site's offers stand, and how a command is run there."""
        return Stand(self.name, self.path, self.address, inside(self.namespace, ()))

    @property
    def end(self) -> End:
        """The site as one end of a path."""
        return End(self.name, self.address, self.tunnel_address, self.stand.beside)

    def is_up(self) -> bool:
        """Whether the namespace is there; it does not outlive the computer's running."""
        return Path("/run/netns", self.namespace).exists()

    def site(self) -> Site:
        """The site as the control layer sees it."""
        peers: Mapping[str, tuple[str, str]] = {
            other.name: (self.tunnel_address, other.tunnel_address)
            for other in self.lab.places()
            if other.name != self.name
        }
        return Site(
            name=self.name,
            ovsdb=f"unix:{self.ovs}/db.sock",
            bridge=BORDER,
            datapath_id=short_hash(self.lab.name, self.name, length=16),
            underlay=peers,
            controller=f"unix:{self.ovs}/controller.sock",
        )


def mac_of(address: str) -> str:
    """The MAC address of the device with an address on the WAN: always the same.

    A site that is made anew would else be sought at its old one, as long as the others remember that (up to 40 s).
    """
    return f"02:00:{IPv4Address(address).packed.hex(':')}"


def short_hash(*words: str, length: int = 10) -> str:
    """Hexadecimal digits that are always the same for the same words: for names of limited length."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:length]

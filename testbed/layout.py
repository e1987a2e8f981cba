"""Names, addresses and folders of the testbed. Pure.

operator   a namespace from which the APIs of both are reached, with MariaDB and RabbitMQ; each cloud has its own part
openstack-a, openstack-b
           one computer each: own network, processes, mounts and host name; all services of one cloud run there
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from intercloud.clouds.lab.spec import LabSpec, Place, SiteSpec

ROOT = Path("/var/lib/intercloud/testbed")
VENV = Path(__file__).parents[1] / ".venv-openstack"
CLOUDS = ("openstack-a", "openstack-b")
OTHER_KIND = "lab-c"
"""A cloud of the lab, at the same WAN."""
LAB = LabSpec(
    "os",
    ROOT / "lab",
    sites=(*(SiteSpec(name, cloud=False) for name in (*CLOUDS, "office")), SiteSpec(OTHER_KIND)),
)
"""The WAN and the border bridges: the clouds meet nowhere else."""
CONTROL = LAB.path / "control"
"""The controller's state."""
VLAN = 101
"""Of the tenant's network, on each provider network."""
OPERATOR = f"ic-{LAB.name}--operator"
OPERATOR_ADDRESS = "10.77.0.1"
PASSWORD = "secret"
"""Of every user, in clouds that only this computer can reach."""
PORTS = {"keystone": 5000, "placement": 8778, "glance": 9292, "neutron": 9696, "nova": 8774, "cinder": 8776}
PROVIDER = "physnet1"
"""The provider network, which ends at the cloud's border bridge."""
VOLUME_TYPE = "standard"
"""Of volumes for which nothing else is said."""


@dataclass(frozen=True)
class Hub:
    """What both clouds share: the servers of their databases and queues."""

    path: Path = ROOT / "hub"

    @property
    def mysql(self) -> Path:
        """The socket of MariaDB: a file, so that it is reached from every network namespace."""
        return self.path / "mysql.sock"


HUB = Hub()


@dataclass(frozen=True)
class Host:
    """The computer of one cloud. number: from 1."""

    name: str
    number: int

    @cached_property
    def place(self) -> Place:
        """The site that it stands at: its WAN and its border bridge."""
        return LAB.place(self.name)

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"{self.place.namespace}--host"

    @property
    def address(self) -> str:
        """Where its APIs listen."""
        return f"10.77.0.{10 + self.number}"

    @property
    def wan_address(self) -> str:
        """Where its hypervisor is reached over the WAN."""
        return f"10.255.0.{100 + self.number}"

    @property
    def region(self) -> str:
        """The region in its catalog."""
        return self.name

    @property
    def database(self) -> str:
        """What the names of its databases and its virtual host of RabbitMQ begin with."""
        return self.name.replace("-", "_")

    @property
    def path(self) -> Path:
        """All that it keeps on disk."""
        return ROOT / self.name

    @property
    def etc(self) -> Path:
        """Its services' configuration."""
        return self.path / "etc"

    @property
    def log(self) -> Path:
        """What its services say."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """Pid files, locks and temporary files, which do not outlive it."""
        return self.path / "run"


HOSTS = tuple(Host(name, number) for number, name in enumerate(CLOUDS, start=1))

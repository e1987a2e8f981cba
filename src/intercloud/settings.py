"""One frozen Settings, read from config.json and checked as a whole: every mistake at once, each with its path."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from intercloud.clouds.ability import Ability
from intercloud.errors import ConfigError
from intercloud.model.site import Tunnel

DEFAULT_FILE = Path("config.json")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,14}$", description="a-z, 0-9, '-', at most 15 characters")]


class Part(BaseModel):
    """Base of every part of the configuration: frozen, and an unknown name is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretFrom(Part):
    """A secret by reference: the name of an environment variable, or of a file. Never the secret itself."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one(self) -> "SecretFrom":
        if (self.env is None) == (self.file is None):
            raise ValueError("give either 'env' (name of an environment variable) or 'file' (path)")
        return self

    def read(self) -> str:
        """Return the secret. Raises ConfigError when it is not there; the message never holds it."""
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigError("credentials", [f"environment variable {self.env} is not set"])
            return os.environ[self.env]
        assert self.file is not None
        try:
            return self.file.read_text().strip()
        except OSError as error:
            raise ConfigError("credentials", [f"{self.file} cannot be read: {error.strerror}"]) from error


class LabCloud(Part):
    """A cloud of the lab. site: its name in the lab, by default the cloud's own.

    abilities: what it shall offer at most, by default all that it can; without 'hypervisor' it is as a tenant sees it.
    """

    type: Literal["lab"]
    site: Name | None = None
    abilities: frozenset[Ability] = frozenset(Ability)


class Border(Part):
    """The border of a real cloud: the switch where the ends of its provider networks are, which the control layer owns.

    As `model.site.Site` has it; fabrics: network → device. address: of a computer there on the WAN, on which `beside`,
    words before a command ('ssh border-a'), runs programs: between two borders the path is measured.
    """

    ovsdb: str
    bridge: str = "border"
    datapath_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="16 digits 0-9, a-f")]
    controller: str
    datapath_type: Literal["netdev", "system"] = "system"
    underlay: dict[Name, tuple[str, str]]
    fabrics: dict[str, str]
    address: str
    beside: tuple[str, ...] = ()


class Selection(Part):
    """Which servers make a cluster: those that have all of this. health: URL that answers 200 when it works."""

    tag: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    names: tuple[str, ...] = ()
    health: str | None = None


class Hypervisors(Part):
    """How an OpenStack cloud's hosts are reached; {host} stands for Nova's name of one.

    libvirt: URI ('qemu+tls://{host}/system'). address: of the host on the WAN, for memories and disks; local: where
    this program reads its disks. beside: words before a command that shall run at the host ('ssh {host}'), where this
    project is installed as here: with them, what a gang sends is compressed. The URI may stand alone.
    """

    libvirt: str
    address: str = "{host}"
    local: str = "{host}"
    beside: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def alone(cls, given: object) -> object:
        """Take the URI alone."""
        return {"libvirt": given} if isinstance(given, str) else given


class OpenStackCloud(Part):
    """An OpenStack cloud: an entry of clouds.yaml, or an address with credentials by reference.

    operator: an entry of clouds.yaml with an operator's rights, for what a tenant may not: to read user data, to make
    flavors, to see where a server runs. hypervisors: with them servers move live. border: where its networks meet the
    other clouds'. clusters: name → servers, besides those that carry its name as metadatum 'intercloud:cluster'.
    """

    type: Literal["openstack"]
    border: Border
    hypervisors: Hypervisors | None = None
    clusters: dict[str, Selection] = Field(default_factory=dict)
    cloud: str | None = None
    operator: str | None = None
    auth_url: str | None = None
    region_name: str | None = None
    cacert: Path | None = None
    application_credential_id: str | None = None
    application_credential_secret: SecretFrom | None = None

    @model_validator(mode="after")
    def _complete(self) -> "OpenStackCloud":
        direct = (self.auth_url, self.application_credential_id, self.application_credential_secret)
        if self.cloud is None and None in direct:
            raise ValueError(
                "give 'cloud' (an entry of clouds.yaml), or 'auth_url', 'application_credential_id' and "
                "'application_credential_secret'"
            )
        if self.hypervisors and not self.operator:
            raise ValueError("'hypervisors' needs 'operator': only an operator is told where a server runs")
        return self


CloudSettings = Annotated[LabCloud | OpenStackCloud, Field(discriminator="type")]


class LabSite(Part):
    """What one site of the lab allows. An office has no servers, only clients."""

    kind: Literal["cloud", "office"] = "cloud"
    vcpus: int = Field(8, ge=0)
    memory_mib: int = Field(2048, ge=0)
    disk_mib: int = Field(8192, ge=0)
    image_store_mib: int = Field(1024, ge=0)


class Wan(Part):
    """The emulated WAN between each two sites of the lab; the delay is one way."""

    rate_mbit: float = Field(400, gt=0)
    delay_ms: float = Field(5, ge=0, le=1000)
    loss_percent: float = Field(0, ge=0, lt=100)
    mtu: int = Field(1500, ge=576, le=9000)


def _default_sites() -> dict[str, LabSite]:
    return {"lab-a": LabSite(), "lab-b": LabSite(), "office": LabSite(kind="office")}


class Lab(Part):
    """The lab on this computer."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")] = "demo"
    root: Path = Path("/var/lib/intercloud/labs")
    cache: Path = Path("/var/cache/intercloud")
    wan: Wan = Wan()
    sites: dict[Name, LabSite] = Field(default_factory=_default_sites, min_length=2)


class Sdn(Part):
    """The control layer. control: socket of the controller; by default the lab's.

    listen: where the controller that `network up` starts waits for switches ('tcp:host:port' or 'unix:/path').
    """

    tunnel: Tunnel = Tunnel.VXLAN
    control: Path | None = None
    listen: str = "tcp:0.0.0.0:6653"


class MigrationSettings(Part):
    """How servers move. database: URL of the runs' record; by default a file in `state`, or INTERCLOUD_DATABASE_URL.

    guard: let a small process wait beside each migration, and go on with it if its program dies. compress: memory
    and disks of a live move, where that is faster. keep_seeds: let the source keep the disks of a move whose digests
    were verified, so that only what has changed travels back.
    patience_s: how long a cloud that does not answer is asked again before the operator is.
    """

    state: Path = Path("/var/lib/intercloud/runs")
    database: str | None = None
    guard: bool = True
    max_blackout_ms: float = Field(1000, gt=0)
    allow_postcopy: bool = True
    verify_digests: bool = True
    compress: bool = True
    keep_seeds: bool = True
    patience_s: float = Field(60, gt=0)


class ProbeSettings(Part):
    """Who watches the application during a move. vantage: the lab site whose client asks.

    udp_per_second: to all servers together. Without KVM a thousand take three quarters of two processors.
    """

    enabled: bool = True
    vantage: Name = "office"
    udp_per_second: int = Field(300, ge=10, le=10000)
    http_interval_ms: float = Field(100, ge=5)


def _default_clouds() -> dict[str, CloudSettings]:
    return {"lab-a": LabCloud(type="lab"), "lab-b": LabCloud(type="lab")}


class Settings(Part):
    """Everything that can be configured; without a file, the lab's defaults."""

    clouds: dict[Name, CloudSettings] = Field(default_factory=_default_clouds)
    lab: Lab = Lab()
    sdn: Sdn = Sdn()
    migration: MigrationSettings = MigrationSettings()
    probe: ProbeSettings = ProbeSettings()

    @property
    def database(self) -> str:
        """URL of the runs' record."""
        default = f"sqlite:///{self.migration.state.absolute() / 'runs.sqlite'}"
        return self.migration.database or os.environ.get("INTERCLOUD_DATABASE_URL") or default

    @model_validator(mode="after")
    def _sites_exist(self) -> "Settings":
        for name, cloud in self.clouds.items():
            if isinstance(cloud, LabCloud) and (cloud.site or name) not in self.lab.sites:
                raise ValueError(
                    f"clouds.{name}: the lab has no site '{cloud.site or name}' (it has {', '.join(self.lab.sites)})"
                )
        return self


def load(path: Path | None) -> Settings:
    """Read a configuration file. Without a path: config.json here if there is one, else the lab's defaults.

    Raises ConfigError with every mistake.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return Settings()
        path = DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), ["expected UTF-8 text"]) from error
    try:
        return Settings.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ConfigError(str(path), [f"line {error.lineno} column {error.colno}: not JSON: {error.msg}"]) from error
    except ValidationError as error:
        raise ConfigError(str(path), problems(error)) from error


def problems(error: ValidationError) -> list[str]:
    """One line for each mistake: its path in the file, what was expected, what was found."""
    lines = []
    for mistake in error.errors(include_url=False):
        kinds = ("lab", "openstack")  # pydantic names the branch of a union, the file has no such level
        places = [str(place) for n, place in enumerate(mistake["loc"]) if not (n == 2 and place in kinds)]
        where = ".".join(places)
        message = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "union_tag_invalid":
            message = f"expected {' or '.join(repr(kind) for kind in kinds)} as 'type', found {mistake['ctx']['tag']!r}"
        message = message.replace("Input should be", "expected").replace("Field required", "expected, but missing")
        message = message.replace("Extra inputs are not permitted", "unknown name; expected one of the documented ones")
        found = mistake.get("input")
        secret = "secret" in where  # somebody may have put it here in plain
        shown = f", found {json.dumps(found)}" if isinstance(found, str | int | float) and not secret else ""
        lines.append(f"{where}: {message}{shown}" if where else message)
    return lines

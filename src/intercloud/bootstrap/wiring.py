"""From settings to what they name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec, SiteSpec, WanSpec
from intercloud.clouds.port import Cloud
from intercloud.clouds.reach import End
from intercloud.control.process import SOCKET_FILE
from intercloud.errors import ConfigError, NotFound
from intercloud.model.site import Quota, Site
from intercloud.service import Service
from intercloud.settings import Hypervisors, LabSite, Settings
from intercloud.settings import OpenStackCloud as OpenStackSettings
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

if TYPE_CHECKING:
    from intercloud.clouds.openstack.hypervisor import Guest

CLIENT = "client"
"""Name of the lab's client, from which the application is watched."""


def lab_spec(settings: Settings) -> LabSpec:
    """Say what the lab shall be."""
    lab, wan = settings.lab, settings.lab.wan
    return LabSpec(
        lab.name,
        lab.root,
        lab.cache,
        tuple(SiteSpec(name, site.kind == "cloud", _quota(site)) for name, site in lab.sites.items()),
        WanSpec(BitsPerSecond(wan.rate_mbit * 1e6), Seconds(wan.delay_ms / 1e3), wan.loss_percent / 100, wan.mtu),
    )


def _quota(site: LabSite) -> Quota:
    return Quota(
        site.vcpus, Bytes(site.memory_mib * MIB), Bytes(site.disk_mib * MIB), Bytes(site.image_store_mib * MIB)
    )


def control_folder(settings: Settings) -> Path:
    """Find the state of the lab's controller."""
    return lab_spec(settings).path / "control"


def control_socket(settings: Settings) -> Path:
    """Find where the controller answers: as the configuration says, else the lab's."""
    return settings.sdn.control or control_folder(settings) / SOCKET_FILE


def open_cloud(settings: Settings, name: str) -> Cloud:
    """Open the adapter of one cloud. Raises NotFound, naming the clouds there are."""
    if name not in settings.clouds:
        raise NotFound(f"no cloud is called {name!r}; the configuration has: {', '.join(settings.clouds)}")
    cloud = settings.clouds[name]
    if isinstance(cloud, OpenStackSettings):
        return _openstack(settings, name, cloud)
    return LabCloud(lab_spec(settings).place(cloud.site or name), cloud.abilities)


def _openstack(settings: Settings, name: str, cloud: OpenStackSettings) -> Cloud:
    # openstacksdk takes most of a second to import: only who names such a cloud waits for it
    from intercloud.clouds.openstack.door import Door, options
    from intercloud.clouds.openstack.provider import OpenStackCloud
    from intercloud.clouds.openstack.selection import Selection

    credential = None
    if cloud.application_credential_id and cloud.application_credential_secret:
        credential = (cloud.application_credential_id, cloud.application_credential_secret.read())
    access = options(cloud.cloud, cloud.auth_url, cloud.region_name, cloud.cacert, credential)
    return OpenStackCloud(
        name,
        Door(name, access),
        Site(name=name, **cloud.border.model_dump(exclude={"address", "beside"})),
        {each: _end(settings, each) for each in settings.clouds},
        settings.migration.state / "contents",
        settings.lab.cache,
        {each: Selection(**wanted.model_dump()) for each, wanted in cloud.clusters.items()},
        Door(name, options(cloud.operator, None, cloud.region_name, cloud.cacert, None)) if cloud.operator else None,
        _hosts(name, cloud.hypervisors) if cloud.hypervisors else None,
    )


def _hosts(cloud: str, where: Hypervisors) -> Callable[[str, str, str, str], "Guest"]:
    try:
        from intercloud.clouds.openstack.hypervisor import Guest, Host
    except ImportError as error:
        missing = "libvirt-python is not installed, which 'hypervisors' needs; run: pip install libvirt-python"
        raise ConfigError(f"cloud {cloud}", [missing]) from error

    def find(host: str, number: str, name: str, root: str) -> Guest:
        def fill(word: str) -> str:
            return word.replace("{host}", host)

        beside = None if where.beside is None else tuple(map(fill, where.beside))
        return Guest(Host(fill(where.libvirt), fill(where.address), fill(where.local), beside), number, name, root)

    return find


def _end(settings: Settings, name: str) -> End:
    cloud = settings.clouds[name]
    if not isinstance(cloud, OpenStackSettings):
        return lab_spec(settings).place(cloud.site or name).end
    border = cloud.border
    tunnel_address = next((local for local, _ in border.underlay.values()), border.address)
    return End(name, border.address, tunnel_address, border.beside)


def vantage_prefix(settings: Settings) -> tuple[str, ...] | None:
    """Return the command that gets to the application's clients; None when the lab has no such site."""
    if settings.probe.vantage not in settings.lab.sites:
        return None
    namespace = f"{lab_spec(settings).place(settings.probe.vantage).namespace}--{CLIENT}"
    return ("ip", "netns", "exec", namespace)


def service(settings: Settings) -> Service:
    """Wire everything together."""
    return Service(
        settings, lambda name: open_cloud(settings, name), control_socket(settings), vantage_prefix(settings)
    )

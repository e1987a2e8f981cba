"""From settings to what they name."""

from pathlib import Path

from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec, SiteSpec, WanSpec
from intercloud.clouds.port import Cloud
from intercloud.control.process import SOCKET_FILE
from intercloud.errors import NotFound, Refused
from intercloud.model.site import Quota
from intercloud.service import Service
from intercloud.settings import LabCloud as LabCloudSettings
from intercloud.settings import LabSite, Settings
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

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


def open_cloud(settings: Settings, name: str) -> Cloud:
    """Open the adapter of one cloud. Raises NotFound, naming the clouds there are."""
    if name not in settings.clouds:
        raise NotFound(f"no cloud is called {name!r}; the configuration has: {', '.join(settings.clouds)}")
    cloud = settings.clouds[name]
    if not isinstance(cloud, LabCloudSettings):
        raise Refused([f"cloud {name}: this version moves servers between lab clouds only, not {cloud.type}"])
    return LabCloud(lab_spec(settings).place(cloud.site or name), cloud.abilities)


def vantage_prefix(settings: Settings) -> tuple[str, ...] | None:
    """Return the command that gets to the application's clients; None when the lab has no such site."""
    if settings.probe.vantage not in settings.lab.sites:
        return None
    namespace = f"{lab_spec(settings).place(settings.probe.vantage).namespace}--{CLIENT}"
    return ("ip", "netns", "exec", namespace)


def service(settings: Settings) -> Service:
    """Wire everything together."""
    control = settings.sdn.control or control_folder(settings) / SOCKET_FILE
    return Service(settings, lambda name: open_cloud(settings, name), control, vantage_prefix(settings))

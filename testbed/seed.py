"""What an operator sets up in a new cloud, through its APIs: users, catalog, flavors, images, networks. Safe to repeat.

Runs where the APIs are reached: `python -m testbed.seed NAME identity|wait|resources`.
"""

import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import openstack
from openstack.connection import Connection
from openstack.exceptions import SDKException

from intercloud.clouds.lab import demo
from testbed.files import USERS
from testbed.layout import HOSTS, PASSWORD, PORTS, PROVIDER, VLAN, VOLUME_TYPE, Host

CATALOG = {
    "image": ("glance", ""),
    "placement": ("placement", ""),
    "compute": ("nova", "/v2.1"),
    "network": ("neutron", ""),
    "block-storage": ("cinder", "/v3"),
}
"""Type of service → its name, and the path of its URL."""
PROJECT = "shop"
"""The tenant's, whose user may nothing that an operator may."""
FLAVOR, BIGGER = "small", "bigger"
LONGEST_START = 240.0
NOVA = ("nova-compute", "nova-scheduler", "nova-conductor")
NEUTRON = ("neutron-openvswitch-agent", "neutron-dhcp-agent")
CINDER = ("cinder-scheduler", "cinder-volume")


def connect(host: Host, project: str = "admin", user: str = "admin") -> Connection:
    """Open a cloud's APIs."""
    return openstack.connect(
        auth_url=f"http://{host.address}:5000/v3",
        username=user,
        password=PASSWORD,
        project_name=project,
        user_domain_name="Default",
        project_domain_name="Default",
        region_name=host.region,
    )


def named(things: Iterable[Any], name: str) -> Any:
    """Find what has this name; None when nothing has."""
    return next((thing for thing in things if thing.name == name), None)


def identity(cloud: Connection, host: Host) -> None:
    """Make the services' users and the catalog, a tenant and its user."""
    keystone: Any = cloud.identity
    service = named(keystone.projects(), "service") or keystone.create_project(name="service", domain_id="default")
    roles = {role.name: role for role in keystone.roles()}
    roles |= {name: keystone.create_role(name=name) for name in ("admin", "service", "member") if name not in roles}
    users = {user.name for user in keystone.users()}
    for name in USERS:
        if name not in users:
            user = keystone.create_user(name=name, password=PASSWORD, domain_id="default")
            for role in ("admin", "service"):
                keystone.assign_project_role_to_user(service, user, roles[role])
    known = {each.type for each in keystone.services()}
    for kind, (name, path) in CATALOG.items():
        if kind not in known:
            made = keystone.create_service(type=kind, name=name)
            url = f"http://{host.address}:{PORTS[name]}{path}"
            for interface in ("public", "internal"):
                keystone.create_endpoint(service_id=made.id, interface=interface, url=url, region_id=host.region)
    if named(keystone.projects(), PROJECT) is None:
        tenant = keystone.create_project(name=PROJECT, domain_id="default")
        user = keystone.create_user(name=PROJECT, password=PASSWORD, domain_id="default", default_project_id=tenant.id)
        keystone.assign_project_role_to_user(tenant, user, roles["member"])


def ready(cloud: Connection, since: datetime) -> str:
    """Say what is missing, one API after the other: of services and agents, those count that have spoken since."""

    def missing(needed: Iterable[str], found: Iterable[tuple[str, bool, str | None]]) -> str:
        up = {name for name, alive, spoke in found if alive and spoke is not None and _moment(spoke) >= since}
        return ", ".join(name for name in needed if name not in up)

    compute: Any = cloud.compute
    network: Any = cloud.network
    storage: Any = cloud.block_storage
    return (
        missing(NOVA, ((each.binary, each.state == "up", each.updated_at) for each in compute.services()))
        or ("" if list(compute.hypervisors()) else "the hypervisor")
        or missing(NEUTRON, ((each.binary, each.is_alive, each.last_heartbeat_at) for each in network.agents()))
        or missing(CINDER, ((each.binary, each.state == "up", each.updated_at) for each in storage.services()))
        or ("" if list(storage.backend_pools()) else "room for volumes")
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def wait(cloud: Connection, host: Host) -> None:
    """Wait until a cloud can start servers. Raises SystemExit with what is missing after some minutes."""
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=30)
    deadline = time.monotonic() + LONGEST_START
    missing = "its APIs"
    while missing:
        try:
            missing = ready(cloud, since)
        except SDKException as error:
            missing = f"its APIs ({str(error)[:120]})"
        if missing and time.monotonic() > deadline:
            raise SystemExit(f"{host.name}: {missing} did not come up within {LONGEST_START:.0f} s; see {host.log}")
        time.sleep(0.5)


def resources(cloud: Connection, _: Host) -> None:
    """Make what the tenant uses: a flavor, a type of volume, and its network on the provider's.

    The network is the tenant's own, for only who owns a network may choose MAC and IP addresses in it.
    """
    compute: Any = cloud.compute
    for name, ram in ((FLAVOR, 128), (BIGGER, 192)):
        if named(compute.flavors(), name) is None:
            compute.create_flavor(name=name, ram=ram, vcpus=1, disk=1)
    storage: Any = cloud.block_storage
    if named(storage.types(), VOLUME_TYPE) is None:
        storage.create_type(name=VOLUME_TYPE)
    network: Any = cloud.network
    keystone: Any = cloud.identity
    if named(network.networks(), PROJECT) is None:
        owner = named(keystone.projects(), PROJECT).id
        segment = {"provider_physical_network": PROVIDER, "provider_segmentation_id": VLAN}
        network.create_network(
            name=PROJECT, project_id=owner, provider_network_type="vlan", mtu=demo.NETWORK.mtu, **segment
        )


STEPS: dict[str, Callable[[Connection, Host], None]] = {"identity": identity, "wait": wait, "resources": resources}


def main() -> None:
    """Take the steps that are named."""
    host = next(host for host in HOSTS if host.name == sys.argv[1])
    cloud = connect(host)
    for name in sys.argv[2:]:
        STEPS[name](cloud, host)


if __name__ == "__main__":
    main()

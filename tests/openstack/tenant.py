"""What a tenant of one of the clouds does in the tests; all of it goes with the test."""

import base64
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openstack.connection import Connection
from openstack.exceptions import NotFoundException
from testbed.layout import LAB, Host
from testbed.seed import BIGGER, FLAVOR, PROJECT, connect, named

from intercloud.clouds.lab import demo
from intercloud.clouds.lab.demo import NETWORK
from intercloud.clouds.lab.guest.build import build_image
from intercloud.model.server import Image, Server
from intercloud.units import Bytes

TIERS = demo.cluster(Image("", "guest", Bytes(0))).servers
DB = next(server for server in TIERS if server.name == "db")


class Tenant:
    """A tenant of one cloud."""

    def __init__(self, test: unittest.TestCase, host: Host) -> None:
        self.test = test
        self.host = host
        self.cloud: Connection = connect(host, PROJECT, PROJECT)
        test.addCleanup(self.cloud.close)
        self.compute: Any = self.cloud.compute
        self.network: Any = self.cloud.network
        self.storage: Any = self.cloud.block_storage

    def boot(self, *roles: str, volumes: bool = False, gateway: str | None = None) -> list[Any]:
        """Boot tiers of the demo at their addresses, of the tenant's choice here; anybody may talk to them.

        volumes: from volumes, which Nova makes and deletes with them. gateway: of the network's.
        """
        shop = named(self.network.networks(), PROJECT)
        subnet = self.network.create_subnet(
            network_id=shop.id,
            ip_version=4,
            cidr=NETWORK.cidr,
            gateway_ip=gateway,
            allocation_pools=[{"start": "10.50.0.200", "end": "10.50.0.250"}],
        )
        self.test.addCleanup(self.network.delete_subnet, subnet)
        group = self.network.create_security_group(name="open")
        self.test.addCleanup(self.network.delete_security_group, group)
        self.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ether_type="IPv4")
        image = self.guest()
        content: dict[str, Any] = {"image_id": image.id}
        if volumes:
            volume = {"boot_index": 0, "uuid": image.id, "source_type": "image", "destination_type": "volume"}
            content = {"block_device_mapping": [{**volume, "volume_size": 1, "delete_on_termination": True}]}
        told = f"GATEWAY={gateway}\n" if gateway else ""
        return [self.boot_one(server, content, shop, group, told) for server in TIERS if server.name in roles]

    def boot_one(self, server: Server, content: dict[str, Any], shop: Any, group: Any, told: str) -> Any:
        """Boot one of them. told: it by its user data, besides what it is told always."""
        (nic,) = server.nics
        port = self.network.create_port(
            network_id=shop.id, mac_address=nic.mac, fixed_ips=[{"ip_address": nic.ip}], security_group_ids=[group.id]
        )
        self.test.addCleanup(self.network.delete_port, port)
        made = self.compute.create_server(
            name=server.name,
            flavor_id=named(self.compute.flavors(), FLAVOR).id,
            networks=[{"port": port.id}],
            user_data=base64.b64encode((server.metadata["user_data"] + told).encode()).decode(),
            config_drive=True,
            **content,
        )
        self.test.addCleanup(self.compute.wait_for_delete, made, interval=1, wait=60)
        self.test.addCleanup(self.compute.delete_server, made)
        return made

    def guest(self) -> Any:
        """Upload the guest's image."""
        image: Any = self.cloud.image
        with build_image(LAB.cache).open("rb") as content:
            made = image.create_image(name="guest", data=content, disk_format="qcow2", container_format="bare")
        self.test.addCleanup(image.delete_image, made)
        return made

    def attach_volume(self, server: Any, content: Path) -> Any:
        """Attach a volume that begins with this to a running server."""
        image: Any = self.cloud.image
        with content.open("rb") as file:
            made = image.create_image(name="content", data=file, disk_format="raw", container_format="bare")
        self.test.addCleanup(image.delete_image, made)
        volume = self.storage.create_volume(name="orders", size=1, image_id=made.id, metadata={"kept": "daily"})
        self.storage.wait_for_status(volume, interval=0.5, wait=60)
        self.compute.create_volume_attachment(server, volume_id=volume.id)
        return self.storage.wait_for_status(volume, "in-use", interval=0.5, wait=60)

    def wait_up(self, server: Any) -> None:
        """Wait until a server's application runs."""
        self.compute.wait_for_server(server, interval=1, wait=120)
        self.until(lambda: self.boot_id(server) is not None, f"{server.name} tells of its application")

    def boot_id(self, server: Any) -> str | None:
        """What a server's console tells of its latest boot."""
        try:
            said = self.compute.get_server_console_output(server)["output"]
        except NotFoundException:  # it is being started
            return None
        _, found, rest = said.rpartition(f"GUEST-UP name={server.name} ")
        return rest.partition("boot_id=")[2].split()[0] if found and "boot_id=" in rest else None

    def goes_on(self, server: Any) -> None:
        """Do with a server all that Nova lets its user do, one after the other; each must have its effect."""
        compute, test = self.compute, self.test

        def reaches(status: str) -> None:
            compute.wait_for_server(server, status, interval=0.5, wait=120)

        compute.pause_server(server)
        reaches("PAUSED")
        compute.unpause_server(server)
        reaches("ACTIVE")
        snapshot = compute.create_server_image(server, f"{server.name}-snapshot", wait=True, timeout=120)
        self.cloud.image.delete_image(snapshot)
        (port,) = self.network.ports(device_id=server.id)
        group = self.network.create_security_group(name="more")
        compute.add_security_group_to_server(server, group)
        test.assertIn(group.id, self.network.get_port(port.id).security_group_ids)
        compute.remove_security_group_from_server(server, group)
        test.assertNotIn(group.id, self.network.get_port(port.id).security_group_ids)
        more = self.network.create_port(network_id=port.network_id)
        compute.create_server_interface(server, port_id=more.id)
        test.assertEqual(len(list(compute.server_interfaces(server))), 2)
        compute.delete_server_interface(more.id, server)
        self.until(lambda: len(list(compute.server_interfaces(server))) == 1, "a card that was taken away")
        booted: set[str | None] = {self.boot_id(server), None}

        def boots(what: str) -> None:
            self.until(lambda: self.boot_id(server) not in booted, what)
            booted.add(self.boot_id(server))

        compute.reboot_server(server, "SOFT")
        reaches("ACTIVE")
        boots("soft reboot")
        compute.reboot_server(server, "HARD")
        reaches("ACTIVE")
        boots("hard reboot")
        compute.stop_server(server)
        reaches("SHUTOFF")
        compute.start_server(server)
        reaches("ACTIVE")
        boots("start")
        compute.resize_server(server, named(compute.flavors(), BIGGER).id)
        reaches("VERIFY_RESIZE")
        compute.confirm_server_resize(server)
        reaches("ACTIVE")
        boots("resize")

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        deadline = time.monotonic() + 60
        while not true():
            self.test.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.5)

    def sweep(self) -> None:
        """Delete what moves have brought, whatever became of them."""
        sweep(self.cloud)


def sweep(cloud: Connection) -> None:
    """Delete everything that a project holds but its networks and what came with it."""
    compute: Any = cloud.compute
    network: Any = cloud.network
    storage: Any = cloud.block_storage
    images: Any = cloud.image
    for server in compute.servers():
        compute.unlock_server(server)
        compute.delete_server(server)
        compute.wait_for_delete(server, interval=1, wait=60)
    for port in network.ports():
        if not (port.device_owner or "").startswith("network:"):
            network.delete_port(port)
    for subnet in network.subnets():
        network.delete_subnet(subnet)
    for group in network.security_groups():
        if group.name != "default":
            network.delete_security_group(group)
    for snapshot in storage.snapshots():
        storage.delete_snapshot(snapshot)
        storage.wait_for_delete(snapshot, interval=0.5, wait=60)
    for volume in storage.volumes():
        storage.wait_for_status(volume, interval=0.5, wait=60)
        storage.delete_volume(volume)
        storage.wait_for_delete(volume, interval=0.5, wait=60)
    for group in compute.server_groups():
        compute.delete_server_group(group)
    for key in compute.keypairs():
        compute.delete_keypair(key)
    for image in images.images(owner=cloud.current_project_id):
        images.delete_image(image)

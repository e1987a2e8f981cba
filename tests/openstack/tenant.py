"""What a tenant of one of the clouds does in the tests; all of it goes with the test."""

import base64
import time
import unittest
from typing import Any

from openstack.connection import Connection
from testbed.layout import LAB, Host
from testbed.seed import FLAVOR, PROJECT, connect, named

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
        self.cloud: Connection = connect(host, PROJECT, PROJECT)
        test.addCleanup(self.cloud.close)
        self.compute: Any = self.cloud.compute
        self.network: Any = self.cloud.network

    def boot(self, *roles: str) -> list[Any]:
        """Boot tiers of the demo at their addresses, of the tenant's choice here; anybody may talk to them."""
        shop = named(self.network.networks(), PROJECT)
        subnet = self.network.create_subnet(
            network_id=shop.id,
            ip_version=4,
            cidr=NETWORK.cidr,
            gateway_ip=None,
            allocation_pools=[{"start": "10.50.0.200", "end": "10.50.0.250"}],
        )
        self.test.addCleanup(self.network.delete_subnet, subnet)
        group = self.network.create_security_group(name="open")
        self.test.addCleanup(self.network.delete_security_group, group)
        self.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ether_type="IPv4")
        image = self.guest()
        return [self.boot_one(server, image, shop, group) for server in TIERS if server.name in roles]

    def boot_one(self, server: Server, image: Any, shop: Any, group: Any) -> Any:
        """Boot one of them."""
        (nic,) = server.nics
        port = self.network.create_port(
            network_id=shop.id, mac_address=nic.mac, fixed_ips=[{"ip_address": nic.ip}], security_group_ids=[group.id]
        )
        self.test.addCleanup(self.network.delete_port, port)
        made = self.compute.create_server(
            name=server.name,
            image_id=image.id,
            flavor_id=named(self.compute.flavors(), FLAVOR).id,
            networks=[{"port": port.id}],
            user_data=base64.b64encode(server.metadata["user_data"].encode()).decode(),
            config_drive=True,
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

    def wait_up(self, server: Any) -> str:
        """Wait until a server's application runs; returns the boot id that its console tells."""
        self.compute.wait_for_server(server, interval=1, wait=120)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            _, found, said = self.compute.get_server_console_output(server)["output"].rpartition(
                f"GUEST-UP name={server.name} "
            )
            if found and "boot_id=" in said:
                return str(said.partition("boot_id=")[2].split()[0])
            time.sleep(1)
        raise AssertionError(f"{server.name} says nothing of its application within 60 s")

    def sweep(self) -> None:
        """Delete what moves have brought, whatever became of them."""
        for server in self.compute.servers():
            self.compute.delete_server(server)
            self.compute.wait_for_delete(server, interval=1, wait=60)
        for port in self.network.ports():
            if not (port.device_owner or "").startswith("network:"):
                self.network.delete_port(port)
        for subnet in self.network.subnets():
            self.network.delete_subnet(subnet)
        for group in self.network.security_groups():
            if group.name != "default":
                self.network.delete_security_group(group)
        images: Any = self.cloud.image
        for image in images.images(owner=self.cloud.current_project_id):
            images.delete_image(image)

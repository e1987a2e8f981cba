"""What a tenant of one of the clouds does in the tests; all of it goes with the test."""

import base64
import time
import unittest
from typing import Any

from openstack.connection import Connection
from testbed.layout import LAB, Host
from testbed.seed import FLAVOR, PROJECT, connect, named

from intercloud.clouds.lab.demo import NETWORK, TIERS
from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import user_data

MAC, ADDRESS = "52:54:00:50:00:0d", TIERS["db"]


class Tenant:
    """A tenant of one cloud."""

    def __init__(self, test: unittest.TestCase, host: Host) -> None:
        self.test = test
        self.cloud: Connection = connect(host, PROJECT, PROJECT)
        test.addCleanup(self.cloud.close)
        self.compute: Any = self.cloud.compute
        self.network: Any = self.cloud.network

    def boot(self) -> Any:
        """Boot the demo's database at an address of the tenant's choice, which anybody may talk to."""
        shop = named(self.network.networks(), PROJECT)
        subnet = self.network.create_subnet(network_id=shop.id, ip_version=4, cidr=NETWORK.cidr, gateway_ip=None)
        self.test.addCleanup(self.network.delete_subnet, subnet)
        group = self.network.create_security_group(name="open")
        self.test.addCleanup(self.network.delete_security_group, group)
        self.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ether_type="IPv4")
        fixed = [{"ip_address": ADDRESS, "subnet_id": subnet.id}]
        port = self.network.create_port(
            network_id=shop.id, mac_address=MAC, fixed_ips=fixed, security_group_ids=[group.id]
        )
        self.test.addCleanup(self.network.delete_port, port)
        server = self.compute.create_server(
            name="db",
            image_id=self.guest().id,
            flavor_id=named(self.compute.flavors(), FLAVOR).id,
            networks=[{"port": port.id}],
            user_data=base64.b64encode(user_data("db", "db", f"{ADDRESS}/24", NETWORK.mtu, TIERS).encode()).decode(),
            config_drive=True,
        )
        self.test.addCleanup(self.compute.wait_for_delete, server, interval=1, wait=60)
        self.test.addCleanup(self.compute.delete_server, server)
        return server

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
            _, found, said = self.compute.get_server_console_output(server)["output"].rpartition("GUEST-UP name=db ")
            if found and "boot_id=" in said:
                return str(said.partition("boot_id=")[2].split()[0])
            time.sleep(1)
        raise AssertionError(f"{server.name} says nothing of its application within 60 s")

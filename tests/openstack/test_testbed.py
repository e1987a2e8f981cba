"""The testbed itself: two clouds that know nothing of each other, each of which runs servers for a tenant."""

import base64
import time
import unittest
from typing import Any

from openstack.connection import Connection
from openstack.exceptions import ForbiddenException
from testbed.layout import HOSTS, LAB
from testbed.seed import FLAVOR, PROJECT, connect, named

from intercloud.clouds.lab import net
from intercloud.clouds.lab.demo import NETWORK, TIERS
from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import user_data

MAC, ADDRESS = "52:54:00:50:00:0d", TIERS["db"]


class Tenant(unittest.TestCase):
    def setUp(self) -> None:
        self.clouds = [connect(host, PROJECT, PROJECT) for host in HOSTS]

    def make_server(self, cloud: Connection) -> Any:
        """Boot the demo's database as a tenant would, with an address of its choice; all of it goes with the test."""
        network: Any = cloud.network
        image: Any = cloud.image
        compute: Any = cloud.compute
        shop = named(network.networks(), PROJECT)
        subnet = network.create_subnet(network_id=shop.id, ip_version=4, cidr=NETWORK.cidr, gateway_ip=None)
        self.addCleanup(network.delete_subnet, subnet)
        fixed = [{"ip_address": ADDRESS, "subnet_id": subnet.id}]
        port = network.create_port(network_id=shop.id, mac_address=MAC, fixed_ips=fixed)
        self.addCleanup(network.delete_port, port)
        with build_image(LAB.cache).open("rb") as content:
            guest = image.create_image(name="guest", data=content, disk_format="qcow2", container_format="bare")
        self.addCleanup(image.delete_image, guest)
        told = user_data("db", "db", f"{ADDRESS}/24", NETWORK.mtu, TIERS)
        server = compute.create_server(
            name="db",
            image_id=guest.id,
            flavor_id=named(compute.flavors(), FLAVOR).id,
            networks=[{"port": port.id}],
            user_data=base64.b64encode(told.encode()).decode(),
            config_drive=True,
        )
        self.addCleanup(compute.wait_for_delete, server, interval=1, wait=60)
        self.addCleanup(compute.delete_server, server)
        return server

    def test_the_same_server_with_the_same_addresses_runs_at_both(self) -> None:
        for cloud, server in [(cloud, self.make_server(cloud)) for cloud in self.clouds]:
            compute: Any = cloud.compute
            compute.wait_for_server(server, interval=1, wait=120)
            deadline = time.monotonic() + 60
            said = ""
            while "GUEST-UP name=db" not in said and time.monotonic() < deadline:
                time.sleep(1)
                said = compute.get_server_console_output(server)["output"]
            self.assertIn("GUEST-UP name=db", said)

    def test_a_tenant_may_not_what_an_operator_may(self) -> None:
        for cloud in self.clouds:
            compute: Any = cloud.compute
            with self.assertRaises(ForbiddenException):
                list(compute.hypervisors())


class Apart(unittest.TestCase):
    def test_the_clouds_meet_at_the_wan_alone(self) -> None:
        for host in HOSTS:
            self.assertEqual(net.links(host.namespace) & {"eth0", "eth1", "eth2"}, {"eth0", "eth1", "eth2"})
            site = net.links(host.place.namespace)
            self.assertLessEqual({"provider", "uplink"}, site)


if __name__ == "__main__":
    unittest.main()

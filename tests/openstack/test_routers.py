"""Routers of the source: what comes and goes through them while servers move."""

import os
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any
from unittest.mock import patch

from moves import MovesCase
from tenant import Tenant
from testbed import network, services
from testbed.layout import HOSTS, LAB, PROVIDER
from testbed.seed import PROJECT, connect, named
from tests import needs

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.lab import bridge, net
from intercloud.clouds.openstack.names import AWAY
from intercloud.clouds.openstack.provider import OpenStackCloud
from intercloud.clouds.run import command_line, inside, kill, run
from intercloud.endpoints.result import CONFIG, RESULT, ProbeConfig, ProbeResult
from intercloud.model.server import Nic
from intercloud.settings import load

GATEWAY = "10.50.0.1"
PUBLIC = ip_network("203.0.113.0/24")
CLIENT = "203.0.113.100"
PUBLIC_VLAN = 150
OUTSIDE = f"ic-{LAB.name}--outside"
"""A namespace that reaches the first cloud's public network, and nothing else."""


class Routers(MovesCase):
    def attach(self, tenant: Tenant, **options: Any) -> Any:
        """Attach a router to the tenant's network, at its gateway's address."""
        (subnet,) = tenant.network.subnets(network_id=named(tenant.network.networks(), PROJECT).id)
        router = tenant.network.create_router(name="out", **options)
        self.addCleanup(tenant.network.delete_router, router)
        tenant.network.add_interface_to_router(router, subnet_id=subnet.id)
        self.addCleanup(tenant.network.remove_interface_from_router, router, subnet_id=subnet.id)
        return router

    def test_a_cloud_tells_of_its_routers(self) -> None:
        tenant = Tenant(self, HOSTS[0])
        shop = named(tenant.network.networks(), PROJECT)
        subnet = tenant.network.create_subnet(network_id=shop.id, ip_version=4, cidr="10.50.0.0/24")
        self.addCleanup(tenant.network.delete_subnet, subnet)
        router = self.attach(tenant)
        (port,) = tenant.network.ports(device_id=router.id)
        with patch.dict(os.environ, self.environment):
            told = [open_cloud(load(self.config), host.name).about().routers for host in HOSTS]
        self.assertEqual(told, [(Nic("shop", port.mac_address, GATEWAY),), ()])

    def test_a_port_that_has_stepped_aside_becomes_what_it_was(self) -> None:
        tenant = Tenant(self, HOSTS[0])
        shop = named(tenant.network.networks(), PROJECT)
        subnet = tenant.network.create_subnet(network_id=shop.id, ip_version=4, cidr="10.50.0.0/24")
        self.addCleanup(tenant.network.delete_subnet, subnet)
        pair = {"ip_address": "10.50.0.128/25", "mac_address": "52:54:00:50:00:77"}
        port = tenant.network.create_port(network_id=shop.id, allowed_address_pairs=[pair])
        self.addCleanup(tenant.network.delete_port, port)
        tenant.network.set_tags(port, ["mine"])
        self.enterContext(patch.dict(os.environ, self.environment))
        cloud = open_cloud(load(self.config), HOSTS[0].name)
        assert isinstance(cloud, OpenStackCloud)

        def seen() -> tuple[Any, ...]:
            found = tenant.network.get_port(port.id)
            has = (found.security_group_ids, found.allowed_address_pairs, found.is_port_security_enabled)
            return (*has, [tag for tag in found.tags if not tag.startswith(AWAY)])

        before = seen()
        self.assertEqual(before[1:], ([pair], True, ["mine"]))
        self.assertEqual(len(before[0]), 1)
        for act, wanted in ((cloud.networks.step_aside, ([], [], False, ["mine"])), (cloud.networks.step_back, before)):
            for _ in range(2):  # a killed program's successor does it again
                act([tenant.network.get_port(port.id)])
                self.assertEqual(seen(), wanted)
        self.assertEqual(tenant.network.get_port(port.id).tags, ["mine"])

    @needs.long
    def test_a_floating_ip_goes_on_across_the_wan(self) -> None:
        source, target = self.booted("web", gateway=GATEWAY)
        address = self.published(source, "web")
        with self.probe(address) as seen:
            for here, there in ((source, target), (target, source)):
                self.moved("live", here.host.name, there.host.name)
                self.reaches(address)
        (result,) = seen
        self.assertEqual((result.udp["web"].duplicated, result.broken), (0, 0), result)

    def reaches(self, address: str) -> None:
        run(inside(OUTSIDE, ["ping", "-c", "1", "-W", "2", address]))

    def published(self, tenant: Tenant, name: str) -> str:
        """Give a server an address in a public network, which a client in its own namespace is in, too."""
        admin = connect(tenant.host)
        self.addCleanup(admin.close)
        segment = {"provider_physical_network": PROVIDER, "provider_segmentation_id": PUBLIC_VLAN}
        public = admin.network.create_network(
            name="public", is_router_external=True, provider_network_type="vlan", **segment
        )
        self.addCleanup(admin.network.delete_network, public)
        pool = {"start": str(PUBLIC[10]), "end": str(PUBLIC[50])}
        admin.network.create_subnet(
            network_id=public.id, ip_version=4, cidr=str(PUBLIC), is_dhcp_enabled=False, allocation_pools=[pool]
        )
        self.stand_outside(tenant)
        services.start(tenant.host, services.ROUTERS)
        self.addCleanup(self.end_routers, tenant)
        self.attach(tenant, external_gateway_info={"network_id": public.id})
        server = next(each for each in tenant.compute.servers() if each.name == name)
        (port,) = tenant.network.ports(device_id=server.id)
        made = tenant.network.create_ip(floating_network_id=public.id, port_id=port.id)
        self.addCleanup(tenant.network.delete_ip, made)
        tenant.until(lambda: tenant.network.get_ip(made).status == "ACTIVE", "the router knows the address")
        return str(ip_address(made.floating_ip_address))

    def stand_outside(self, tenant: Tenant) -> None:
        """Make the client's namespace."""
        place = tenant.host.place
        run(["ip", "netns", "add", OUTSIDE])
        self.addCleanup(run, ["ip", "netns", "delete", OUTSIDE])
        peer = ("peer", "name", "eth0", "netns", OUTSIDE)
        net.batch(place.namespace, [("link", "add", "public", "type", "veth", *peer), ("link", "set", "public", "up")])
        self.addCleanup(net.batch, place.namespace, [("link", "delete", "public")])
        net.batch(
            OUTSIDE, [("link", "set", "eth0", "up"), ("addr", "add", f"{CLIENT}/{PUBLIC.prefixlen}", "dev", "eth0")]
        )
        for where, device in ((place.namespace, "public"), (OUTSIDE, "eth0")):
            run(inside(where, ["ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]))
        bridge.vsctl(place, ["add-port", network.PROVIDER_BRIDGE, "public", f"tag={PUBLIC_VLAN}"])
        self.addCleanup(bridge.vsctl, place, ["del-port", network.PROVIDER_BRIDGE, "public"])

    def end_routers(self, tenant: Tenant) -> None:
        found = net.processes(tenant.host.namespace)
        kill([pid for pid in found if any(services.ROUTERS.name in word for word in command_line(pid))], 20)

    @contextmanager
    def probe(self, address: str) -> Iterator[list[ProbeResult]]:
        """Be a client of an address as long as the context lasts; what it saw is in the list afterwards."""
        config = ProbeConfig("outside", {"web": address}, stream="web", udp_rate=100, ready_within=60)
        command = [sys.executable, "-m", "intercloud.endpoints.probe", "--config", CONFIG.dump_json(config).decode()]
        seen: list[ProbeResult] = []
        with subprocess.Popen(
            inside(OUTSIDE, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
            yield seen
            output, _ = process.communicate("\n", timeout=30)
            seen.append(RESULT.validate_json(output))


if __name__ == "__main__":
    unittest.main()

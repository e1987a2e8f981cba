"""Routers of the testbed, as plans see them."""

import os
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tenant import Tenant
from testbed import user
from testbed.layout import HOSTS
from testbed.seed import PROJECT, named

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.openstack.provider import OpenStackCloud
from intercloud.model.server import Cluster
from intercloud.settings import load


class Routers(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.config = user.write(Path(folder.name))
        self.enterContext(patch.dict(os.environ, OS_CLIENT_CONFIG_FILE=str(self.config.with_name("clouds.yaml"))))
        self.here, self.there = (Tenant(self, host) for host in HOSTS)

    def cloud(self, tenant: Tenant) -> OpenStackCloud:
        found = open_cloud(load(self.config), tenant.host.name)
        assert isinstance(found, OpenStackCloud)
        return found

    def attach(self, tenant: Tenant) -> Any:
        """Attach a router to the tenant's network; returns that network."""
        shop = named(tenant.network.networks(), PROJECT)
        subnet = tenant.network.create_subnet(network_id=shop.id, ip_version=4, cidr="10.50.0.0/24")
        self.addCleanup(tenant.network.delete_subnet, subnet)
        router = tenant.network.create_router(name="out")
        self.addCleanup(tenant.network.delete_router, router)
        tenant.network.add_interface_to_router(router, subnet_id=subnet.id)
        self.addCleanup(tenant.network.remove_interface_from_router, router, subnet_id=subnet.id)
        return shop

    def test_one_that_only_the_source_has_is_a_note_in_the_plan(self) -> None:
        shop = self.attach(self.here)
        (network,) = self.cloud(self.here).networks.read([shop.id]).values()
        self.assertEqual((network.gateway, network.router), ("10.50.0.1", True))
        cluster = Cluster("shop", (network,), ())
        (found,) = self.cloud(self.there).conflicts(cluster)
        self.assertIn("network shop has no router at 10.50.0.1, as the source's has; attach one", found.line)
        self.assertFalse(found.blocking)
        self.attach(self.there)
        self.assertEqual(self.cloud(self.there).conflicts(cluster), ())


if __name__ == "__main__":
    unittest.main()

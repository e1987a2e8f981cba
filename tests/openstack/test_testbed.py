"""The testbed itself: two clouds that know nothing of each other, each of which runs servers for a tenant."""

import unittest

from openstack.exceptions import ForbiddenException
from tenant import Tenant
from testbed.layout import HOSTS

from intercloud.clouds.lab import net


class Tenants(unittest.TestCase):
    def test_a_tenant_may_not_what_an_operator_may(self) -> None:
        for host in HOSTS:
            with self.assertRaises(ForbiddenException):
                list(Tenant(self, host).compute.hypervisors())


class Apart(unittest.TestCase):
    def test_the_clouds_meet_at_the_wan_alone(self) -> None:
        for host in HOSTS:
            self.assertLessEqual({"eth0", "eth1", "eth2"}, net.links(host.namespace))
            self.assertLessEqual({"provider", "uplink"}, net.links(host.place.namespace))


if __name__ == "__main__":
    unittest.main()

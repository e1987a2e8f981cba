"""The testbed itself: whoever uses it is an operator or a tenant, and the clouds tell them apart."""

import unittest

from openstack.exceptions import ForbiddenException
from tenant import Tenant
from testbed.layout import HOSTS


class Tenants(unittest.TestCase):
    def test_a_tenant_may_not_what_an_operator_may(self) -> None:
        for host in HOSTS:
            with self.assertRaises(ForbiddenException):
                list(Tenant(self, host).compute.hypervisors())


if __name__ == "__main__":
    unittest.main()

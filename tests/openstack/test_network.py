"""The border in front of Neutron: a server with the same addresses runs at both clouds, and one has the traffic."""

import subprocess
import time
import unittest

from tenant import DB, Tenant
from testbed.layout import CONTROL, HOSTS, LAB
from testbed.network import DEVICE, NETWORK
from tests import needs

from intercloud.clouds.run import inside
from intercloud.control import process
from intercloud.control.client import ControlClient, Endpoint

(MAC, ADDRESS) = (DB.nics[0].mac, DB.nics[0].ip)
CLIENT = f"{LAB.place('office').namespace}--client"


def answer() -> str:
    """What the server's state says to the client in the office; empty when nothing comes."""
    ask = inside(
        CLIENT,
        [
            "python3",
            "-c",
            f"import urllib.request as u; print(u.urlopen('http://{ADDRESS}:8080/state', timeout=2).read().decode())",
        ],
    )
    return subprocess.run(ask, capture_output=True, text=True, timeout=20, check=False).stdout


class Border(unittest.TestCase):
    @needs.long
    def test_traffic_follows_the_cutover_from_neutron_to_neutron(self) -> None:
        tenants = [Tenant(self, host) for host in HOSTS]
        servers = [tenant.boot("db")[0] for tenant in tenants]
        for tenant, server in zip(tenants, servers, strict=True):
            tenant.wait_up(server)
        boots = [str(tenant.boot_id(server)) for tenant, server in zip(tenants, servers, strict=True)]
        self.assertNotEqual(*boots)
        names = [host.name for host in HOSTS]
        with ControlClient(CONTROL / process.SOCKET_FILE) as control:
            db = Endpoint("db", NETWORK.name, MAC, ADDRESS, names[0], dict.fromkeys(names, DEVICE))
            control.put(endpoints=[db])
            self.addCleanup(self.forget)
            for name, boot in ((names[0], boots[0]), (names[1], boots[1]), (names[0], boots[0])):
                control.cutover({MAC: name})
                self.assert_answers(boot, name)

    def assert_answers(self, boot: str, name: str) -> None:
        deadline = time.monotonic() + 10
        said = ""
        while boot not in said and time.monotonic() < deadline:
            said = answer()
        self.assertIn(boot, said, f"the server of {name} does not answer in the office")

    def forget(self) -> None:
        with ControlClient(CONTROL / process.SOCKET_FILE) as control:
            control.drop(endpoints=[MAC])


if __name__ == "__main__":
    unittest.main()

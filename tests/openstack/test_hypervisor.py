"""What an operator's access to the hypervisors adds to a cloud, and how it ends well when Nova interferes."""

import os
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from test_contract import PROJECT, prepare
from testbed import user
from testbed.host import enter
from testbed.layout import HOSTS
from tests import needs

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.openstack.provider import OpenStackCloud
from intercloud.clouds.port import ServerState
from intercloud.clouds.run import run
from intercloud.errors import CloudError, CloudUnreachable
from intercloud.model.server import Cluster, Disk, Network, Nic, Server
from intercloud.settings import Settings, load
from intercloud.units import GIB, MIB, Bytes

HOST = HOSTS[0]
ONE = Server("one", 1, Bytes(128 * MIB), (Disk("root", Bytes(GIB)),), (Nic("net1", "52:54:00:60:00:31", "10.60.0.31"),))
TESTS = Cluster("tests", (Network("net1", 7001, "10.60.0.0/24", 1400),), (ONE,))
HELD_BACK = 15
"""Seconds for which Nova keeps the word that a domain has stopped to itself."""


class Hypervisor(unittest.TestCase):
    cloud: OpenStackCloud
    settings: Settings

    @classmethod
    def setUpClass(cls) -> None:
        prepare(HOST)
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.enterClassContext(mock.patch.dict(os.environ, OS_CLIENT_CONFIG_FILE=str(folder / "clouds.yaml")))
        cls.settings = load(user.write(folder, PROJECT))
        cloud = open_cloud(cls.settings, HOST.name)
        assert isinstance(cloud, OpenStackCloud)
        cls.cloud = cloud

    def setUp(self) -> None:
        self.addCleanup(self.cloud.delete_server, "one")

    def assert_waits(self) -> None:
        self.assertIs(self.cloud.server_state("one"), ServerState.INCOMING)
        self.assertEqual(self.cloud.servers.get("one").status, "ACTIVE")

    @needs.long
    def test_nova_does_not_notice_that_a_place_waits_for_its_memory(self) -> None:
        self.cloud.receive_server(TESTS, ONE)
        self.assert_waits()
        time.sleep(HELD_BACK + 5)
        self.assert_waits()

    @needs.long
    def test_a_place_that_nova_has_seen_stopped_waits_all_the_same(self) -> None:
        landing = self.cloud.receive_server(TESTS, ONE)
        number = self.cloud.servers.get("one").id
        run(enter(HOST, ["virsh", "-q", "destroy", number]))
        deadline = time.monotonic() + HELD_BACK + 30
        while self.cloud.servers.get("one").status != "SHUTOFF":
            self.assertLess(time.monotonic(), deadline, "Nova does not notice")
            time.sleep(1)
        self.assertIs(self.cloud.server_state("one"), ServerState.STOPPED)
        self.assertEqual(self.cloud.receive_server(TESTS, ONE), landing)
        self.assert_waits()
        time.sleep(HELD_BACK + 5)
        self.assert_waits()

    def test_a_claimed_server_obeys_nobody_else(self) -> None:
        self.cloud.receive_server(TESTS, ONE)
        compute = self.cloud.door.compute
        number = self.cloud.servers.get("one").id
        with self.assertRaisesRegex(CloudError, "locked"):
            compute.pause_server(number)
        self.cloud.adopt_server("one")
        self.assertFalse(self.cloud.servers.get("one").is_locked)
        compute.lock_server(number, locked_reason="mine")
        self.addCleanup(compute.unlock_server, number)
        self.cloud.adopt_server("one")
        self.assertTrue(self.cloud.servers.get("one").is_locked)

    def test_a_hypervisor_that_does_not_answer_is_told_in_one_line(self) -> None:
        found = self.settings.clouds[HOST.name]
        hosts = found.hypervisors.model_copy(update={"libvirt": "qemu+tcp://127.0.0.1:1/system"})
        settings = self.settings.model_copy(
            update={"clouds": {HOST.name: found.model_copy(update={"hypervisors": hosts})}}
        )
        cloud = open_cloud(settings, HOST.name)
        with self.assertRaisesRegex(
            CloudUnreachable, "^no answer from libvirt at qemu.tcp://127.0.0.1:1/system: [^\n]*$"
        ):
            cloud.receive_server(TESTS, ONE)


if __name__ == "__main__":
    unittest.main()

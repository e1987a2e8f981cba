"""What goes wrong between us and a real cloud: each is survived, or told in one line with nothing left behind."""

import os
import random
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay import cutting
from test_contract import PROJECT, prepare
from testbed import user
from testbed.layout import HOSTS, PORTS
from testbed.seed import connect

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.openstack.door import Door
from intercloud.clouds.openstack.images import Images
from intercloud.clouds.openstack.provider import OpenStackCloud
from intercloud.clouds.port import ServerState
from intercloud.errors import CloudError, CloudUnreachable, TransferError
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.settings import load
from intercloud.units import GIB, MIB, Bytes

HOST = HOSTS[0]
TAG = "fault-test"


class Faults(unittest.TestCase):
    cloud: OpenStackCloud

    @classmethod
    def setUpClass(cls) -> None:
        prepare(HOST)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = Path(folder.name)
        before = os.environ.get("OS_CLIENT_CONFIG_FILE")
        os.environ["OS_CLIENT_CONFIG_FILE"] = str(cls.path / "clouds.yaml")
        cls.addClassCleanup(os.environ.update, {"OS_CLIENT_CONFIG_FILE": before or ""})
        cloud = open_cloud(load(user.write(cls.path, PROJECT, operator=False)), HOST.name)
        assert isinstance(cloud, OpenStackCloud)
        cls.cloud = cloud
        cls.content = cls.path / "content"
        cls.content.write_bytes(random.Random(2).randbytes(6 * MIB))

    def images(self, url: str) -> Images:
        """The same project's images, by way of a relay."""
        return Images(HOST.name, Door(HOST.name, {"cloud": HOST.name, "image_endpoint_override": url}))

    def left(self) -> list[Any]:
        return self.cloud.images.tagged(TAG)

    def test_a_cut_download_goes_on_where_it_ended(self) -> None:
        image = self.cloud.images.upload(self.content, Image("", "noise", Bytes(0), "raw"), [TAG])
        self.addCleanup(self.cloud.images.delete, image)
        with cutting(HOST.address, PORTS["glance"], 2 * MIB, times=2) as url:
            self.images(url).download(image, self.path / "back")
        self.assertEqual((self.path / "back").read_bytes(), self.content.read_bytes())

    def test_a_download_that_is_cut_for_good_is_told(self) -> None:
        image = self.cloud.images.upload(self.content, Image("", "noise", Bytes(0), "raw"), [TAG])
        self.addCleanup(self.cloud.images.delete, image)
        with cutting(HOST.address, PORTS["glance"], 0, times=99) as url, self.assertRaises(CloudError) as raised:
            self.images(url).download(image, self.path / "back")
        self.assertIn(HOST.name, str(raised.exception))

    def test_a_cut_upload_leaves_nothing(self) -> None:
        with cutting(HOST.address, PORTS["glance"], 2 * MIB, times=1) as url:
            images = self.images(url)
            with self.assertRaises(CloudUnreachable):
                images.upload(self.content, Image("", "noise", Bytes(0), "raw"), [TAG])
            self.assertEqual(self.left(), [])
            self.cloud.images.delete(images.upload(self.content, Image("", "noise", Bytes(0), "raw"), [TAG]))

    def test_what_is_stored_otherwise_than_it_was_sent_is_not_kept(self) -> None:
        image = self.cloud.images.upload(self.content, Image("", "noise", Bytes(0), "raw"), [TAG])
        self.addCleanup(self.cloud.images.delete, image)
        image.hash_value = "0" * 128
        with self.assertRaisesRegex(TransferError, "was read with another hash"):
            self.cloud.images.download(image, self.path / "back")

    def test_a_token_that_is_revoked_is_replaced(self) -> None:
        # one that no service has seen: they believe for some minutes in what they have seen
        auth = user.entry(HOST, PROJECT)["auth"]
        cloud = replace(self.cloud, door=Door(HOST.name, {"auth": auth, "region_name": HOST.region}))
        connection = cloud.door.connection
        token = connection.auth_token
        with connect(HOST) as operator:
            identity: Any = operator.identity
            answer = identity.delete("/auth/tokens", headers={"X-Subject-Token": token})
        self.assertEqual(answer.status_code, 204)
        cloud.clusters()
        self.assertNotEqual(connection.auth_token, token)

    def test_a_place_that_no_host_has_room_for_leaves_nothing(self) -> None:
        nic = Nic("net1", "52:54:00:60:00:21", "10.60.0.21")
        server = Server("huge", 1, Bytes(64 * MIB), (Disk("root", Bytes(GIB)),), (nic,))
        cluster = Cluster("tests", (Network("net1", 7001, "10.60.0.0/24", 1400),), (server,))
        with connect(HOST) as operator:
            compute: Any = operator.compute
            flavor = compute.create_flavor(name="huge", ram=64, vcpus=64, disk=1)
            self.addCleanup(lambda: connect(HOST).compute.delete_flavor(flavor.id))
            project = self.cloud.door.project
            compute.update_quota_set(project, cores=100)
            self.addCleanup(lambda: connect(HOST).compute.update_quota_set(project, cores=2))
        with self.assertRaisesRegex(CloudError, "server huge failed: No valid host"):
            self.cloud.create_server(cluster, replace(server, vcpus=64))
        self.assertIs(self.cloud.server_state("huge"), ServerState.ABSENT)
        self.assertEqual(self.cloud.networks.of_server("huge"), [])
        self.assertEqual(self.cloud.quota()[1].vcpus, 0)

    def test_wrong_credentials_are_told_in_one_line(self) -> None:
        auth = {**user.entry(HOST, PROJECT)["auth"], "password": "wrong"}
        cloud = replace(self.cloud, door=Door(HOST.name, {"auth": auth, "region_name": HOST.region}))
        with self.assertRaisesRegex(CloudError, f"^{HOST.name} does not accept the credentials: [^\n]*$"):
            cloud.clusters()

    def test_a_cloud_that_is_not_there_is_told_in_one_line(self) -> None:
        auth = {**user.entry(HOST, PROJECT)["auth"], "auth_url": "http://127.0.0.1:1/v3"}
        cloud = replace(self.cloud, door=Door(HOST.name, {"auth": auth, "region_name": HOST.region}))
        with self.assertRaisesRegex(CloudUnreachable, f"^{HOST.name} does not answer: [^\n]*$"):
            cloud.clusters()


if __name__ == "__main__":
    unittest.main()

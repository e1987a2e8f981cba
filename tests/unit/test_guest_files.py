import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from intercloud.clouds.bootable import load_order
from intercloud.clouds.lab.guest.drive import config_drive, user_data
from intercloud.errors import CloudError
from tests import needs

MODULES = (
    "net/virtio_net.ko: net/failover.ko core/virtio.ko core/ring.ko\ncore/virtio.ko: core/ring.ko\ncore/ring.ko:\n"
)


class UserData(unittest.TestCase):
    def test_says_all_that_a_guest_needs(self) -> None:
        said = user_data("web", "shop-web", "10.0.0.1/24", 1450, {"web": "10.0.0.1", "db": "10.0.0.3"})
        self.assertEqual(
            said, "ROLE=web\nNAME=shop-web\nADDRESS=10.0.0.1/24\nMTU=1450\nHOSTS=web=10.0.0.1,db=10.0.0.3\n"
        )

    def test_refuses_what_would_say_something_else(self) -> None:
        with self.assertRaisesRegex(CloudError, "NAME"):
            user_data("web", "a\nROLE=db", "10.0.0.1/24", 1450, {})


class Modules(unittest.TestCase):
    def test_come_after_what_they_need_and_once(self) -> None:
        order = load_order(MODULES + "net/failover.ko:\n", ["virtio", "virtio_net"])
        self.assertEqual(order, ["core/ring.ko", "core/virtio.ko", "net/failover.ko", "net/virtio_net.ko"])

    def test_a_missing_one_is_named(self) -> None:
        with self.assertRaisesRegex(CloudError, "no module virtio_blk"):
            load_order(MODULES, ["virtio_blk"])


@needs.guest
class ConfigDrive(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_equal_input_gives_equal_bytes(self) -> None:
        config_drive({"uuid": "1", "name": "web"}, "ROLE=web\n", self.folder / "first")
        time.sleep(1.1)  # the dates in an ISO 9660 image have a resolution of a second
        config_drive({"name": "web", "uuid": "1"}, "ROLE=web\n", self.folder / "second")
        self.assertEqual((self.folder / "first").read_bytes(), (self.folder / "second").read_bytes())
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["first", "second"])

    def test_is_laid_out_as_openstack_does(self) -> None:
        drive = self.folder / "drive"
        config_drive({"name": "web"}, "ROLE=web\n", drive)
        self.assertIn("Volume id: config-2", self.isoinfo("-d", "-i", drive))
        self.assertEqual(self.isoinfo("-J", "-i", drive, "-x", "/openstack/latest/user_data"), "ROLE=web\n")
        self.assertEqual(self.isoinfo("-J", "-i", drive, "-x", "/openstack/latest/meta_data.json"), '{"name": "web"}')

    def isoinfo(self, *words: str | Path) -> str:
        return subprocess.run(["isoinfo", *words], capture_output=True, text=True, timeout=20, check=True).stdout

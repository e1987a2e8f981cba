"""A server moves with its volumes, and what they hold moves with them."""

import os
import random
import unittest
from pathlib import Path
from typing import Any
from unittest.mock import patch

from moves import MovesCase
from tenant import Tenant
from tests import needs

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.port import DiskRef
from intercloud.clouds.run import run
from intercloud.settings import load
from intercloud.units import MIB


class WithVolumes(MovesCase):
    def test_one_moves_cold(self) -> None:
        self.there_and_back("cold")

    @needs.long
    def test_one_moves_cold_and_comes_back_warm(self) -> None:
        self.there_and_back("cold", "warm")

    @needs.long
    def test_one_that_was_built_with_its_volume_comes_back_live(self) -> None:
        self.there_and_back("cold", "live")

    @needs.long
    def test_one_whose_volume_was_attached_while_it_ran_moves_live(self) -> None:
        self.there_and_back("live", "live")

    @needs.long
    def test_one_that_boots_from_its_volume_moves_in_every_way(self) -> None:
        a, b = self.booted("db", volumes=True)
        for strategy, here, there in (("cold", a, b), ("live", b, a), ("warm", a, b)):
            self.goes(strategy, here, there)
            (db,) = there.compute.servers()
            if strategy == "live":
                there.compute.reboot_server(db, "HARD")
            there.wait_up(db)
            (volume,) = there.storage.volumes(details=True)
            self.assertEqual(
                [(each["server_id"], each["device"]) for each in volume.attachments], [(db.id, "/dev/vda")]
            )
            self.assertEqual((bool(db.image), volume.size, volume.is_bootable), (False, 1, True))
            self.assertEqual(volume.metadata, {})

    def there_and_back(self, *strategies: str) -> None:
        source, target = self.booted("db")
        (db,) = source.compute.servers()
        content = self.config.with_name("content")
        content.write_bytes(random.Random(5).randbytes(3 * MIB))
        source.attach_volume(db, content)
        self.enterContext(patch.dict(os.environ, OS_CLIENT_CONFIG_FILE=str(self.config.with_name("clouds.yaml"))))
        for strategy, here, there in zip(strategies, (source, target), (target, source), strict=False):
            self.goes(strategy, here, there)
            self.assert_holds(there, content)

    def assert_holds(self, tenant: Tenant, content: Path) -> None:
        """The only volume is db's, as it was made, and begins with this content."""
        (volume,) = tenant.storage.volumes(details=True)
        (db,) = tenant.compute.servers()
        self.assertEqual(
            (volume.name, volume.size, volume.status, volume.metadata), ("orders", 1, "in-use", {"kept": "daily"})
        )
        self.assertEqual([(each["server_id"], each["device"]) for each in volume.attachments], [(db.id, "/dev/vdb")])
        cloud: Any = open_cloud(load(self.config), tenant.host.name)
        disk = next(disk for disk in cloud.cluster("shop").servers[0].disks if disk.name == "vdb")
        held = self.config.with_name("held")
        with cloud.offer(DiskRef("db", disk)) as offer:
            run(["qemu-img", "convert", "-f", "raw", "-O", "raw", offer.local, str(held)])
        with held.open("rb") as file:
            self.assertEqual(file.read(3 * MIB), content.read_bytes())
            self.assertFalse(any(file.read(MIB)))


if __name__ == "__main__":
    unittest.main()

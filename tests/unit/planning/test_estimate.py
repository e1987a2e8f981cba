import unittest
from dataclasses import replace

from intercloud.model.server import Cluster, Disk, Image, Server
from intercloud.model.site import WanPath
from intercloud.model.strategy import Strategy
from intercloud.planning.estimate import DEVICE_STATE, crossing, estimate
from intercloud.planning.switchover import SMALL
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

IMAGE = Image("sha256:00", "guest", Bytes(10 * MIB))
SERVER = Server("web", 1, Bytes(128 * MIB), (Disk("root", Bytes(256 * MIB), IMAGE, Bytes(MIB)),), ())
CLUSTER = Cluster("shop", (), (SERVER, replace(SERVER, name="app")))
PATH = WanPath(Seconds(0.010), BitsPerSecond(8e8), 1500)  # 1e8 bytes a second
OVERHEAD = Seconds(0.030)


class Estimates(unittest.TestCase):
    def test_bytes_take_their_share_of_the_rate_and_one_way(self) -> None:
        self.assertAlmostEqual(crossing(10**8, PATH), 1.005)

    def test_live_is_everything_once(self) -> None:
        found = estimate(CLUSTER, [IMAGE], Strategy.LIVE, PATH, OVERHEAD)
        pages = 2 * 128 * MIB // 4096
        self.assertEqual(found.memory_bytes, pages * 4104)
        self.assertEqual((found.image_bytes, found.disk_bytes), (10 * MIB, 2 * MIB))
        self.assertAlmostEqual(found.copy_s, (12 * MIB + pages * 4104) / 1e8 + 0.005)
        self.assertIn("2.0 MiB of disks, 10.0 MiB of images, at most 256.5 MiB of memory at 800.0", found.copy_basis)

    def test_live_stands_still_for_the_last_bytes_the_state_the_way_and_the_overhead(self) -> None:
        found = estimate(CLUSTER, [], Strategy.LIVE, PATH, OVERHEAD)
        self.assertAlmostEqual(found.blackout_s, SMALL + 2 * DEVICE_STATE / 1e8 + 0.005 + OVERHEAD)
        self.assertIn("longer for servers that write much", found.blackout_basis)

    def test_cold_carries_no_memory_and_stands_still_for_its_disks(self) -> None:
        found = estimate(CLUSTER, [IMAGE], Strategy.COLD, PATH, OVERHEAD)
        self.assertEqual(found.memory_bytes, 0)
        self.assertAlmostEqual(found.copy_s, 12 * MIB / 1e8 + 0.005)
        self.assertAlmostEqual(found.blackout_s, 2 * MIB / 1e8 + 0.005)
        self.assertIn("shutting down and booting come on top", found.blackout_basis)

    def test_warm_carries_disks_while_they_are_written_and_stands_still_for_a_block_of_each_at_least(self) -> None:
        found = estimate(CLUSTER, [IMAGE], Strategy.WARM, PATH, OVERHEAD)
        self.assertEqual((found.memory_bytes, found.disk_bytes), (0, 2 * MIB))
        self.assertAlmostEqual(found.copy_s, 12 * MIB / 1e8 + 0.005)
        self.assertIn("what the servers write meanwhile", found.copy_basis)
        self.assertAlmostEqual(found.blackout_s, 2 * 65536 / 1e8 + 0.005)
        self.assertRegex(
            found.blackout_basis, r"^at least, .* of each disk at 800.0 .*since the last round, .* booting"
        )

    def test_a_disk_of_unknown_content_counts_as_full_and_that_is_said(self) -> None:
        unknown = replace(SERVER, disks=(replace(SERVER.disks[0], held=None),))
        found = estimate(replace(CLUSTER, servers=(SERVER, unknown)), [], Strategy.COLD, PATH, OVERHEAD)
        self.assertEqual(found.disk_bytes, 257 * MIB)
        self.assertIn("at most 257.0 MiB of disks", found.copy_basis)
        self.assertNotIn("at most", estimate(CLUSTER, [], Strategy.COLD, PATH, OVERHEAD).copy_basis)


if __name__ == "__main__":
    unittest.main()

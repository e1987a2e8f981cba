"""The lab's disks of running servers: read as of one moment, whoever is killed and whatever the WAN does meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest
from itertools import count

from intercloud.clouds import nbd
from intercloud.clouds.ability import Ability
from intercloud.clouds.lab import fleece, qmp
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import DiskRef, Offer
from intercloud.errors import CloudError
from intercloud.model.server import Cluster, Disk, Network, Nic, Server
from intercloud.units import MIB, Bytes
from tests import needs
from tests.lab.labs import LabCase, guest_write

BLOCKS = [n * 3 * MIB for n in range(8)]
"""Where the counters are, in the order in which they are written."""


def counters(offer: Offer) -> list[int]:
    """Read the counters out of an offer."""
    content = subprocess.run(["nbdcopy", offer.local, "-"], capture_output=True, check=True, timeout=60).stdout
    return [content[block] for block in BLOCKS]


@needs.lab
class Warm(LabCase):
    def setUp(self) -> None:
        self.source, self.target = (LabCloud(self.spec.place(name)) for name in ("lab-a", "lab-b"))
        nic = Nic("net1", "52:54:00:62:00:01", "10.62.0.1")
        disks = tuple(Disk(name, Bytes(32 * MIB)) for name in ("root", "data"))
        self.one = Server("one", 1, Bytes(64 * MIB), disks, (nic,))
        self.disk = DiskRef("one", disks[0])
        cluster = Cluster("tests", (Network("net1", 7003, "10.62.0.0/24", 1400),), (self.one,))
        for cloud in (self.source, self.target):
            self.addCleanup(cloud.delete_server, "one")
            cloud.create_server(cluster, self.one)
        self.source.start_server("one")
        self.files = self.source.guest("one").files

    def write(self, offset: int, pattern: int) -> None:
        guest_write(self.source, "one", offset, 65536, pattern)

    def round(self) -> Bytes:
        with self.source.offer(self.disk) as offer:
            return self.target.fetch(self.disk, offer, lambda _: None)

    def assert_equal(self) -> None:
        with self.source.offer(self.disk) as left, self.target.offer(self.disk) as right:
            compare = ["qemu-img", "compare", "-f", "raw", "-F", "raw", left.local, right.local]
            self.assertEqual(subprocess.run(compare, capture_output=True, timeout=30, check=False).returncode, 0)

    def assert_nothing_aside(self) -> None:
        with qmp.session(self.files.own_monitor) as execute:
            names = {node["node-name"] for node in execute("query-named-block-nodes", flat=True)}
            self.assertEqual(execute("query-block-jobs"), [])
            self.assertEqual(execute("query-block-exports"), [])
        self.assertNotIn(fleece.NAME, names)
        self.assertFalse(self.files.aside.exists())

    def test_what_is_read_is_the_disk_as_of_one_moment(self) -> None:
        stop = threading.Event()

        def keep_writing() -> None:
            for n in count(1):
                for block in BLOCKS:
                    if stop.is_set():
                        return
                    self.write(block, n % 251)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(stop.set)
        seen = set()
        for _ in range(4):
            time.sleep(0.2)
            self.round()
            with self.target.offer(self.disk) as copy:
                values = counters(copy)
            newest = values[0]
            first_old = next((at for at, value in enumerate(values) if value != newest), len(values))
            older = (newest - 1) % 251
            self.assertEqual(values, [newest] * first_old + [older] * (len(values) - first_old))
            seen.add(newest)
        self.assertGreater(len(seen), 1, "the guest did not write meanwhile")

    def test_a_guest_never_waits_for_the_wan(self) -> None:
        namespace = self.source.place.namespace
        with self.source.offer(self.disk):
            subprocess.run(["ip", "-n", namespace, "link", "set", "uplink", "down"], check=True, timeout=10)
            self.addCleanup(subprocess.run, ["ip", "-n", namespace, "link", "set", "uplink", "up"], check=True)
            began = time.monotonic()
            for block in BLOCKS:
                self.write(block, 3)
            self.assertLess(time.monotonic() - began, 5)

    def test_what_a_killed_process_leaves_goes_with_the_next_offer_and_with_the_stop(self) -> None:
        self.round()
        self.write(0, 5)
        self.offer_and_die()
        self.assertTrue(self.files.aside.exists())
        self.assertTrue(65536 <= self.round() <= MIB)
        self.assert_nothing_aside()
        self.offer_and_die()
        self.source.stop_server("one")
        self.assertFalse(self.files.aside.exists())
        self.assertEqual(self.round(), 0)
        self.assert_equal()

    def offer_and_die(self) -> None:
        program = (
            "import time; from pathlib import Path; from tests.lab.labs import CACHE, SITES;"
            "from intercloud.clouds.lab.spec import LabSpec; from intercloud.clouds.lab.provider import LabCloud;"
            "from intercloud.clouds.port import DiskRef;"
            f"spec = LabSpec({self.spec.name!r}, Path({str(self.spec.root)!r}), CACHE, SITES);"
            "cloud = LabCloud(spec.place('lab-a')); disk = cloud.cluster('tests').servers[0].disks[0];"
            "held = cloud.offer(DiskRef('one', disk)); held.__enter__(); print('offered', flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "offered\n")
            os.kill(process.pid, signal.SIGKILL)

    def test_a_live_move_finds_nothing_that_a_killed_process_left(self) -> None:
        self.offer_and_die()
        self.source.monitor("one")
        self.assert_nothing_aside()
        with self.source.offer(self.disk) as offer:  # one that stands is nobody's leftover
            self.write(0, 5)
            self.source.monitor("one")
            self.assertEqual(counters(offer)[0], 0)

    def test_a_move_that_is_given_up_leaves_nothing_at_the_source(self) -> None:
        for stopped in (False, True):
            with self.subTest(stopped=stopped):
                self.source.start_server("one")
                self.round()
                self.offer_and_die()
                if stopped:
                    self.source.stop_server("one")
                    self.assertIn("mark-", " ".join(nbd.bitmaps(self.files.disk("root"))))
                for _ in range(2):
                    self.source.adopt_server("one")
                if not stopped:
                    self.assert_nothing_aside()
                    self.source.stop_server("one")
                self.assertFalse(self.files.aside.exists())
                self.assertEqual(nbd.bitmaps(self.files.disk("root")), {})

    def test_records_of_a_guest_that_was_killed_are_not_trusted(self) -> None:
        self.write(0, 5)
        self.round()
        self.write(4 * MIB, 6)
        pid = self.source.guest("one").pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        self.assertEqual(self.round(), 2 * 65536)
        self.assert_equal()
        self.source.start_server("one")
        self.assertEqual(self.round(), 2 * 65536)
        self.assertEqual(self.round(), 0)

    def test_one_disk_at_a_time_and_only_where_that_is_offered(self) -> None:
        other = DiskRef("one", self.one.disks[1])
        with (
            self.source.offer(self.disk),
            self.assertRaisesRegex(CloudError, "a disk of one is being offered already"),
            self.source.offer(other),
        ):
            pass
        self.assert_nothing_aside()
        cold = LabCloud(self.source.place, frozenset({Ability.COLD}))
        with self.assertRaises(CloudError), cold.offer(self.disk):
            pass


if __name__ == "__main__":
    unittest.main()

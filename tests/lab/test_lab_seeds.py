"""What a site of the lab keeps of servers that have left: whole or not at all, and never in somebody's way."""

import os
import shutil
import signal
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from intercloud.clouds import nbd
from intercloud.clouds.lab import seeds
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.model.server import Cluster, Disk, Network, Nic, Server
from intercloud.units import MIB, Bytes
from tests import needs
from tests.lab.labs import LabCase
from tests.lab.test_lab_disks import io

MARK = "since-test"


@needs.lab
class Seeds(LabCase):
    def setUp(self) -> None:
        self.cloud = LabCloud(self.spec.place("lab-a"))
        self.kept, self.servers = (self.cloud.place.path / name for name in ("seeds", "servers"))
        self.one, self.two = (self.server(name, number) for number, name in enumerate(("one", "two"), 1))
        self.cluster = Cluster("tests", (Network("net1", 7004, "10.63.0.0/24", 1400),), (self.one, self.two))
        self.addCleanup(shutil.rmtree, self.kept, ignore_errors=True)
        for name in ("one", "two"):
            self.addCleanup(self.cloud.delete_server, name)

    def server(self, name: str, number: int) -> Server:
        disks = (Disk("root", Bytes(32 * MIB)), Disk("data", Bytes(16 * MIB)))
        nic = Nic("net1", f"52:54:00:63:00:{number:02x}", f"10.63.0.{number}")
        return Server(name, 1, Bytes(64 * MIB), disks, (nic,), {"user_data": "password"})

    def make(self, server: Server) -> None:
        """Make a stopped server with something on its disks."""
        self.cloud.create_server(self.cluster, server)
        for path in self.disks(server.name):
            io(path, "write -P 5 1M 1M")

    def disks(self, name: str) -> tuple[Path, Path]:
        root, data = (self.servers / name / f"disk-{disk}.qcow2" for disk in ("root", "data"))
        return root, data

    def killed(self, delay: float, act: Callable[[], object]) -> None:
        """Let another process do something with the cloud, and kill it after so many seconds."""
        pid = os.fork()
        if not pid:
            try:
                act()
            finally:
                os._exit(0)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def test_only_disks_are_kept_without_what_earlier_moves_noted(self) -> None:
        self.make(self.one)
        nbd.add_bitmap(self.disks("one")[0], "since-before")
        self.cloud.start_server("one")
        self.cloud.delete_server("one", MARK)
        self.assertEqual(self.cloud.server_state("one"), ServerState.ABSENT)
        self.assertEqual(list(self.servers.iterdir()), [])
        parts = [f"disk-{disk}.{kind}" for disk in ("data", "root") for kind in ("mark", "qcow2")]
        self.assertEqual(sorted(path.name for path in (self.kept / "one").iterdir()), [*parts, "server.json"])
        self.assertNotIn("password", (self.kept / "one" / "server.json").read_text())
        self.assertEqual(nbd.bitmaps(self.kept / "one" / "disk-root.qcow2"), {})
        self.assertEqual(self.cloud.about().seeds, {"one": MARK})

    def test_it_comes_back_as_it_was(self) -> None:
        self.make(self.one)
        self.cloud.delete_server("one", MARK)
        self.cloud.create_server(self.cluster, self.one)
        self.assertEqual(self.cloud.cluster("tests").servers, (self.one,))
        for path in self.disks("one"):
            self.assertEqual(path.with_suffix(".mark").read_text(), MARK)
            io(path, "read -P 5 1M 1M")
        self.cloud.adopt_server("one")
        self.cloud.start_server("one")
        self.cloud.stop_server("one")
        for path in self.disks("one"):
            io(path, "read -P 5 1M 1M")
        self.assertEqual(list((self.servers / "one").glob("*.mark")), [], "from now on it is its own")
        self.assertEqual(list(self.kept.iterdir()), [])

    def test_one_that_is_not_whole_is_not_used(self) -> None:
        for lost in ("disk-data.mark", "disk-data.qcow2", "server.json"):
            with self.subTest(lost):
                self.make(self.one)
                self.cloud.delete_server("one", MARK)
                (self.kept / "one" / lost).unlink()
                self.assertEqual(self.cloud.about().seeds, {})
                self.cloud.create_server(self.cluster, self.one)
                io(self.disks("one")[0], "read -P 0 1M 1M")
                self.cloud.delete_server("one")

    def test_whoever_is_killed_leaves_a_server_or_a_seed(self) -> None:
        kept = 0
        for delay in (0.0, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25):
            with self.subTest(delay=delay):
                self.make(self.one)
                self.killed(delay, lambda: self.cloud.delete_server("one", MARK))
                if self.cloud.server_state("one") is ServerState.ABSENT:
                    kept += 1
                else:
                    self.assertEqual(self.cloud.about().seeds, {})
                    self.cloud.delete_server("one", MARK)
                self.assertEqual(self.cloud.about().seeds, {"one": MARK})
                self.killed(delay / 2, lambda: self.cloud.create_server(self.cluster, self.one))
                self.cloud.create_server(self.cluster, self.one)
                for path in self.disks("one"):
                    io(path, f"read -P {5 if path.with_suffix('.mark').exists() else 0} 1M 1M")
                self.cloud.delete_server("one")
                shutil.rmtree(self.kept / "one", ignore_errors=True)
        self.assertGreater(kept, 0, "it was always killed too early")

    def test_the_oldest_gives_way_when_there_is_no_room(self) -> None:
        for server in (self.one, self.two):
            self.make(server)
            self.cloud.delete_server(server.name, MARK)
            time.sleep(0.05)
        free = shutil.disk_usage(self.kept).free
        self.assertGreaterEqual(self.cloud.about().free or 0, free)
        seeds.make_room(self.cloud.place, free - 64 * MIB)  # others write, too
        self.assertEqual(set(self.cloud.about().seeds), {"one", "two"})
        seeds.make_room(self.cloud.place, 2**60, spared="one")
        self.assertEqual(set(self.cloud.about().seeds), {"one"})
        greedy = Server("three", 1, Bytes(64 * MIB), (Disk("root", Bytes(MIB), None, Bytes(2**60)),), ())
        self.addCleanup(self.cloud.delete_server, "three")
        self.cloud.create_server(self.cluster, greedy)
        self.assertEqual(self.cloud.about().seeds, {})


if __name__ == "__main__":
    unittest.main()

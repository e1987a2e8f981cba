"""Mirrors of real QEMUs through filters, onto disks that hold a seed or none: what crosses, arrives, and is left."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from intercloud.clouds.address import Address
from intercloud.clouds.port import Doors, Landing
from intercloud.clouds.run import command_line
from intercloud.errors import TransferError
from intercloud.model.digests import BLOCK
from intercloud.model.server import Disk
from intercloud.model.site import Placement
from intercloud.transfer import filters
from intercloud.transfer.channel import direct
from intercloud.transfer.mirror import Mirror, abandon
from intercloud.units import MIB, Bytes
from tests import needs
from tests.lab.test_digest import Machine

SIZE = 24 * MIB + 512
HELD = 12 * MIB
"""Data; the rest are zeros."""
PATIENCE = 20.0
DISK = Disk("root", Bytes(SIZE))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Computer(Machine):
    """One whose disk is plugged in, so that what is written goes through the mirror."""

    hardware = ("-M", "pc", "-device", "virtio-blk-pci,drive=disk,id=dev")
    block = "-d /machine/peripheral/dev/virtio-backend"


@needs.lab
class Mirrors(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        content = self.path / "content"
        content.write_bytes(random.Random(1).randbytes(HELD) + bytes(SIZE - HELD))
        self.source, self.target = Computer(self.path, "source"), Machine(self.path, "target")
        for machine in (self.source, self.target):
            words = ("qemu-img", "convert", "-O", "qcow2", str(content), str(machine.image))
            subprocess.run(words, check=True, timeout=20)
            machine.start()
            self.addCleanup(machine.kill)
        place = Placement("there", {})
        self.landing = Landing(self.target.monitor, "127.0.0.1", 0, free_port(), place, frozenset({"root"}))
        self.mirror = Mirror(self.source.qemu, self.target.qemu, (DISK,), self.source.monitor)

    def wait(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not what():
            self.assertLess(time.monotonic(), deadline, "it never came")
            time.sleep(0.02)

    def in_step(self) -> bool:
        sample = self.mirror.sample()
        return sample.ready and sample.done == sample.total

    def filters(self) -> list[int]:
        """Filters of this test that live: each has an end of its own, or that of the target, in its command line."""
        pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
        own = {f"unix:{self.path}/source.filter-root", f"tcp:127.0.0.1:{self.landing.nbd_port}"}
        return [pid for pid in pids if own & set(command_line(pid))]

    def end(self) -> None:
        self.mirror.end(self.source.qemu.mark())()

    def assert_equal(self) -> None:
        self.assertEqual(self.source.disk.digest(), self.target.disk.digest())

    def assert_nothing_left(self) -> None:
        self.wait(lambda: not self.filters())
        self.assertEqual([path.name for path in self.path.glob("*filter-*")], [])

    def test_only_what_differs_crosses(self) -> None:
        self.source.write(2 * BLOCK)
        self.source.write(5 * BLOCK + 512, 1024)
        self.source.write(HELD + 3 * BLOCK, BLOCK)
        self.source.write(SIZE - 512, 512)
        self.source.write(7 * BLOCK, BLOCK, 0)  # zeros where the seed has data
        self.target.write(9 * BLOCK)  # not what anybody believes the seed to be
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        sent = self.mirror.sample().sent
        self.assertTrue(5 * BLOCK < sent < 7 * BLOCK, sent)
        self.source.write(11 * BLOCK)  # while it is mirrored
        self.wait(self.in_step)
        self.assertTrue(sent + BLOCK <= self.mirror.sample().sent < 8 * BLOCK)
        self.assertEqual(len(self.filters()), 1)
        self.assertFalse(Path(f"{self.path}/source.filter-root").exists(), "nobody else can come")
        self.end()
        self.assert_equal()
        self.assert_nothing_left()

    def test_one_that_begins_anew_does_not_take_the_half_filled_disk_for_the_seed(self) -> None:
        self.source.write(2 * BLOCK)
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        abandon(self.source.qemu, self.source.monitor)
        self.assert_nothing_left()
        with (self.path / "content").open("rb") as file:
            file.seek(2 * BLOCK)
            (self.path / "block").write_bytes(file.read(BLOCK))
        self.source.io(f"write -s {self.path}/block {2 * BLOCK} {BLOCK}")  # what the seed once held there
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        self.assertTrue(BLOCK < self.mirror.sample().sent < 2 * BLOCK)
        self.end()
        self.assert_equal()

    def test_a_mirror_under_way_is_adopted(self) -> None:
        self.source.write(2 * BLOCK)
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.mirror = Mirror(self.source.qemu, self.target.qemu, (DISK,), self.source.monitor)
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        self.assertGreater(self.mirror.sample().sent, BLOCK)
        self.assertEqual(len(self.filters()), 1)
        self.end()
        self.assert_equal()
        self.assert_nothing_left()

    def test_without_a_seed_all_crosses_and_the_hypervisor_finds_the_filter_as_it_finds_others_beside_it(self) -> None:
        self.landing = Landing(self.target.monitor, "127.0.0.1", 0, free_port(), self.landing.placement)
        sockets = (Address(path=f"{self.path}/source.{door}") for door in ("mem", "nbd"))
        ports = (Address("127.0.0.1", free_port()) for _ in range(2))
        for doors, at_a_port in ((sockets, False), (ports, True)):
            with self.subTest(at_a_port=at_a_port):
                here = replace(self.source.monitor, doors=Doors(*doors, f"{self.path}/record"))
                self.source.write(2 * BLOCK)
                self.mirror = Mirror(self.source.qemu, self.target.qemu, (DISK,), here)
                self.mirror.start(self.landing, direct(self.landing).disks)
                self.wait(self.in_step)
                self.assertEqual(len(self.filters()), 1)
                self.assertEqual("tcp:127.0.0.1:0" in command_line(self.filters()[0]), at_a_port)
                self.assertGreaterEqual(self.mirror.sample().sent, HELD)
                self.source.write(3 * BLOCK)
                self.end()
                self.assert_equal()
                self.assert_nothing_left()

    def test_before_a_channel_there_is_none_for_that_has_its_own(self) -> None:
        self.landing = Landing(self.target.monitor, "127.0.0.1", 0, free_port(), self.landing.placement)
        way = direct(self.landing).disks
        here = replace(self.source.monitor, doors=Doors(Address(), way.source, ""))
        self.mirror = Mirror(self.source.qemu, self.target.qemu, (DISK,), here)
        self.mirror.start(self.landing, way)
        self.assertEqual(self.filters(), [])

    def test_where_nothing_can_run_beside_the_hypervisor_there_is_no_filter(self) -> None:
        self.landing = Landing(self.target.monitor, "127.0.0.1", 0, free_port(), self.landing.placement)
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        self.assertEqual(self.filters(), [])
        self.assertGreaterEqual(self.mirror.sample().sent, HELD)

    def test_a_filter_that_is_killed_ends_the_mirror_and_leaves_nothing(self) -> None:
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        for pid in self.filters():
            os.kill(pid, signal.SIGKILL)
        self.source.write(2 * BLOCK)
        with self.assertRaises(TransferError):
            self.wait(lambda: not self.mirror.sample())
        abandon(self.source.qemu, self.source.monitor)
        self.assert_nothing_left()

    def test_a_target_that_dies_ends_the_filter(self) -> None:
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        self.target.kill()
        self.wait(lambda: not self.filters())
        abandon(self.source.qemu, self.source.monitor)
        self.assert_nothing_left()

    def test_a_source_that_dies_ends_the_filter(self) -> None:
        self.mirror.start(self.landing, direct(self.landing).disks)
        self.wait(self.in_step)
        self.source.kill()
        self.wait(lambda: not self.filters())

    def test_a_filter_without_a_target_says_so(self) -> None:
        seed = self.target.disk.digest()
        with self.assertRaisesRegex(TransferError, "the filter before root does not start: .*refused"):
            filters.start(self.source.monitor, direct(self.landing).disks.source, "root", seed)
        self.assert_nothing_left()

    def test_a_filter_that_nobody_wants_ends(self) -> None:
        self.serve()
        path = f"{self.path}/source.filter-root"
        program = f"""
from intercloud.transfer import nbdfilter
from intercloud.clouds.address import Address
nbdfilter.LONELY = 1.0
nbdfilter.main(Address(path={path!r}), Address("127.0.0.1", {self.landing.nbd_port}), "root")
"""
        words = (sys.executable, "-c", program, f"unix:{path}")
        digests = bytes(-(-SIZE // BLOCK) * 32)
        subprocess.run(words, input=digests, check=True, timeout=PATIENCE, capture_output=True)
        self.assertEqual(len(self.filters()), 1)
        self.wait(lambda: not self.filters())
        self.assertFalse(Path(path).exists())

    def test_a_filter_that_another_replaces_before_anybody_came_ends(self) -> None:
        seed = self.target.disk.digest()
        self.serve()
        filters.start(self.source.monitor, direct(self.landing).disks.source, "root", seed)
        (first,) = self.filters()
        path = Path(filters.start(self.source.monitor, direct(self.landing).disks.source, "root", seed).path)
        self.wait(lambda: first not in self.filters())
        self.assertEqual(len(self.filters()), 1)
        self.assertTrue(path.exists(), "the second waits")
        filters.sweep(self.source.monitor, "root")
        self.assert_nothing_left()

    def test_a_client_of_another_kind_reads_flushes_trims_and_writes_as_without_it(self) -> None:
        seed = self.target.disk.digest()
        self.serve()
        path = filters.start(self.source.monitor, direct(self.landing).disks.source, "root", seed).path
        acts = ("read 0 4M", "write -P 5 1M 100k", "write -z 3M 200k", "discard 4M 64k", "flush", "write -f -P 6 0 64k")
        checks = ("read -P 5 1M 100k", "read -P 0 3M 200k", "read -P 6 0 64k", f"read -P 0 {HELD} 1M")
        words = [word for act in (*acts, *checks) for word in ("-c", act)]
        done = subprocess.run(
            ["qemu-io", "-f", "raw", *words, f"nbd+unix:///root?socket={path}"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, "verification failed" in done.stdout), (0, False), done.stdout + done.stderr)
        self.wait(lambda: not self.filters())

    def serve(self) -> None:
        """Let the target offer its disk as a mirror would."""
        address = {"host": "127.0.0.1", "port": str(self.landing.nbd_port)}
        self.target.qemu.execute("nbd-server-start", addr={"type": "inet", "data": address})
        self.target.qemu.execute("block-export-add", type="nbd", id="x", name="root", node_name="disk", writable=True)


if __name__ == "__main__":
    unittest.main()

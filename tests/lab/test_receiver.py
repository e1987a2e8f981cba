"""A receiver boots in a real machine and writes its patch to the disk beside it, and to no other."""

import hashlib
import random
import subprocess
import tempfile
import unittest
from pathlib import Path

from intercloud.clouds import nbd
from intercloud.clouds.lab.spec import LabSpec
from intercloud.clouds.openstack.held_back import held_back
from intercloud.clouds.openstack.receiver.build import FAILS, HOLDS, Patch, write_patch
from intercloud.clouds.port import Extent
from intercloud.units import MIB, Bytes
from tests import needs

CACHE = LabSpec().cache
OWNER = "server-1"
SIZE = 64 * MIB


@needs.guest
class Receiver(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.wanted = self.folder / "wanted.qcow2"
        self.disk = self.folder / "disk.raw"
        noise = random.Random(1)
        raw = self.folder / "wanted.raw"
        self.content = bytearray(noise.randbytes(2 * MIB) + bytes(SIZE - 4 * MIB) + noise.randbytes(2 * MIB))
        raw.write_bytes(self.content)
        self.qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, self.wanted)

    def qemu_img(self, *words: str | Path) -> None:
        subprocess.run(["qemu-img", *map(str, words)], check=True, timeout=60)

    def patch(self, *extents: tuple[int, int]) -> tuple[Path, Patch]:
        path = self.folder / "patch.qcow2"
        with nbd.serve(nbd.Stand("test", self.folder), nbd.disk_node(self.wanted)) as served:
            parts = [Extent(Bytes(start), Bytes(length)) for start, length in extents]
            return path, write_patch(CACHE, path, OWNER, served.local, parts)

    def boot(self, image: Path) -> str:
        """Boot a receiver beside the disk until it says what came of it; returns what it said."""
        words = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "128", "-display", "none"]
        words += ["-serial", "stdio", "-drive", f"if=virtio,format=qcow2,file={image}"]
        words += ["-drive", f"if=virtio,format=raw,file={self.disk}"]
        said = ""
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said += line
                if HOLDS in line or FAILS in line:
                    break
            process.kill()
        return said

    def hold_back(self, owner: str = OWNER) -> None:
        """Let the disk hold what a place's does while its server runs elsewhere."""
        held = self.folder / "held.qcow2"
        held_back(self.wanted, held, owner)
        self.qemu_img("convert", "-O", "raw", held, self.disk)

    def test_what_was_held_back_and_what_has_changed_is_written(self) -> None:
        self.hold_back()
        before = self.disk.read_bytes()
        self.assertNotEqual(before[:MIB], self.content[:MIB])
        self.assertEqual(before[MIB:-MIB], self.content[MIB:-MIB])
        changed = random.Random(2).randbytes(3 * MIB)
        raw = self.folder / "changed.raw"
        self.content[30 * MIB : 33 * MIB] = changed
        raw.write_bytes(self.content)
        self.qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, self.wanted)
        image, patch = self.patch((0, MIB), (30 * MIB, 3 * MIB), (63 * MIB, MIB))
        for _ in range(2):  # whoever does not know that it was written may write it again
            self.assertTrue(patch.arrived(self.boot(image)))
            self.assertEqual(hashlib.sha256(self.disk.read_bytes()).digest(), hashlib.sha256(self.content).digest())

    def test_a_machine_that_boots_what_is_left_is_switched_off(self) -> None:
        self.hold_back()
        words = ["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "64", "-display", "none"]
        subprocess.run([*words, "-drive", f"if=virtio,format=raw,file={self.disk}"], timeout=60, check=True)

    def test_a_disk_of_another_is_left_alone(self) -> None:
        self.hold_back("server-2")
        before = self.disk.read_bytes()
        image, patch = self.patch((0, MIB))
        said = self.boot(image)
        self.assertIn(FAILS, said)
        self.assertIs(patch.arrived(said), False)
        self.assertEqual(self.disk.read_bytes(), before)


if __name__ == "__main__":
    unittest.main()

"""The comparison of both sides' disks, between a file and the disk of a real QEMU that goes on writing."""

import subprocess
import tempfile
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intercloud.errors import MonitorError, TransferError
from intercloud.transfer import digest
from intercloud.transfer.qmp import Qmp
from intercloud.units import MIB
from tests import needs

SIZE = 4 * MIB
PATIENCE = 20.0


@contextmanager
def serving(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(PATIENCE)


@needs.lab
class Compare(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        content = bytes(range(256)) * (MIB // 256) + bytes(SIZE - MIB)
        for name in ("source", "target"):
            (self.path / name).write_bytes(content)
        self.offer = f"nbd+unix:///?socket={self.path}/source.sock"
        server = ("qemu-nbd", "-r", "-f", "raw", "-t", "-k", f"{self.path}/source.sock", f"{self.path}/source")
        self.enterContext(serving(*server))
        machine = ("qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-S")
        disk = f"driver=raw,node-name=disk,file.driver=file,file.filename={self.path}/target"
        monitor = ("-qmp", f"unix:{self.path}/qmp.sock,server=on,wait=off")
        self.enterContext(serving(*machine, "-blockdev", disk, *monitor))
        self.target = self.enterContext(self.connect())
        for promise in digest.track(self.target, {"disk": "disk"}):
            promise()

    def connect(self) -> Qmp:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return Qmp(f"{self.path}/qmp.sock", "target")
            except MonitorError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def compare(self) -> digest.Comparison:
        return digest.compare(self.offer, self.target, "disk", f"{self.path}/digest.sock")

    def test_equal_disks_are_equal(self) -> None:
        found = self.compare()
        self.assertEqual((found.blocks, found.written, found.different), (SIZE // digest.BLOCK, 0, 0))
        self.assertTrue(found.equal)

    def test_one_flipped_byte_is_found(self) -> None:
        for place in (0, 3 * MIB + 17, SIZE - 1):
            with self.subTest(place=place):
                self.flip(place)
                self.assertEqual(self.compare().different, 1)
                self.flip(place)
                for promise in digest.track(self.target, {"disk": "disk"}):
                    promise()

    def flip(self, place: int) -> None:
        with (self.path / "target").open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))

    def test_what_the_target_has_written_since_does_not_count(self) -> None:
        write = 'qemu-io disk "write -P 7 128k 64k"'
        self.target.execute("human-monitor-command", command_line=write)
        found = self.compare()
        self.assertEqual((found.written, found.different), (1, 0))

    def test_an_offer_that_is_gone_is_an_error(self) -> None:
        with self.assertRaisesRegex(TransferError, "for its digest failed"):
            digest.read_digests(f"nbd+unix:///?socket={self.path}/nobody.sock")


if __name__ == "__main__":
    unittest.main()

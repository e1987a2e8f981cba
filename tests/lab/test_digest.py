"""Both sides' disks digested and compared, with real QEMUs that go on writing, and byte flips behind their backs."""

import json
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from blake3 import blake3

from intercloud.clouds import nbd
from intercloud.clouds.block_digests import digest_all, digest_blocks, marked_blocks
from intercloud.clouds.port import Extent, Monitor, Offer
from intercloud.errors import Interrupted, MonitorError, TransferError
from intercloud.migration.proof import blocks, conclude, digest_sides
from intercloud.model.digests import BLOCK, Copies, differences, digest
from intercloud.model.report import DiskReport
from intercloud.transfer.digest import COPIED, LiveDisk, lasting, note_writes, since
from intercloud.transfer.qmp import Qmp
from intercloud.units import MIB, Bytes
from tests import needs

SIZE = 4 * MIB + 512
"""The last block is short."""
WRITTEN = 1 * MIB
PATIENCE = 20.0
SINCE = since("run")


class Machine:
    """A QEMU with one disk and no guest. hardware: what else it has; block: where a guest of it would write."""

    hardware: tuple[str, ...] = ("-M", "none")
    block = "disk"

    def __init__(self, folder: Path, name: str, layout: str = "qcow2") -> None:
        self.folder, self.name, self.layout = folder, name, layout
        self.image = folder / f"{name}.qcow2"

    def start(self) -> None:
        words = ("qemu-system-x86_64", *self.hardware, "-nodefaults", "-display", "none", "-S")
        disk = f"driver={self.layout},node-name=disk,file.driver=file,file.filename={self.image}"
        path = self.folder / f"{self.name}.sock"
        path.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*words, "-blockdev", disk, "-qmp", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.qemu = Qmp(str(path), self.name)
                break
            except MonitorError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.monitor = Monitor(str(path), {"root": "disk"})
        self.disk = LiveDisk.at(self.monitor, self.qemu, "root")

    def write(self, place: int, length: int = BLOCK, pattern: int = 7) -> None:
        self.io(f"write -P {pattern} {place} {length}")

    def io(self, act: str) -> None:
        command = f'qemu-io {self.block} "{act}"'
        self.qemu.execute("human-monitor-command", command_line=command)

    def flip(self, place: int) -> None:
        """Flip a bit of a byte of the disk in its file, so that QEMU does not know."""
        told = subprocess.run(
            ["qemu-img", "map", "-U", "--output=json", str(self.image)], capture_output=True, check=True, timeout=10
        )
        extents = [e for e in json.loads(told.stdout) if e["start"] <= place < e["start"] + e["length"]]
        with self.image.open("r+b") as file:
            file.seek(extents[0]["offset"] + place - extents[0]["start"])
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))

    def quit(self) -> None:
        self.qemu.execute("quit")
        self.end()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.wait(PATIENCE)
        self.qemu.close()


@needs.lab
class Disks(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name)
        content = self.path / "content"
        content.write_bytes(bytes(n % 251 for n in range(WRITTEN)) + bytes(SIZE - WRITTEN))
        self.source, self.target = Machine(self.path, "source"), Machine(self.path, "target")
        for machine in (self.source, self.target):
            words = ("qemu-img", "convert", "-O", "qcow2", str(content), str(machine.image))
            subprocess.run(words, check=True, timeout=20)
            machine.start()
            self.addCleanup(machine.kill)

    def compare(self) -> DiskReport:
        """Compare as a move does: the source was digested while it was copied."""
        before = self.before.replaced(self.source.disk.digest_blocks(self.source.disk.written(COPIED)))
        return conclude("root", before, self.target.disk.digest(), self.target.disk.written(SINCE))

    def begin(self) -> None:
        """Do what a move does up to its switchover."""
        self.source.disk.note_writes(COPIED)
        self.before = self.source.disk.digest()
        self.target.disk.forget(SINCE)
        for promise in note_writes(self.target.qemu, lasting(self.target.qemu, self.target.monitor), SINCE):
            promise()

    def test_a_disk_that_stores_no_bitmaps_is_noted_in_memory_only(self) -> None:
        raw = Machine(self.path, "raw", "raw")
        raw.image.write_bytes(bytes(SIZE))
        old = Machine(self.path, "old")
        words = ("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", str(old.image), str(SIZE))
        subprocess.run(words, check=True, timeout=20)
        self.assertEqual(lasting(self.source.qemu, self.source.monitor), {"disk": True})
        for machine in (raw, old):
            machine.start()
            self.addCleanup(machine.kill)
            self.assertEqual(nodes := lasting(machine.qemu, machine.monitor), {"disk": False})
            for promise in note_writes(machine.qemu, nodes, SINCE):
                promise()
            machine.write(5 * BLOCK)
            self.assertEqual(machine.disk.written(SINCE), {5})
            machine.quit()
            machine.start()
            self.assertFalse(machine.disk.notes(SINCE))

    def test_of_copies_that_are_known_only_what_changed_is_digested_again(self) -> None:
        def sides(**changed: tuple[Extent, ...]) -> tuple[Offer, Offer]:
            return Offer("", here, Bytes(SIZE), "later", changed), Offer("", there, Bytes(SIZE))

        with self.source.disk.offered() as here, self.target.disk.offered() as there:
            before, after = digest_sides(sides(), None)
            self.assertEqual(before, after)
            known = Copies("first", before, after)
            self.source.write(5 * BLOCK)
            self.target.write(5 * BLOCK)
            self.target.write(9 * BLOCK, pattern=3)  # nothing tells of it, and so nobody looks
            part = Extent(Bytes(5 * BLOCK + 512), Bytes(512))
            self.assertEqual(blocks([part]), {5})
            again = digest_sides(sides(first=(part,)), known)
            self.assertEqual([each.of(5) for each in again], [digest(bytes([7]) * BLOCK)] * 2)
            self.assertEqual(differences(*again), ())
            self.assertEqual(differences(*digest_sides(sides(other=(part,)), known)), (9,))

    def test_equal_disks_are_equal(self) -> None:
        self.begin()
        found = self.compare()
        self.assertEqual((found.blocks, found.written, found.equal), (65, 0, True))
        self.assertEqual((found.root_at_source, found.root_at_target), (self.before.root(), self.before.root()))

    def test_holes_read_as_what_they_are(self) -> None:
        whole = self.path / "whole"
        with self.source.disk.offered() as uri:
            subprocess.run(("qemu-img", "convert", "-O", "raw", uri, str(whole)), check=True, timeout=20)
        content = whole.read_bytes()
        plain = b"".join(blake3(content[start : start + BLOCK]).digest() for start in range(0, SIZE, BLOCK))
        self.assertEqual(self.source.disk.digest().digests, plain)

    def test_one_flipped_byte_is_found_at_the_target(self) -> None:
        self.begin()
        for place in (0, 3 * BLOCK + 17, WRITTEN - 1):
            with self.subTest(place=place):
                self.target.flip(place)
                found = self.compare()
                self.assertFalse(found.equal)
                self.assertNotEqual(found.root_at_source, found.root_at_target)
                after = self.target.disk.digest()
                self.assertEqual(differences(self.before, after), (place // BLOCK,))
                self.target.flip(place)
        self.assertTrue(self.compare().equal)

    def test_one_flipped_byte_is_found_at_the_source(self) -> None:
        self.source.flip(5 * BLOCK)
        self.begin()
        self.assertFalse(self.compare().equal)

    def test_what_the_source_writes_while_it_is_digested_is_digested_again(self) -> None:
        self.begin()
        self.source.write(2 * BLOCK)
        self.assertFalse(self.compare().equal)
        self.assertEqual(self.source.disk.written(COPIED), {2})
        self.begin()
        self.assertEqual(self.source.disk.written(COPIED), frozenset(), "begun anew")

    def test_what_the_target_has_written_since_does_not_count(self) -> None:
        self.begin()
        self.target.write(2 * BLOCK)
        self.target.write(SIZE - 512, 512)
        for _ in range(2):  # reading the bitmap does not end it
            found = self.compare()
            self.assertEqual((found.written, found.equal), (2, True))
        self.target.write(30 * BLOCK)
        self.assertEqual(self.target.disk.written(SINCE), {2, 30, 64})

    def test_the_targets_bitmap_survives_a_stop_and_goes_on(self) -> None:
        self.begin()
        self.target.write(2 * BLOCK)
        self.target.quit()
        self.assertEqual(nbd.bitmaps(self.target.image), {SINCE: True})
        self.assertEqual(self.read_stopped(), {2})
        self.target.start()
        self.assertTrue(self.target.disk.notes(SINCE))
        self.target.write(4 * BLOCK)
        self.assertEqual(self.compare().written, 2)

    def read_stopped(self) -> frozenset[int]:
        """Read the stored bitmap as a cloud offers it."""
        socket = self.path / "stopped.sock"
        node = nbd.disk_node(self.target.image)
        words = nbd.commands(f"addr.type=unix,addr.path={socket}", node, [f"bitmaps.0={SINCE}"])
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            uri = f"nbd+unix:///{nbd.CONTENT}?socket={socket}"
            self.assertEqual(digest_all(uri).size, SIZE)
            return marked_blocks(uri, SINCE)
        finally:
            process.kill()
            process.wait(PATIENCE)

    def test_a_bitmap_that_was_not_stored_is_not_trusted(self) -> None:
        self.begin()
        self.target.kill()
        self.assertEqual(nbd.bitmaps(self.target.image), {}, "never stored")
        self.target.start()
        self.assertFalse(self.target.disk.notes(SINCE))
        self.begin()
        self.target.quit()
        self.target.start()
        self.target.write(2 * BLOCK)
        self.target.kill()
        self.assertEqual(nbd.bitmaps(self.target.image), {SINCE: False}, "stored, and then in use")
        self.target.start()
        self.assertFalse(self.target.disk.notes(SINCE))

    def test_an_earlier_moves_bitmap_is_not_stored_at_the_switchover_but_goes_on(self) -> None:
        self.begin()
        self.target.write(2 * BLOCK)
        for _ in range(2):
            self.target.disk.hold()
        self.target.write(3 * BLOCK)
        self.assertFalse(any(each["persistent"] for each in self.target.disk._bitmaps()))
        for _ in range(2):
            self.target.disk.release()
        self.assertEqual(self.target.disk.written(SINCE), {2, 3})
        self.target.quit()
        self.assertEqual(nbd.bitmaps(self.target.image), {SINCE: True})

    def test_what_a_killed_program_left_behind_hinders_nobody(self) -> None:
        self.begin()
        left = self.source.disk.offered(COPIED + "-other")
        with self.assertRaises(MonitorError):
            left.__enter__()
        self.source.qemu.execute("nbd-server-start", addr={"type": "unix", "data": {"path": self.source.disk.place}})
        self.source.qemu.execute("block-export-add", type="nbd", id="digest", name="digest", node_name="disk")
        seen = {"node": "disk", "name": "since-seen", "granularity": BLOCK}
        self.source.qemu.execute("block-dirty-bitmap-add", **seen)
        self.begin()
        self.assertTrue(self.compare().equal)
        for _ in range(2):
            self.source.disk.withdraw()
            self.source.disk.forget(COPIED)
        self.assertEqual(self.source.disk._bitmaps(), [])

    def test_an_offer_that_is_gone_is_an_error(self) -> None:
        with self.assertRaisesRegex(TransferError, "cannot be read"):
            digest_blocks(f"nbd+unix:///?socket={self.path}/nobody.sock", (0,))
        with self.source.disk.offered() as uri, self.assertRaisesRegex(TransferError, "is there such an export"):
            digest_all(uri.replace("digest?", "other?"))

    def test_a_reading_can_be_ended(self) -> None:
        def stop() -> None:
            raise Interrupted("enough")

        with self.assertRaises(Interrupted):
            self.source.disk.digest(stop)
        self.assertTrue(self.source.disk.digest())


if __name__ == "__main__":
    unittest.main()

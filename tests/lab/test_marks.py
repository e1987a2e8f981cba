"""What a cloud that can only give whole snapshots tells of changes between them."""

import tempfile
import unittest
from collections.abc import Iterable
from pathlib import Path

from intercloud.clouds import nbd
from intercloud.clouds.blocks import blocks
from intercloud.clouds.openstack.marks import Marks
from intercloud.errors import TransferError
from intercloud.model.digests import BLOCK
from tests import needs

BLOCKS = 20


@needs.guest
class Snapshots(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.disk = self.folder / "disk.raw"
        self.disk.write_bytes(bytes(BLOCKS * BLOCK + 512))
        self.marks = Marks(self.folder / "marks" / "server" / "root")

    def write(self, *numbers: int, content: bytes = b"x") -> None:
        with self.disk.open("r+b") as disk:
            for number in numbers:
                disk.seek(number * BLOCK)
                disk.write(content)

    def snapshot(self, *, lasting: bool = True, fails: bool = False) -> tuple[str | None, dict[str, Iterable[int]]]:
        """Offer the disk as it is now; returns its mark, and the numbers of the blocks that changed since each."""
        with nbd.serve(nbd.Stand("test", self.folder), nbd.file_node(self.disk)) as served:
            try:
                with self.marks.offered(served.local, lasting=lasting) as (mark, changed):
                    if fails:
                        raise TransferError("the WAN is cut")
            except TransferError:
                pass
        return mark, {name: blocks(parts) for name, parts in changed.items()}

    def test_what_has_changed_since_each_that_a_peer_may_hold_is_told(self) -> None:
        first, told = self.snapshot()
        self.assertEqual(told, {})
        self.write(3, BLOCKS)
        second, told = self.snapshot()
        self.assertEqual(told, {first: {3, BLOCKS}})
        self.write(5)
        self.assertEqual(self.snapshot()[1], {second: {5}})

    def test_one_that_no_peer_holds_is_forgotten_and_those_before_are_not(self) -> None:
        first, _ = self.snapshot()
        self.write(3)
        self.snapshot(fails=True)
        self.write(4)
        self.assertEqual(self.snapshot()[1], {first: {3, 4}})

    def test_what_has_changed_and_is_again_as_it_was_is_still_told(self) -> None:
        first, _ = self.snapshot()
        self.write(3)
        self.snapshot(fails=True)  # a peer may have been given a part of it
        self.write(3, content=b"\0")
        self.assertEqual(self.snapshot()[1], {first: {3}})

    def test_a_server_that_writes_no_more_needs_no_mark(self) -> None:
        self.assertEqual(self.snapshot(lasting=False), (None, {}))
        first, _ = self.snapshot()
        self.write(7)
        for _ in range(2):
            self.assertEqual(self.snapshot(lasting=False), (None, {first: {7}}))

    def test_a_disk_of_another_size_has_no_past(self) -> None:
        self.snapshot()
        with self.disk.open("ab") as disk:
            disk.write(bytes(BLOCK))
        self.assertEqual(self.snapshot()[1], {})

    def test_what_is_forgotten_is_not_told(self) -> None:
        self.snapshot()
        for _ in range(2):
            self.marks.forget()
        self.assertEqual(self.snapshot()[1], {})


if __name__ == "__main__":
    unittest.main()

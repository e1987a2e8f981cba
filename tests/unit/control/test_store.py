"""The registry's file is whole whatever happens while it is written."""

import tempfile
import unittest
from pathlib import Path

from intercloud.control.registry import Registry
from intercloud.control.store import Store
from intercloud.errors import ControlError

from .world import WEB, registry


class TestStore(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.file, self.next = self.directory / "registry.json", self.directory / "registry.json.next"
        self.moved = registry().move({WEB.mac: "b"})
        store = Store(self.directory)
        store.note(registry(), 1)
        store.settle()

    def load(self) -> Registry:
        return Store(self.directory).load()

    def test_begins_empty(self) -> None:
        with tempfile.TemporaryDirectory() as empty:
            self.assertEqual(Store(Path(empty)).load(), Registry())

    def test_noted_is_found_after_the_process_was_killed(self) -> None:
        Store(self.directory).note(self.moved, 1)
        self.assertEqual(self.load(), self.moved)

    def test_late_writer_does_not_undo_a_newer_one(self) -> None:
        store = Store(self.directory)
        store.note(self.moved, 2)
        store.note(registry(), 1)
        self.assertEqual(self.load(), self.moved)

    def test_settled_leaves_one_file(self) -> None:
        store = Store(self.directory)
        store.note(self.moved, 1)
        store.settle()
        store.settle()
        self.assertEqual(self.load(), self.moved)
        self.assertEqual(list(self.directory.iterdir()), [self.file])

    def test_power_cut_while_noting_leaves_the_old_one(self) -> None:
        text = self.moved.to_json()
        for length in (0, 1, len(text) // 2):
            self.next.write_bytes(text[:length])
            self.assertEqual(self.load(), registry())

    def test_damaged_file_is_told(self) -> None:
        self.file.write_bytes(b"{")
        with self.assertRaisesRegex(ControlError, "registry.json is damaged"):
            self.load()

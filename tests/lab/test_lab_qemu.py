"""Pure parts of the lab: command lines, records, addresses."""

import tempfile
import unittest
from pathlib import Path

from intercloud.clouds.lab import demo
from intercloud.clouds.lab.qemu import MACHINE, Accelerator, Emulator, Files, command, version, versioned
from intercloud.clouds.lab.record import Record, load, save, without_servers
from intercloud.clouds.lab.spec import LabSpec
from intercloud.errors import CloudError, StoreFull
from intercloud.model.server import Image
from intercloud.units import Bytes

SHOP = demo.cluster(Image("sha256:00", "guest", Bytes(1)))


class Platform(unittest.TestCase):
    def test_a_version_is_found_in_what_qemu_says(self) -> None:
        self.assertEqual(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright"), "7.2.22")
        self.assertEqual(version("nonsense"), "of unknown version")

    def test_a_machine_type_is_the_one_of_this_version(self) -> None:
        said = "microvm  microvm (i386)\npc   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)\nq35  Q35\n"
        self.assertEqual(versioned(MACHINE, said), "pc-i440fx-7.2")
        self.assertEqual(versioned("q35", said), "q35")


class Command(unittest.TestCase):
    def test_source_and_target_are_equal_machines(self) -> None:
        source = command(SHOP.servers[0], Files(Path("/a/web")), ("tap0",), Emulator(Accelerator.TCG), incoming=False)
        target = command(SHOP.servers[0], Files(Path("/b/web")), ("tap0",), Emulator(Accelerator.TCG), incoming=True)
        self.assertEqual([word.replace("/a/", "/b/") for word in source] + ["-incoming", "defer", "-S"], target)

    def test_taps_carry_no_partial_checksums(self) -> None:
        words = command(SHOP.servers[0], Files(Path("/a/web")), ("tap0",), Emulator(Accelerator.KVM), incoming=False)
        self.assertIn("tap,id=net0,ifname=tap0,script=no,downscript=no,vnet_hdr=off", words)

    def test_memory_is_no_whole_number_where_tcg_would_forget_writes_to_it(self) -> None:
        for emulator, size in (
            (Emulator(Accelerator.TCG), "131072K"),
            (Emulator(Accelerator.TCG, forgets=True), "131080K"),
        ):
            words = command(SHOP.servers[0], Files(Path("/a/web")), ("tap0",), emulator, incoming=False)
            self.assertEqual(words[words.index("-m") + 1], size)

    def test_names_that_would_leave_the_directory(self) -> None:
        for name in ("..", "", "a b", "x" * 25):
            with self.assertRaises(CloudError):
                Files(Path("/a/web")).disk(name)

    def test_commas_in_paths(self) -> None:
        words = command(SHOP.servers[0], Files(Path("/a,b/web")), ("tap0",), Emulator(Accelerator.KVM), incoming=False)
        self.assertIn("driver=file,node-name=disk-root-file,filename=/a,,b/web/disk-root.qcow2,read-only=off", words)


class Records(unittest.TestCase):
    def test_a_record_is_read_as_it_was_written(self) -> None:
        record = Record(without_servers(SHOP), SHOP.servers[1], slot=3, incoming=True)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "server.json")
            self.assertIsNone(load(path))
            save(record, path)
            self.assertEqual(load(path), record)
        with self.assertRaisesRegex(StoreFull, "server.json cannot be written: No such file or directory"):
            save(record, path)
        self.assertEqual((record.memory_port, record.nbd_port), (30006, 30007))


class Names(unittest.TestCase):
    def test_underlay_addresses_are_mutual(self) -> None:
        a, b, office = (place.site() for place in LabSpec().places())
        self.assertEqual(a.underlay["lab-b"], tuple(reversed(b.underlay["lab-a"])))
        self.assertEqual(len({a.datapath_id, b.datapath_id, office.datapath_id}), 3)
        self.assertEqual({len(site.datapath_id) for site in (a, b, office)}, {16})

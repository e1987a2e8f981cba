"""Machines of two hypervisors, compared."""

import unittest
from typing import Any

from intercloud.transfer.layout import devices, differences

DISK: dict[str, Any] = {"slot": 3, "function": 0, "id": {"vendor": 0x1AF4, "device": 0x1001}, "qdev_id": "disk0"}
HOST: dict[str, Any] = {"slot": 0, "function": 0, "id": {"vendor": 0x8086, "device": 0x1237}, "qdev_id": ""}


class Layout(unittest.TestCase):
    def test_what_is_behind_a_bridge_is_on_its_bus(self) -> None:
        port = {**HOST, "slot": 2, "pci_bridge": {"bus": {"number": 1}, "devices": [DISK]}}
        empty = {**HOST, "slot": 4, "pci_bridge": {"bus": {"number": 2}}}
        self.assertEqual(
            dict(devices({"bus": 0, "devices": [HOST, port, empty]})),
            {
                "the PCI device 00:00.0": "8086:1237",
                "the PCI device 00:02.0": "8086:1237",
                "the PCI device 01:03.0": "1af4:1001 disk0",
                "the PCI device 00:04.0": "8086:1237",
            },
        )

    def test_each_difference_is_a_line(self) -> None:
        ours = {"the machine type": "pc-i440fx-7.2", "the memory": "1 bytes", "the PCI device 00:03.0": "a"}
        theirs = {"the machine type": "pc-i440fx-10.0", "the memory": "1 bytes"}
        self.assertEqual(
            differences(ours, theirs),
            [
                "the PCI device 00:03.0 is a here and missing there",
                "the machine type is pc-i440fx-7.2 here and pc-i440fx-10.0 there",
            ],
        )
        self.assertEqual(differences(ours, ours), [])


if __name__ == "__main__":
    unittest.main()

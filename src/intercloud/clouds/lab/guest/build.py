"""Builds the image that every guest of the lab starts from: the application of `tiers.c`, and a data partition."""

from pathlib import Path

from intercloud.clouds.bootable import END, System, tool, write_disk
from intercloud.units import MIB

_SOURCES = Path(__file__).parent
_POWER_OFF = b"#!/bin/sh\nsync\npoweroff -f\n"
_RESOLV = b"options timeout:1 attempts:1\n"
_SYSTEM = System(
    "guest",
    _SOURCES,
    "tiers",
    {
        "modules": ("virtio_pci", "virtio-rng", "virtio_net", "virtio_blk", "isofs", "button", "evdev"),
        "cdrom": ("ata_piix", "sr_mod"),  # loaded only when no virtio disk is the config drive
    },
    ("config", "data", "etc/acpi/PWRF"),
    {
        "etc/acpi/PWRF/00000080": (0o100755, _POWER_OFF),
        "etc/dhcp.sh": (0o100755, (_SOURCES / "dhcp.sh").read_bytes()),
        "etc/resolv.conf": (0o100644, _RESOLV),
    },
    # An emulated processor's counter runs at the host's rate, which another host need not have.
    "tsc=unstable random.trust_cpu=on",
)
_MKE2FS = (
    *("-q", "-F", "-t", "ext4", "-m", "0", "-J", "size=4", "-U", "6b1f6f1e-0000-4000-8000-000000000001", "-E"),
    "hash_seed=6b1f6f1e-0000-4000-8000-000000000002,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0",
)
"""Identities are fixed so that equal inputs give equal bytes; nothing is left for the guest to initialise later."""
_DATA = (END, 39 * MIB)
"""Start and size of the data partition, in bytes."""


def build_image(cache: Path) -> Path:
    """Build the image in this folder, or find it. Raises CloudError as System.build does."""
    return _SYSTEM.build(cache, _finish)


def _finish(work: Path) -> Path:
    tool(work, "mke2fs", *_MKE2FS, "data.img", f"{_DATA[1] // MIB}M")
    disk = write_disk(work, (*_DATA, 0x83, "data.img"))
    tool(work, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk.name, "guest.qcow2")
    return work / "guest.qcow2"

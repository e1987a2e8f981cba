"""Builds the bootable disk image that every guest of the lab starts from.

It holds Debian's cloud kernel, busybox and the application of `tiers.c`: an MBR, syslinux on a FAT partition, an empty
ext4 partition for data. Nothing is installed or mounted on this computer, and equal inputs give equal bytes.
"""

import gzip
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from intercloud.clouds.lab.store import locked
from intercloud.clouds.run import run
from intercloud.errors import CloudError
from intercloud.units import MIB

_SOURCES = Path(__file__).parent
_BUSYBOX = Path("/bin/busybox")
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_KERNEL = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio-rng", "virtio_net", "virtio_blk", "isofs", "button", "evdev")
_CDROM = ("ata_piix", "sr_mod")
"""Loaded only when no virtio disk is the config drive."""
_FOLDERS = ("bin", "config", "data", "dev", "etc/acpi/PWRF", "modules", "proc", "root", "run", "sys")
_POWER_OFF = b"#!/bin/sh\nsync\npoweroff -f\n"
_RESOLV = b"options timeout:1 attempts:1\n"
_SYSLINUX = """DEFAULT guest
PROMPT 0
LABEL guest
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0,115200 quiet panic=5 ipv6.disable=1 mitigations=off tsc=unstable random.trust_cpu=on
"""
"""tsc=unstable: an emulated processor's counter runs at the host's rate, which another host need not have."""
_ENVIRONMENT = ("LC_ALL=C", "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "E2FSPROGS_FAKE_TIME=1", "SOURCE_DATE_EPOCH=1")
_MKE2FS = (
    *("-q", "-F", "-t", "ext4", "-m", "0", "-J", "size=4", "-U", "6b1f6f1e-0000-4000-8000-000000000001", "-E"),
    "hash_seed=6b1f6f1e-0000-4000-8000-000000000002,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0",
)
"""Identities are fixed so that equal inputs give equal bytes; nothing is left for the guest to initialise later."""
_SECTOR = 512
_BOOT = (1 * MIB, 24 * MIB)
_DATA = (25 * MIB, 39 * MIB)
"""Start and size of the two partitions, in bytes."""


def build_image(cache: Path) -> Path:
    """Build the image in this folder, or find the one built before from the same inputs.

    Safe for several processes at once, and after a kill at any moment: an image is there whole or not at all.
    The kernel package is kept in the cache too; remove it to build with a newer one.
    Raises CloudError when a tool is missing or fails.
    """
    cache = cache.resolve()
    with locked(cache / "guest.lock"):
        kernel = _kernel_package(cache)
        image = cache / f"guest-{_content_key(kernel)}.qcow2"
        if not image.exists():
            with _work_folder(cache) as work:
                _build(kernel, work).rename(image)
    return image


def load_order(modules_dep: str, wanted: Sequence[str]) -> list[str]:
    """Paths of these modules and of all that they need, each after what it needs, from the text of modules.dep."""
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    by_name = {Path(path).stem: path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name not in by_name:
            raise CloudError(f"guest image: the kernel has no module {name}")
        path = by_name[name]
        order += [module for module in (*reversed(needs[path]), path) if module not in order]
    return order


@contextmanager
def _work_folder(cache: Path) -> Iterator[Path]:
    """Make an empty folder, gone at the end.

    The caller holds the lock, so others that are there were left by killed processes, whose tools may still write.
    """
    for left in cache.glob("guest-build.*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="guest-build.") as work:
        yield Path(work)


def _run(*words: str | Path, folder: Path) -> str:
    return run(["env", "-C", str(folder), *_ENVIRONMENT, *map(str, words)], timeout=300)


def _kernel_package(cache: Path) -> Path:
    for kept in cache.glob("linux-image-*.deb"):
        return kept
    with _work_folder(cache) as work:
        depends = _run("apt-cache", "depends", _KERNEL, folder=work)
        names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
        if not names:
            raise CloudError(f"guest image: apt knows no {_KERNEL}; run apt-get update")
        _run("apt-get", "download", "-q", names[0], folder=work)
        package = next(work.glob("*.deb"))
        return package.rename(cache / package.name)


def _content_key(kernel: Path) -> str:
    """Digest of all that goes in; the kernel package counts by its name, which holds its version."""
    key = hashlib.sha256(kernel.name.encode())
    for path in (*sorted(_SOURCES.glob("*.[ch]")), *sorted(_SOURCES.glob("*.sh")), Path(__file__), _BUSYBOX, _MBR):
        try:
            key.update(hashlib.sha256(path.read_bytes()).digest())
        except FileNotFoundError:
            raise CloudError(f"guest image: {path} is not installed") from None
    return key.hexdigest()[:16]


def _build(kernel: Path, work: Path) -> Path:
    _run("dpkg", "-x", kernel, "kernel", folder=work)
    _run("musl-gcc", "-static", "-O2", "-s", "-o", "tiers", *sorted(_SOURCES.glob("*.c")), folder=work)
    (vmlinuz,) = (work / "kernel/boot").glob("vmlinuz-*")
    vmlinuz.rename(work / "vmlinuz")
    (work / "initrd.gz").write_bytes(gzip.compress(_archive(_initramfs(work)), 6, mtime=0))
    (work / "syslinux.cfg").write_text(_SYSLINUX)
    (work / "boot.img").touch()
    os.truncate(work / "boot.img", _BOOT[1])
    hidden = str(_BOOT[0] // _SECTOR)
    _run("mkfs.vfat", "--invariant", "-F", "16", "-h", hidden, "boot.img", folder=work)
    for name in ("vmlinuz", "initrd.gz", "syslinux.cfg"):
        os.utime(work / name, (0, 0))
        _run("mcopy", "-m", "-i", "boot.img", name, "::", folder=work)
    _run("mke2fs", *_MKE2FS, "data.img", f"{_DATA[1] // MIB}M", folder=work)
    _write_disk(work)
    _run("syslinux", "--install", "--offset", str(_BOOT[0]), "disk.raw", folder=work)
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "disk.raw", "guest.qcow2", folder=work)
    return work / "guest.qcow2"


def _initramfs(work: Path) -> dict[str, tuple[int, bytes]]:
    """Path → (mode, content) of everything in the initial file system."""
    busybox = _BUSYBOX.read_bytes()
    if b"/ld-linux" in busybox:
        raise CloudError(f"guest image: {_BUSYBOX} needs libraries; install the package busybox-static")
    (modules,) = (work / "kernel/lib/modules").iterdir()
    _run("depmod", "-b", work / "kernel", modules.name, folder=work)
    order = load_order((modules / "modules.dep").read_text(), (*_MODULES, *_CDROM))
    first = len(load_order((modules / "modules.dep").read_text(), _MODULES))
    files = {folder: (0o40755, b"") for path in _FOLDERS for folder in (*map(str, reversed(Path(path).parents)), path)}
    del files["."]
    files |= {f"modules/{Path(path).name}": (0o100644, (modules / path).read_bytes()) for path in order}
    return files | {
        "modules/modules": (0o100644, _names(order[:first])),
        "modules/cdrom": (0o100644, _names(order[first:])),
        "bin/busybox": (0o100755, busybox),
        "bin/sh": (0o120777, b"busybox"),
        "bin/tiers": (0o100755, (work / "tiers").read_bytes()),
        "etc/acpi/PWRF/00000080": (0o100755, _POWER_OFF),
        "etc/dhcp.sh": (0o100755, (_SOURCES / "dhcp.sh").read_bytes()),
        "etc/resolv.conf": (0o100644, _RESOLV),
        "init": (0o100755, (_SOURCES / "init.sh").read_bytes()),
    }


def _names(order: Sequence[str]) -> bytes:
    return "".join(f"{Path(path).name}\n" for path in order).encode()


def _archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Pack files as the kernel unpacks them (cpio 'newc': Documentation/driver-api/early-userspace/buffer-format)."""
    return b"".join(_entries([*files.items(), ("TRAILER!!!", (0, b""))]))


def _entries(files: Iterable[tuple[str, tuple[int, bytes]]]) -> Iterator[bytes]:
    for number, (name, (mode, content)) in enumerate(files):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = ("070701" + "".join(f"{field:08x}" for field in fields) + name + "\0").encode()
        yield from (head, bytes(-len(head) % 4), content, bytes(-len(content) % 4))


def _write_disk(work: Path) -> None:
    """Put the boot code, the partition table and both partitions into one raw disk."""
    table = b""
    for start, size, kind, active in ((*_BOOT, 0x0E, 0x80), (*_DATA, 0x83, 0)):
        table += struct.pack("<B3xB3xII", active, kind, start // _SECTOR, size // _SECTOR)
    with (work / "disk.raw").open("wb") as disk:
        disk.write(_MBR.read_bytes().ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa")
        for (start, _), name in ((_BOOT, "boot.img"), (_DATA, "data.img")):
            disk.seek(start)
            disk.write((work / name).read_bytes())

"""Builds small systems that boot from a disk: Debian's cloud kernel, busybox, and a program of ours.

On the disk: an MBR, syslinux on a FAT partition, and whatever its maker lays behind it. Nothing is installed or mounted
on this computer, and equal inputs give equal bytes.
"""

import gzip
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from intercloud.clouds.locked import locked
from intercloud.clouds.run import run
from intercloud.errors import CloudError
from intercloud.units import MIB

SECTOR = 512
BOOT = (1 * MIB, 24 * MIB)
"""Start and size of the partition it boots from, in bytes."""
END = sum(BOOT)
"""Where what its maker lays behind it can begin."""
BUSYBOX = Path("/bin/busybox")
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
KERNEL = "linux-image-cloud-amd64"
ENVIRONMENT = ("LC_ALL=C", "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "E2FSPROGS_FAKE_TIME=1", "SOURCE_DATE_EPOCH=1")
SYSLINUX = """DEFAULT system
PROMPT 0
LABEL system
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0,115200 quiet panic=5 ipv6.disable=1 mitigations=off {append}
"""
Files = Mapping[str, tuple[int, bytes]]
"""Path → mode and content of a file, a folder or a symbolic link."""


@dataclass(frozen=True)
class System:
    """What boots. name: of the image; sources: folder of init.sh and of the C that becomes one static program.

    program: its name in /bin. modules: name of a list in /modules → kernel modules; a list holds what those of the
    lists before it do not need already. folders: empty ones; files: others. append: to the kernel's command line.
    """

    name: str
    sources: Path
    program: str
    modules: Mapping[str, Sequence[str]]
    folders: Sequence[str] = ()
    files: Files = field(default_factory=dict)
    append: str = ""

    def build(self, cache: Path, finish: Callable[[Path], Path]) -> Path:
        """Build it in this folder, or find what was built before from the same inputs.

        finish: makes the image's file in a folder that holds boot.img, the partition it boots from; returns its path.
        Safe for several processes at once, and after a kill at any moment: an image is there whole or not at all.
        The kernel package is kept in the cache too; remove it to build with a newer one.
        Raises CloudError when a tool is missing or fails.
        """
        cache = cache.resolve()
        with locked(cache / "building.lock"):
            kernel = kernel_package(cache)
            found = list(cache.glob(f"{self.name}-{self._key(kernel)}.*"))
            if found:
                return found[0]
            with work_folder(cache, self.name) as work:
                self._make_boot_partition(kernel, work)
                made = finish(work)
                return made.rename(cache / f"{self.name}-{self._key(kernel)}{made.suffix}")

    def _key(self, kernel: Path) -> str:
        """Digest of all that goes in; the kernel package counts by its name, which holds its version."""
        key = hashlib.sha256(kernel.name.encode())
        ours = [path for kind in ("[ch]", "sh", "py") for path in sorted(self.sources.glob(f"*.{kind}"))]
        for path in (*ours, Path(__file__), BUSYBOX, MBR):
            try:
                key.update(hashlib.sha256(path.read_bytes()).digest())
            except FileNotFoundError:
                raise CloudError(f"{self.name} image: {path} is not installed") from None
        return key.hexdigest()[:16]

    def _make_boot_partition(self, kernel: Path, work: Path) -> None:
        tool(work, "dpkg", "-x", kernel, "kernel")
        tool(work, "musl-gcc", "-static", "-O2", "-s", "-o", self.program, *sorted(self.sources.glob("*.c")))
        (vmlinuz,) = (work / "kernel/boot").glob("vmlinuz-*")
        vmlinuz.rename(work / "vmlinuz")
        (work / "initrd.gz").write_bytes(gzip.compress(archive(self._initramfs(work)), 6, mtime=0))
        (work / "syslinux.cfg").write_text(SYSLINUX.format(append=self.append))
        (work / "boot.img").touch()
        os.truncate(work / "boot.img", BOOT[1])
        tool(work, "mkfs.vfat", "--invariant", "-F", "16", "-h", str(BOOT[0] // SECTOR), "boot.img")
        for name in ("vmlinuz", "initrd.gz", "syslinux.cfg"):
            os.utime(work / name, (0, 0))
            tool(work, "mcopy", "-m", "-i", "boot.img", name, "::")

    def _initramfs(self, work: Path) -> Files:
        busybox = BUSYBOX.read_bytes()
        if b"/ld-linux" in busybox:
            raise CloudError(f"{self.name} image: {BUSYBOX} needs libraries; install the package busybox-static")
        (modules,) = (work / "kernel/lib/modules").iterdir()
        tool(work, "depmod", "-b", work / "kernel", modules.name)
        dependencies = (modules / "modules.dep").read_text()
        lists: dict[str, list[str]] = {}
        done: list[str] = []
        for name, wanted in self.modules.items():
            lists[name] = [path for path in load_order(dependencies, wanted) if path not in done]
            done += lists[name]
        folders = ("bin", "dev", "etc", "modules", "proc", "root", "run", "sys", *self.folders)
        files: dict[str, tuple[int, bytes]] = {
            folder: (0o40755, b"") for path in folders for folder in (*map(str, reversed(Path(path).parents)), path)
        }
        del files["."]
        files |= {f"modules/{Path(path).name}": (0o100644, (modules / path).read_bytes()) for path in done}
        files |= {f"modules/{name}": (0o100644, _names(order)) for name, order in lists.items()}
        return files | {
            "bin/busybox": (0o100755, busybox),
            "bin/sh": (0o120777, b"busybox"),
            f"bin/{self.program}": (0o100755, (work / self.program).read_bytes()),
            "init": (0o100755, (self.sources / "init.sh").read_bytes()),
            **self.files,
        }


def write_disk(work: Path, *more: tuple[int, int, int, str]) -> Path:
    """Put boot code, partition table and partitions into disk.raw, and let it boot; returns its path.

    more: of each further partition its start and size (bytes), its type, and the name of its content in this folder.
    """
    partitions = ((*BOOT, 0x0E, "boot.img"), *more)
    table = b"".join(
        struct.pack("<B3xB3xII", 0x80 if start == BOOT[0] else 0, kind, start // SECTOR, size // SECTOR)
        for start, size, kind, _ in partitions
    )
    with (work / "disk.raw").open("wb") as disk:
        disk.write(MBR.read_bytes().ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa")
        for start, _, _, name in partitions:
            disk.seek(start)
            disk.write((work / name).read_bytes())
    tool(work, "syslinux", "--install", "--offset", str(BOOT[0]), "disk.raw")
    return work / "disk.raw"


def tool(folder: Path, *words: str | Path) -> str:
    """Run a program in a folder, so that what it writes does not depend on this computer."""
    return run(["env", "-C", str(folder), *ENVIRONMENT, *map(str, words)], timeout=300)


@contextmanager
def work_folder(cache: Path, name: str) -> Iterator[Path]:
    """Make an empty folder, gone at the end.

    The caller holds the lock, so others that are there were left by killed processes, whose tools may still write.
    """
    for left in cache.glob(f"{name}-build.*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-build.") as work:
        yield Path(work)


def kernel_package(cache: Path) -> Path:
    """Find the kernel's package in the cache, or fetch it from Debian. The caller holds the lock."""
    for kept in cache.glob("linux-image-*.deb"):
        return kept
    with work_folder(cache, "kernel") as work:
        depends = tool(work, "apt-cache", "depends", KERNEL)
        names = [line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line]
        if not names:
            raise CloudError(f"apt knows no {KERNEL}; run apt-get update")
        tool(work, "apt-get", "download", "-q", names[0])
        package = next(work.glob("*.deb"))
        return package.rename(cache / package.name)


def load_order(modules_dep: str, wanted: Sequence[str]) -> list[str]:
    """Paths of these modules and of all that they need, each after what it needs, from the text of modules.dep."""
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    by_name = {Path(path).stem: path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name not in by_name:
            raise CloudError(f"the kernel has no module {name}")
        path = by_name[name]
        order += [module for module in (*reversed(needs[path]), path) if module not in order]
    return order


def _names(order: Iterable[str]) -> bytes:
    return "".join(f"{Path(path).name}\n" for path in order).encode()


def archive(files: Files) -> bytes:
    """Pack files as the kernel unpacks them (cpio 'newc': Documentation/driver-api/early-userspace/buffer-format)."""
    return b"".join(_entries([*files.items(), ("TRAILER!!!", (0, b""))]))


def _entries(files: Iterable[tuple[str, tuple[int, bytes]]]) -> Iterator[bytes]:
    for number, (name, (mode, content)) in enumerate(files):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = ("070701" + "".join(f"{each:08x}" for each in fields) + name + "\0").encode()
        yield from (head, bytes(-len(head) % 4), content, bytes(-len(content) % 4))

"""A QEMU whose emulated processors lose no writes while memory is copied, where this computer's does.

Before 9.0 a live move under TCG damages the memory of a busy guest whose size is a whole number of 256 KiB, as
every flavor's is (docs/decisions/0002-tcg-dirty-tracking.md). The newer one of Debian's backports is unpacked into the
cache, and the clouds' computers see it in the place of this computer's, which is not changed.
"""

import platform
import shutil
from pathlib import Path

from intercloud.clouds.lab.accel import accelerator
from intercloud.clouds.lab.qemu import Accelerator, version
from intercloud.clouds.locked import locked
from intercloud.clouds.run import run
from testbed.layout import LAB

PROGRAM = "usr/bin/qemu-system-x86_64"
PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data")
RIGHT = (9, 0)
"""The first version that marks every written page."""


def needed() -> bool:
    """Whether this computer's QEMU would damage guests."""
    if accelerator(LAB.cache) is Accelerator.KVM:
        return False
    major, minor = version(run([f"/{PROGRAM}", "--version"])).split(".")[:2]
    return (int(major), int(minor)) < RIGHT


def fetch() -> Path:
    """Return the folder of an unpacked newer QEMU, which is fetched at the first time. Raises CloudError."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    folder = LAB.cache / f"qemu-{release}-backports"
    with locked(LAB.cache / "qemu.lock"):
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _unpack(release, part)
            part.rename(folder)
    return folder


def _unpack(release: str, folder: Path) -> None:
    """Let apt fetch and check the packages with lists of its own, and unpack them; nothing is installed."""
    lists, packages = folder / "lists", folder / "packages"
    for path in (lists / "partial", packages / "partial"):
        path.mkdir(parents=True)
    source = folder / "sources.list"
    source.write_text(f"deb http://deb.debian.org/debian {release}-backports main\n")
    apt = ["apt-get", "-qq"]
    for name, value in {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
        "Dir::Cache::Archives": packages,
        "APT::Sandbox::User": "root",
    }.items():
        apt += ["-o", f"{name}={value}"]
    run([*apt, "update"], timeout=120)
    run([*apt, "install", "--download-only", "-y", "--no-install-recommends", *PACKAGES], timeout=300)
    for package in sorted(packages.glob("*.deb")):
        run(["dpkg", "-x", str(package), str(folder)], timeout=60)
    for path in (lists, packages):
        shutil.rmtree(path)


def places(folder: Path) -> dict[Path, Path]:
    """What of it stands in the place of what: seen → unpacked."""
    (modules,) = (folder / "usr/lib").glob("*/qemu")
    seen = (folder / PROGRAM, folder / "usr/share/qemu", modules)
    return {Path("/", path.relative_to(folder)): path for path in seen}

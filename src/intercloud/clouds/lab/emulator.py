"""The QEMU that runs guests: this computer's, or under TCG a newer one of Debian's backports, if that was fetched.

QEMU 7.2 loses pages of a busy guest while it copies its memory under TCG (docs/decisions/0002, 0008). The newer one is
unpacked into the cache; nothing is installed.
"""

import functools
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

from intercloud.clouds.lab.accel import accelerator
from intercloud.clouds.lab.qemu import PROGRAM, Accelerator, Emulator, version
from intercloud.clouds.locked import locked
from intercloud.clouds.run import run
from intercloud.errors import CloudError

PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data")
RIGHT = (9, 0)
"""The first version that marks every written page where a guest's memory is a whole number of 256 KiB."""
FIRMWARE = "/usr/share/seabios"


def emulator(cache: Path) -> Emulator:
    """Find what runs guests here."""
    kind, newer = accelerator(cache), folder(cache)
    if not needed(cache):
        return Emulator(kind)
    if not newer.exists():
        return Emulator(kind, forgets=True)
    data = ("-L", str(newer / "usr/share/qemu"), "-L", FIRMWARE)
    return Emulator(kind, ("env", f"QEMU_MODULE_DIR={_modules(newer)}", str(newer / "usr/bin" / PROGRAM), *data))


def folder(cache: Path) -> Path:
    """Where the newer one is, or would be."""
    return cache / f"qemu-{platform.freedesktop_os_release().get('VERSION_CODENAME', 'unknown')}-backports"


def needed(cache: Path) -> bool:
    """Whether this computer's own would damage guests."""
    return accelerator(cache) is Accelerator.TCG and _own_version() < RIGHT


@functools.cache
def _own_version() -> tuple[int, int]:
    major, minor = version(run([PROGRAM, "--version"])).split(".")[:2]
    return int(major), int(minor)


def _modules(newer: Path) -> Path:
    (found,) = (newer / "usr/lib").glob("*/qemu")
    return found


def places(cache: Path) -> dict[Path, Path]:
    """What libvirt shall see → the newer one's file or folder instead; nothing where this computer's own is well."""
    if not needed(cache):
        return {}
    newer = fetch(cache)
    seen = (newer / "usr/bin" / PROGRAM, newer / "usr/share/qemu", _modules(newer))
    return {Path("/", path.relative_to(newer)): path for path in seen}


def prepare(cache: Path, tell: Callable[[str], object]) -> None:
    """Fetch the newer one where it is needed and can be had; else this computer's own runs the guests."""
    if needed(cache) and not folder(cache).exists():
        tell("QEMU: a newer one of Debian's backports, fetched once, then kept in the cache")
        try:
            fetch(cache)
        except CloudError as error:
            tell(f"QEMU: none can be had, so without KVM busy guests may be damaged when they move live: {error}")


def fetch(cache: Path) -> Path:
    """Return the folder of the newer one, which is fetched at the first time. Raises CloudError."""
    found = folder(cache)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "qemu.lock"):
        if not found.exists():
            part = found.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _unpack(part)
            part.rename(found)
    return found


def _unpack(target: Path) -> None:
    """Let apt fetch and check the packages with lists of its own, and unpack them; nothing is installed."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    lists, packages = target / "lists", target / "packages"
    for path in (lists / "partial", packages / "partial"):
        path.mkdir(parents=True)
    source = target / "sources.list"
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
        run(["dpkg", "-x", str(package), str(target)], timeout=60)
    for path in (lists, packages):
        shutil.rmtree(path)

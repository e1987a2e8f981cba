"""The newer QEMU in the place of this computer's, where that damages guests whose memory is a whole number of MiB."""

from pathlib import Path

from intercloud.clouds.lab import emulator
from intercloud.clouds.lab.qemu import PROGRAM
from testbed.layout import LAB


def places() -> dict[Path, Path]:
    """What a cloud's computer shall see → instead of it; nothing where this computer's QEMU is well."""
    if not emulator.needed(LAB.cache):
        return {}
    folder = emulator.fetch(LAB.cache)
    (modules,) = (folder / "usr/lib").glob("*/qemu")
    seen = (folder / "usr/bin" / PROGRAM, folder / "usr/share/qemu", modules)
    return {Path("/", path.relative_to(folder)): path for path in seen}

"""Choose between KVM and TCG by booting a guest: /dev/kvm may exist and still not run Linux."""

import functools
import os
import subprocess
import tempfile
import time
from pathlib import Path

from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.guest.drive import config_drive
from intercloud.clouds.lab.qemu import CPU, MACHINE, PROGRAM, Accelerator
from intercloud.clouds.locked import locked
from intercloud.clouds.run import run

KVM = Path("/dev/kvm")
PATIENCE = 6.0
"""Seconds that a guest gets to come up under KVM, which takes it less than two."""
SIGN = b"GUEST-UP"


@functools.cache
def accelerator(cache: Path) -> Accelerator:
    """Find what runs guests here, by one boot that is remembered until the kernel or QEMU changes."""
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Accelerator.TCG
    with locked(cache / "accelerator.lock"):
        key = f"{os.uname().release} {run([PROGRAM, '--version']).splitlines()[0]}"
        known = cache / "accelerator"
        if known.exists():
            found, _, of = known.read_text().partition(" ")
            if of == key:
                return Accelerator(found)
        choice = Accelerator.KVM if boots_with_kvm(cache) else Accelerator.TCG
        known.write_text(f"{choice} {key}")
    return choice


def boots_with_kvm(cache: Path) -> bool:
    """Boot the guest image once, without network and without keeping what it writes."""
    with tempfile.TemporaryDirectory(dir=cache) as work:
        serial, config = Path(work, "serial.log"), Path(work, "config.img")
        config_drive({"name": "probe"}, "", config)
        words = [PROGRAM, "-no-user-config", "-nodefaults", "-display", "none", "-snapshot"]
        words += ["-machine", MACHINE, "-cpu", CPU, "-accel", "kvm", "-m", "128M", "-serial", f"file:{serial}"]
        words += ["-drive", f"if=virtio,format=qcow2,file={build_image(cache)}"]
        words += ["-drive", f"if=virtio,format=raw,readonly=on,file={config}"]
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as qemu:
            end = time.monotonic() + PATIENCE
            try:
                while qemu.poll() is None and time.monotonic() < end:
                    if serial.exists() and SIGN in serial.read_bytes():
                        return True
                    time.sleep(0.05)
            finally:
                qemu.kill()
    return False

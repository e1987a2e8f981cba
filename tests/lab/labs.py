"""Labs that live as long as one test or one class of tests."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar

from intercloud.clouds.lab import emulator, lab, qmp
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec, SiteSpec, WanSpec
from intercloud.model.site import Quota
from intercloud.units import MIB, Bytes

CACHE = Path("/var/cache/intercloud")
SMALL = Quota(vcpus=4, memory=Bytes(512 * MIB), disk=Bytes(1024 * MIB), image_store=Bytes(48 * MIB))
SITES = (*(SiteSpec(name, quota=SMALL, patience=2.0) for name in ("lab-a", "lab-b")), SiteSpec("office", cloud=False))
_NUMBERS = count()


def small_spec(root: Path, wan: WanSpec | None = None) -> LabSpec:
    """A lab with small quotas and a name that no other lab on this machine has."""
    return LabSpec(f"t{os.getpid()}n{next(_NUMBERS)}", root, CACHE, SITES, wan or WanSpec())


@contextmanager
def running_lab(wan: WanSpec | None = None) -> Iterator[LabSpec]:
    root = Path(tempfile.mkdtemp(prefix="ic-", dir="/var/tmp"))
    spec = small_spec(root, wan)
    try:
        emulator.prepare(spec.cache, print)
        lab.up(spec)
        yield spec
    finally:
        lab.down(spec)
        shutil.rmtree(root)


class LabCase(unittest.TestCase):
    """Tests that share one lab."""

    spec: ClassVar[LabSpec]

    @classmethod
    def setUpClass(cls) -> None:
        cls.spec = cls.enterClassContext(running_lab())


def guest_write(cloud: LabCloud, server: str, offset: int, size: int, pattern: int) -> None:
    """Write to the root disk of a running server where its guest would: through its device."""
    with qmp.session(cloud.guest(server).files.monitor) as execute:
        device = "/machine/peripheral/dev-disk-root/virtio-backend"
        write = f'qemu-io -d {device} "write -P {pattern} {offset} {size}"'
        said = execute("human-monitor-command", command_line=write)
    assert "rror" not in said, said


def world(spec: LabSpec) -> dict[str, list[str]]:
    """Everything on this machine that bears the lab's name, and every device and mount there is at all."""
    marks = (f"ic-{spec.name}-", f"{spec.path}")
    processes = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(mark in words for mark in marks):
            processes.append(words)
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True, timeout=10).stdout)
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "processes": processes,
        "namespaces": [str(path) for path in Path("/run/netns").glob(f"ic-{spec.name}-*")],
        "mounts": [mount for mount in mounts if any(mark in mount for mark in marks)],
        "links": sorted(link["ifname"] for link in links),
        "files": sorted(str(path) for path in spec.root.rglob("*")),
    }

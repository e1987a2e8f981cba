"""The lab keeps the contract of a cloud."""

import contextlib
import functools
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from intercloud.clouds.lab.provider import LabCloud
from intercloud.units import MIB
from tests import needs
from tests.contract import cloud_contract
from tests.lab.labs import guest_write, running_lab


@needs.lab
class LabContract(cloud_contract.CloudContract):
    _cleanup: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        with contextlib.ExitStack() as stack:
            spec = stack.enter_context(running_lab())
            source, target = (LabCloud(spec.place(name)) for name in ("lab-a", "lab-b"))
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            raw, path = directory / "raw", directory / "qcow2"
            raw.write_bytes(random.Random(1).randbytes(4 << 20))
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True, timeout=30)
            write = functools.partial(guest_write, source)
            cls.clouds = cloud_contract.Clouds(source, target, source.image_add(path, "noise"), write)
            cls._cleanup = stack.pop_all()

    def test_its_free_space_is_that_of_the_real_disk(self) -> None:
        assert isinstance(self.source, LabCloud)
        real = os.statvfs(self.source.place.path)
        self.assertAlmostEqual(self.source.about().free, real.f_bavail * real.f_frsize, delta=256 * MIB)  # others write

    def test_it_measures_what_its_tunnels_can_carry(self) -> None:
        self.assertEqual(self.source.reach("lab-b").tunnel_mtu, 1500)

    @classmethod
    def tearDownClass(cls) -> None:
        cls._cleanup.close()

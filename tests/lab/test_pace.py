"""How fast a guest writes, as a real QEMU measures it of a machine that has nothing to do."""

import tempfile
import unittest
from pathlib import Path

from intercloud.clouds.lab.emulator import emulator, prepare
from intercloud.transfer import pace
from intercloud.units import MIB
from tests import needs
from tests.lab import bare
from tests.lab.labs import CACHE


@needs.lab
class Pace(unittest.TestCase):
    def test_an_idle_guest_of_any_size_is_found_to_be_idle(self) -> None:
        prepare(CACHE, print)
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for mib, pages in ((128, pace.MOST), (1024, pace.PAGES)):
            with self.subTest(mib=mib):
                words = [*emulator(CACHE).words, "-M", "pc", "-m", str(mib), "-nodefaults", "-display", "none"]
                monitor, *_ = bare.start(self, folder / str(mib), [*words, "-accel", "tcg"])
                self.assertLessEqual(pace.measure_dirty_rate(monitor), 2 * MIB)
                self.assertEqual(monitor.execute("query-dirty-rate")["sample-pages"], pages)


if __name__ == "__main__":
    unittest.main()

import unittest

from intercloud.transfer.pace import FEWEST, MOST, sample_pages
from intercloud.units import GIB, MIB


class SamplePages(unittest.TestCase):
    def test_as_many_of_each_guest_within_what_qemu_can_be_told(self) -> None:
        for memory, wanted in ((64 * MIB, MOST), (512 * MIB, 8192), (8 * GIB, FEWEST), (1024 * GIB, FEWEST)):
            with self.subTest(memory=memory):
                self.assertEqual(sample_pages(memory), wanted)


if __name__ == "__main__":
    unittest.main()

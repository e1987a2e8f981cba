import unittest

from intercloud.transfer.pace import FEWEST, MOST, sample_pages, sample_time
from intercloud.units import GIB, MIB


class SamplePages(unittest.TestCase):
    def test_as_many_of_each_guest_within_what_qemu_can_be_told(self) -> None:
        for memory, wanted in ((64 * MIB, MOST), (512 * MIB, 8192), (8 * GIB, FEWEST), (1024 * GIB, FEWEST)):
            with self.subTest(memory=memory):
                self.assertEqual(sample_pages(memory), wanted)

    def test_a_qemu_that_counts_in_seconds_is_told_one(self) -> None:
        self.assertEqual(sample_time((8, 1, 5)), {"calc_time": 1})
        self.assertEqual(sample_time((8, 2, 0))["calc_time_unit"], "millisecond")


if __name__ == "__main__":
    unittest.main()

import unittest

from intercloud.planning.compression import is_worth
from intercloud.units import BitsPerSecond


class WhetherToCompress(unittest.TestCase):
    def test_on_a_link_that_is_slower_than_a_processor_compresses(self) -> None:
        self.assertTrue(is_worth(BitsPerSecond(1e9)))

    def test_not_on_one_that_is_as_fast(self) -> None:
        self.assertFalse(is_worth(BitsPerSecond(10e9)))


if __name__ == "__main__":
    unittest.main()

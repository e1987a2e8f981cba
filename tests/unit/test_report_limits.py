"""The limits against hand-computed values."""

import unittest

from intercloud.model.limits import blackout_limit
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds


class TestLimits(unittest.TestCase):
    def test_the_limit_is_the_last_set_over_the_link(self) -> None:
        """A hot set of 1 MiB and 0.158 MB of state at 200 Mbit/s: 48.3 ms, as calibrated."""
        limit = blackout_limit(Bytes(MIB), Bytes(158_000), BitsPerSecond(200e6), Seconds(0), Seconds(0))
        self.assertAlmostEqual(limit, 0.04826, places=5)

    def test_delay_and_load_add(self) -> None:
        limit = blackout_limit(Bytes(0), Bytes(1_000_000), BitsPerSecond(8e6), Seconds(0.025), Seconds(0.005))
        self.assertAlmostEqual(limit, 1.03)

    def test_a_path_without_rate_has_no_limit(self) -> None:
        with self.assertRaises(ValueError):
            blackout_limit(Bytes(1), Bytes(1), BitsPerSecond(0), Seconds(0), Seconds(0))


if __name__ == "__main__":
    unittest.main()

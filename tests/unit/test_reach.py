"""What is read from iperf3's words."""

import unittest

from intercloud.clouds.reach import arrived
from intercloud.errors import CloudError

SAID = """[ ID] Interval           Transfer     Bitrate
[  5]   0.00-0.10   sec  2.24 MBytes  187609 Kbits/sec
[  5]   0.10-0.20   sec  4.60 MBytes  100000 Kbits/sec
[  5]   0.20-0.30   sec  4.60 MBytes  200000 Kbits/sec
[  5]   0.30-0.31   sec   573 KBytes  300000 Kbits/sec
- - - - - - - - - - - - - - - - - - - - - - - - -
[ ID] Interval           Transfer     Bitrate
[  5]   0.00-0.31   sec  43.9 MBytes  363646 Kbits/sec                  receiver
"""


class Arrived(unittest.TestCase):
    def test_the_beginning_does_not_count_and_the_last_piece_by_its_length(self) -> None:
        self.assertAlmostEqual(arrived(SAID, 0.1), (0.1 * 100e6 + 0.1 * 200e6 + 0.01 * 300e6) / 0.21, delta=1)
        self.assertAlmostEqual(arrived(SAID, 0.3), 300e6, delta=1)
        with self.assertRaisesRegex(CloudError, "nothing that arrived"):
            arrived(SAID, 0.4)

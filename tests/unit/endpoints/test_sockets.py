"""What a prober writes down, wherever it stands still."""

import time
import unittest

from intercloud.endpoints.downtime import measure
from intercloud.endpoints.sockets import Log

INTERVAL = 0.01
STALL = 0.2


class TestLog(unittest.TestCase):
    def setUp(self) -> None:
        self.log = Log()

    def probe(self, before: float = 0.0, after: float = 0.0) -> None:
        """Send one probe that is answered at once; the prober stands still before or after it has left."""
        number = self.log.ask()
        time.sleep(before)
        answered = time.monotonic()
        time.sleep(after)
        self.log.sent(number)
        self.log.answer(number, answered)
        time.sleep(INTERVAL)

    def downtime(self) -> float:
        return measure(self.log.samples(0.0, INTERVAL)).downtime

    def test_a_stall_before_a_probe_leaves_is_not_downtime(self) -> None:
        self.probe()
        self.probe(before=STALL)
        self.probe()
        self.assertLess(self.downtime(), STALL / 2)

    def test_a_stall_after_a_probe_has_left_is_not_downtime(self) -> None:
        self.probe()
        self.probe(after=STALL)
        self.probe()
        self.assertLess(self.downtime(), STALL / 2)

    def test_a_late_answer_is_downtime(self) -> None:
        self.probe()
        number = self.log.ask()
        self.log.sent(number)
        self.log.answer(number, time.monotonic() + STALL)
        self.assertAlmostEqual(self.downtime(), STALL, delta=INTERVAL)

    def test_samples_of_one_of_several_in_turn_are_numbered_anew(self) -> None:
        for _ in range(9):
            self.probe()
        sent = self.log.samples(0.0, INTERVAL).sent
        of_second = self.log.samples((sent[0] + sent[1]) / 2, INTERVAL, 3, 1)  # begins with number 3, not with 1
        self.assertEqual(list(of_second.sent), [sent[4], sent[7]])
        self.assertEqual(list(of_second.numbers), [0, 1])
        self.assertEqual(of_second.interval, 3 * INTERVAL)


if __name__ == "__main__":
    unittest.main()

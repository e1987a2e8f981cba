"""The definitions of downtime, on samples whose truth is known."""

import random
import unittest
from collections.abc import Callable, Sequence

from intercloud.endpoints.downtime import Measure, Samples, measure
from intercloud.units import Seconds

INTERVAL = 0.001
TRIP = 0.0005


def even(count: int, start: float = 100.0) -> list[float]:
    return [start + number * INTERVAL for number in range(count)]


def answered(sent: Sequence[float], answer: Callable[[int, float], float | None]) -> Samples:
    """Samples of an application that answers probe `n`, sent at `t`, at answer(n, t); None: not at all."""
    pairs = [(number, answer(number, at)) for number, at in enumerate(sent)]
    got = [(number, at) for number, at in pairs if at is not None]
    return Samples(sent, [number for number, _ in got], [at for _, at in got], Seconds(INTERVAL))


def dark(start: float, end: float, lose: bool) -> Callable[[int, float], float | None]:
    """An application that is silent from `start` to `end`; what is asked meanwhile is lost, or waits in a queue."""

    def answer(_: int, at: float) -> float | None:
        if at < start or at >= end:
            return at + TRIP
        return None if lose else end + TRIP

    return answer


class TestDowntime(unittest.TestCase):
    def near(self, seen: Measure, truth: float) -> None:
        self.assertLessEqual(abs(seen.downtime - truth), seen.error + 1e-9, seen)

    def test_an_application_that_always_answers_has_no_downtime(self) -> None:
        seen = measure(answered(even(1000), lambda _, at: at + TRIP))
        self.assertAlmostEqual(seen.downtime, 0.0)
        self.assertEqual((seen.sent, seen.lost, seen.duplicated, seen.gaps), (1000, 0, 0, ()))
        self.assertAlmostEqual(seen.round_trip or 0, TRIP)

    def test_a_queue_that_is_delivered_later_is_downtime_without_loss(self) -> None:
        seen = measure(answered(even(1000), dark(100.2, 100.25, lose=False)))
        self.near(seen, 0.05)
        self.assertEqual(seen.lost, 0)
        self.assertEqual(len(seen.gaps), 1)
        self.assertAlmostEqual(seen.gaps[0].end, 100.25 + TRIP)

    def test_lost_packets_are_downtime_and_lost(self) -> None:
        seen = measure(answered(even(1000), dark(100.2, 100.25, lose=True)))
        self.near(seen, 0.05)
        self.assertEqual(seen.lost, 50)

    def test_the_value_is_within_the_stated_error_wherever_the_blackout_falls(self) -> None:
        chance = random.Random(1)
        for _ in range(200):
            start, length = 100.1 + chance.random() / 2, chance.random() / 10
            for lose in (True, False):
                self.near(measure(answered(even(1000), dark(start, start + length, lose))), length)

    def test_one_lost_probe_is_at_most_one_interval(self) -> None:
        seen = measure(answered(even(100), lambda number, at: None if number == 40 else at + TRIP))
        self.assertAlmostEqual(seen.downtime, INTERVAL)
        self.assertAlmostEqual(seen.error, INTERVAL)
        self.assertEqual(seen.lost, 1)

    def test_a_duplicate_neither_counts_as_an_answer_nor_ends_a_gap(self) -> None:
        honest = answered(even(1000), dark(100.2, 100.25, lose=True))
        doubled = Samples(honest.sent, [*honest.numbers, 10, 11], [*honest.arrived, 100.22, 100.23], Seconds(INTERVAL))
        seen = measure(doubled)
        self.assertEqual((seen.duplicated, seen.lost), (2, 50))
        self.assertAlmostEqual(seen.downtime, measure(honest).downtime)

    def test_reordered_answers_are_no_downtime(self) -> None:
        seen = measure(answered(even(1000), lambda number, at: at + TRIP + (0.0021 if number % 7 == 0 else 0)))
        self.assertLessEqual(seen.downtime, INTERVAL + 1e-9)
        self.assertEqual((seen.lost, seen.duplicated), (0, 0))

    def test_the_probers_own_stall_is_not_downtime_but_error(self) -> None:
        sent = even(100) + even(100, start=100.15)
        seen = measure(answered(sent, lambda _, at: at + TRIP))
        self.assertAlmostEqual(seen.downtime, 0.0)
        stalled_at_the_edge = measure(answered(sent, dark(100.09, 100.2, lose=False)))
        self.near(stalled_at_the_edge, 0.11)
        just_after = measure(answered(sent, dark(100.0995, 100.2, lose=False)))
        self.assertAlmostEqual(just_after.downtime, 0.05, places=2)
        self.assertAlmostEqual(just_after.error, 0.051)

    def test_a_stall_within_a_blackout_takes_nothing_away(self) -> None:
        sent = even(100) + even(400, start=100.15)
        self.near(measure(answered(sent, dark(100.05, 100.3, lose=True))), 0.25)

    def test_a_longer_path_is_felt_once(self) -> None:
        seen = measure(answered(even(1000), lambda number, at: at + (TRIP if number < 500 else TRIP + 0.01)))
        self.assertAlmostEqual(seen.downtime, 0.01)

    def test_silence_until_the_end_is_an_open_gap(self) -> None:
        seen = measure(answered(even(1000), dark(100.8, 200.0, lose=True)))
        self.near(seen, 0.199)  # to the last probe, beyond which nothing was asked
        self.assertFalse(seen.gaps[-1].closed)

    def test_silence_from_the_beginning_counts(self) -> None:
        self.near(measure(answered(even(1000), dark(0.0, 100.3, lose=True))), 0.3)

    def test_no_answer_at_all(self) -> None:
        seen = measure(answered(even(1000), lambda _number, _at: None))
        self.near(seen, 1.0)
        self.assertEqual((seen.lost, seen.round_trip), (1000, None))

    def test_no_probe_at_all(self) -> None:
        seen = measure(Samples((), (), (), Seconds(INTERVAL)))
        self.assertEqual((seen.sent, seen.lost, seen.downtime, seen.gaps), (0, 0, 0.0, ()))

    def test_brownout_is_time_answered_slowly_outside_the_blackout(self) -> None:
        def slow(_: int, at: float) -> float | None:
            return at + (4 * TRIP if 100.6 <= at < 100.7 else TRIP)

        self.assertAlmostEqual(measure(answered(even(1000), slow)).brownout, 0.1, places=2)
        self.assertEqual(measure(answered(even(1000), dark(100.2, 100.3, lose=False))).brownout, 0.0)

    def test_requests_one_after_the_other_count_from_send_to_send(self) -> None:
        """As HTTP does: the next request waits for the answer of the one before."""
        sent, arrived = [0.0, 0.05, 0.10, 0.90, 0.95], [0.02, 0.07, 0.87, 0.92, 0.97]
        seen = measure(Samples(sent, range(5), arrived, Seconds(0.05)))
        self.assertAlmostEqual(seen.downtime, 0.75)
        self.assertEqual(seen.lost, 0)


if __name__ == "__main__":
    unittest.main()

import unittest
from dataclasses import replace

from intercloud.planning.switchover import LAST, PATIENCE, Standing, blackout, freeze_now, is_quiet, settled, shrinks
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

LINK = BitsPerSecond(400e6)


def standing(remaining: int, size: int, age: float = 0.0, *, rounds: int = 1, **more: bool) -> Standing:
    return Standing(Bytes(remaining), Bytes(size), Seconds(age), Seconds(size * 8 / LINK), rounds, **more)


class Unsent(unittest.TestCase):
    def test_just_after_a_look_only_what_was_found_is_left(self) -> None:
        self.assertEqual(standing(2_000_000, 2_000_000).unsent, 2_000_000)

    def test_a_hot_set_is_dirty_again_when_its_round_has_been_sent(self) -> None:
        self.assertEqual(standing(0, 2_000_000, age=1.0).unsent, 2_000_000)

    def test_in_the_middle_of_a_round_half_is_left_and_half_is_dirty_again(self) -> None:
        self.assertAlmostEqual(standing(1_000_000, 2_000_000, age=0.02).unsent, 2_000_000)

    def test_a_server_with_nothing_left_has_nothing_left(self) -> None:
        self.assertEqual(standing(0, 0).unsent, 0)


class Freeze(unittest.TestCase):
    def test_idle_servers_are_frozen_when_each_has_begun_a_round(self) -> None:
        ready, not_yet = standing(300_000, 300_000), standing(3_000_000, 3_000_000, rounds=0)
        self.assertTrue(freeze_now([ready, ready], Seconds(0), LINK))
        self.assertFalse(freeze_now([ready, not_yet], Seconds(0), LINK))

    def test_a_server_that_stopped_by_itself_decides_for_all(self) -> None:
        late = standing(3_000_000, 3_000_000, rounds=0)
        self.assertTrue(freeze_now([late, standing(0, 0, stopped=True)], Seconds(0), LINK))

    def test_one_that_is_about_to_run_dry_decides_for_all_even_for_those_that_are_not_awake_yet(self) -> None:
        dry = standing(LAST // 2, LAST // 2)
        for awake in (True, False):
            other = standing(2_900_000, 3_000_000, rounds=0, awake=awake)
            self.assertTrue(freeze_now([dry, other], Seconds(0), LINK))
            self.assertFalse(freeze_now([other], Seconds(0), LINK))

    def test_a_hot_set_is_accepted_at_what_it_costs_at_best(self) -> None:
        hot = standing(2_000_000, 2_000_000)
        self.assertTrue(freeze_now([hot, hot, hot], Seconds(0), LINK))

    def test_a_moment_in_which_more_is_left_than_that_is_not_taken(self) -> None:
        worse = standing(1_900_000, 2_000_000, age=0.03)
        self.assertGreater(worse.unsent, 1.1 * 2_000_000)
        self.assertFalse(freeze_now([worse], Seconds(0), LINK))

    def test_waiting_makes_it_less_choosy_so_that_it_ends(self) -> None:
        worse = standing(1_900_000, 2_000_000, age=0.03)
        self.assertTrue(freeze_now([worse], Seconds(2 * PATIENCE), LINK))

    def test_rounds_that_shrink_are_waited_for_but_not_when_one_would_stop_by_itself(self) -> None:
        hot, dry = standing(2_000_000, 2_000_000), standing(LAST // 2, LAST // 2)
        self.assertFalse(freeze_now([hot], None, LINK))
        self.assertTrue(freeze_now([hot, dry], None, LINK))
        self.assertTrue(freeze_now([hot, standing(0, 0, stopped=True)], None, LINK))

    def test_rounds_shrink_until_two_of_all_together_are_alike(self) -> None:
        def pair(before: int | None, now: int) -> Standing:
            return replace(standing(now, now), round_before=None if before is None else Bytes(before))

        self.assertTrue(shrinks([pair(None, 2_000_000)]))
        self.assertTrue(shrinks([pair(2_000_000, 2_000_000), pair(None, 1_000)]))
        self.assertTrue(shrinks([pair(4_000_000, 2_000_000), pair(1_000_000, 1_000_000)]))
        self.assertFalse(shrinks([pair(2_000_000, 1_800_000), pair(0, 0)]))
        self.assertFalse(shrinks([pair(0, 0)]))

    def test_next_to_nothing_is_not_waited_for_even_in_a_first_round(self) -> None:
        for left, now in ((900_000, True), (1_100_000, False)):
            first = standing(left, 0, rounds=0)
            self.assertIs(freeze_now([first], Seconds(0), LINK), now)
        asleep = standing(0, 0, rounds=0, awake=False)
        self.assertFalse(freeze_now([asleep], Seconds(0), LINK))


class Settled(unittest.TestCase):
    """Servers that need no round more."""

    def test_one_that_has_little_left_waits_for_those_that_are_not_awake(self) -> None:
        done, asleep = settled(Bytes(0)), settled(Bytes(0), awake=False)
        self.assertFalse(freeze_now([done, asleep], Seconds(0), LINK))
        self.assertTrue(freeze_now([done, done], None, LINK))

    def test_one_that_is_stopped_already_is_not_waited_for(self) -> None:
        self.assertTrue(freeze_now([settled(Bytes(0), awake=False, stopped=True)], None, LINK))

    def test_what_one_has_left_is_waited_for(self) -> None:
        self.assertFalse(freeze_now([settled(Bytes(0)), settled(Bytes(2_000_000))], None, LINK))

    def test_it_does_not_keep_the_rounds_of_others_from_shrinking_or_ending(self) -> None:
        hot = replace(standing(2_000_000, 2_000_000), round_before=Bytes(2_000_000))
        self.assertFalse(shrinks([hot, settled(Bytes(0))]))
        self.assertTrue(shrinks([replace(hot, round_before=Bytes(4_000_000)), settled(Bytes(0))]))
        self.assertTrue(freeze_now([hot, settled(Bytes(0))], Seconds(0), LINK))

    def test_quiet_is_who_writes_a_small_part_of_what_the_link_carries(self) -> None:
        for rate, quiet in ((None, False), (0.0, True), (8.0 * MIB, True), (12.0 * MIB, False)):
            self.assertIs(is_quiet(rate, LINK), quiet)


class Blackout(unittest.TestCase):
    def test_all_that_is_unsent_crosses_one_link(self) -> None:
        gang = [standing(1_000_000, 1_000_000)] * 3
        self.assertAlmostEqual(blackout(gang, LINK, Seconds(0.03)), 3 * 1_000_000 * 8 / LINK + 0.03)


if __name__ == "__main__":
    unittest.main()

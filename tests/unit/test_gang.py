"""How a server of a gang stands, by what its hypervisor says."""

import unittest
from concurrent.futures import Future
from typing import Any, cast

from intercloud.migration.gang import AWAKE, SAYS_SO, Member
from intercloud.planning.switchover import Standing
from intercloud.transfer.memory import MemorySample
from intercloud.units import BitsPerSecond, Bytes

SHARE = BitsPerSecond(100e6)
SENT = 130_000_000
NOBODY = cast("Any", None)
"""How one stands does not depend on whom one could ask."""


def member(*, quiet: bool) -> Member:
    return Member(
        "web", NOBODY, NOBODY, NOBODY, NOBODY, {}, postcopy=False, bitmap="", source_mark=0, target_mark=0,
        stop=Future(), quiet=quiet,
    )  # fmt: skip


def stands(who: Member, remaining: int, more: int = 0, *, passes: int = 2, status: str = "active") -> Standing:
    sample = MemorySample(
        status, Bytes(SENT + more), Bytes(remaining), Bytes(134_000_000), passes, Bytes(0), None, None
    )
    return who.note(sample, SHARE)


class Quiet(unittest.TestCase):
    def test_it_is_awake_when_it_says_again_and_again_that_nothing_is_left(self) -> None:
        web = member(quiet=True)
        self.assertEqual([stands(web, 0, more).awake for more in (0, 16, SAYS_SO + 8)], [False, False, True])

    def test_it_is_awake_when_it_has_sent_more_than_a_held_one_does(self) -> None:
        web = member(quiet=True)
        self.assertEqual([stands(web, 900_000, more).awake for more in (0, AWAKE, AWAKE + 1)], [False, False, True])

    def test_what_is_known_to_be_left_counts_and_no_round_is_waited_for(self) -> None:
        standing = stands(member(quiet=True), 900_000)
        self.assertEqual((standing.unsent, standing.rounds, standing.settled), (900_000, 1, True))

    def test_one_that_was_stopped_before_a_process_was_cut_off_is_seen_to_be(self) -> None:
        for quiet in (True, False):
            self.assertTrue(stands(member(quiet=quiet), 0, status="pre-switchover").stopped)


class Busy(unittest.TestCase):
    def test_its_rounds_count_from_the_first_look_on(self) -> None:
        web = member(quiet=False)
        self.assertEqual([stands(web, 3_000_000, passes=n).rounds for n in (4, 4, 5, 7)], [0, 0, 1, 3])

    def test_what_the_round_before_began_with_is_known_from_the_second_on(self) -> None:
        web = member(quiet=False)
        found = [stands(web, left, passes=n).round_before for n, left in ((4, 9_000), (5, 8_000), (6, 7_000))]
        self.assertEqual(found, [None, None, 8_000])


if __name__ == "__main__":
    unittest.main()

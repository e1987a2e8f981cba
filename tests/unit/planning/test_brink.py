import unittest

from intercloud.model.strategy import Catchup
from intercloud.planning.brink import BRINK, MOST_ROUNDS, Allowed, Next, next_move
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

SHARE = BitsPerSecond(100e6)


def move(*mib: float, postcopy: bool = True, catchup: Catchup = Catchup.AUTO_CONVERGE) -> Next:
    return next_move([Bytes(int(each * MIB)) for each in mib], Allowed(SHARE, Seconds(1.0), postcopy), catchup)


class NextMove(unittest.TestCase):
    def test_a_small_round_is_the_brink(self) -> None:
        self.assertIs(move(BRINK / MIB), Next.HOLD)

    def test_a_shrinking_round_deserves_another(self) -> None:
        self.assertIs(move(40, 20), Next.GO_ON)

    def test_a_hot_set_that_the_blackout_can_carry_is_held(self) -> None:
        self.assertIs(move(11, 10.5), Next.HOLD)

    def test_a_hot_set_that_it_cannot_carry_is_slowed_down_further(self) -> None:
        self.assertIs(move(40, 39), Next.GO_ON)

    def test_a_guest_is_post_copied_as_soon_as_it_is_seen_not_to_converge(self) -> None:
        for rounds, wanted in (
            ((40, 40, 40), Next.GO_ON),
            ((40, 40, 40, 39), Next.POSTCOPY),
            ((40, 40, 40, 30, 30), Next.GO_ON),
        ):
            for catchup in (Catchup.NONE, Catchup.AUTO_CONVERGE):
                with self.subTest(rounds=rounds, catchup=catchup):
                    self.assertIs(move(*rounds, catchup=catchup), wanted)
                    self.assertIs(move(*rounds, catchup=catchup, postcopy=False), Next.GO_ON)

    def test_never_endless(self) -> None:
        slowly = [64.0, 32.0, *(32.0 if number % 2 else 24.0 for number in range(MOST_ROUNDS - 2))]
        self.assertIs(move(*slowly[:-1]), Next.GO_ON)
        self.assertIs(move(*slowly), Next.POSTCOPY)
        self.assertIs(move(*slowly, postcopy=False), Next.GIVE_UP)

    def test_post_copy_that_was_decided_before_needs_one_round_only(self) -> None:
        self.assertIs(move(64, catchup=Catchup.POSTCOPY), Next.POSTCOPY)


if __name__ == "__main__":
    unittest.main()

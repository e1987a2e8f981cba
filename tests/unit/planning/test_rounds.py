import unittest

from hypothesis import given
from hypothesis import strategies as st

from intercloud.planning.rounds import MOST_ROUNDS, Next, Round, last_delta, next_round
from intercloud.units import MIB, BitsPerSecond, Bytes, Seconds

RATE = BitsPerSecond(80e6)  # 10 MB/s
ENOUGH = Seconds(1.0)
ROUNDS = st.builds(Round, st.integers(0, 1 << 40).map(Bytes), st.floats(0.01, 1e6).map(Seconds))


def played(writes: float, disk: int, overhead: float = 0.5) -> tuple[list[Round], Next]:
    """Play the rounds of servers that write so many bytes a second."""
    rounds: list[Round] = []
    moved = disk
    while True:
        took = moved * 8 / RATE + overhead
        rounds.append(Round(Bytes(moved), Seconds(took)))
        decision = next_round(rounds, RATE, ENOUGH)
        if decision is not Next.AGAIN:
            return rounds, decision
        moved = min(disk, int(writes * took))


class NextRound(unittest.TestCase):
    def test_after_the_first_nothing_is_known(self) -> None:
        first = [Round(Bytes(100 * MIB), Seconds(10.0))]
        self.assertIsNone(last_delta(first, RATE))
        self.assertIs(next_round(first, RATE, ENOUGH), Next.AGAIN)

    def test_the_last_delta_is_what_was_written_since_the_last_round_began(self) -> None:
        rounds = [Round(Bytes(100 * MIB), Seconds(10.0)), Round(Bytes(20 * MIB), Seconds(2.0))]
        self.assertAlmostEqual(last_delta(rounds, RATE) or 0, 4 * MIB * 8 / RATE)

    def test_servers_that_write_little_are_stopped_soon(self) -> None:
        rounds, decision = played(100e3, 1000 * MIB)
        self.assertIs(decision, Next.STOP)
        self.assertLess(len(rounds), 4)

    def test_servers_that_write_faster_than_the_link_are_not_waited_for(self) -> None:
        rounds, decision = played(20e6, 1000 * MIB)
        self.assertIs(decision, Next.STOP_ANYWAY)
        self.assertLess(len(rounds), 4)

    @given(st.floats(0, 0.5), st.integers(1, 1 << 36))
    def test_below_half_of_the_link_the_stop_becomes_short(self, share: float, disk: int) -> None:
        rounds, decision = played(share * RATE / 8, disk, overhead=0.1)
        if len(rounds) < MOST_ROUNDS:
            self.assertIs(decision, Next.STOP)

    @given(st.lists(ROUNDS, min_size=MOST_ROUNDS), st.floats(1, 1e12), st.floats(0, 10))
    def test_never_endless(self, rounds: list[Round], rate: float, enough: float) -> None:
        self.assertIsNot(next_round(rounds, BitsPerSecond(rate), Seconds(enough)), Next.AGAIN)
        expected = last_delta(rounds, BitsPerSecond(rate))
        assert expected is not None
        self.assertGreaterEqual(expected, 0)


if __name__ == "__main__":
    unittest.main()

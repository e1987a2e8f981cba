import unittest

from intercloud.clouds.ability import Ability
from intercloud.model.strategy import Catchup, Strategy
from intercloud.planning.strategy import catch_up, choose, impossible
from intercloud.units import BitsPerSecond

TENANT = frozenset({Ability.COLD})
OPERATOR = frozenset(Ability)


class Choose(unittest.TestCase):
    def test_live_where_both_give_access_to_the_hypervisor(self) -> None:
        self.assertIs(choose("auto", OPERATOR, OPERATOR).strategy, Strategy.LIVE)

    def test_not_live_where_one_does_not_and_it_says_which(self) -> None:
        choice = choose("auto", OPERATOR, TENANT)
        self.assertIs(choice.strategy, Strategy.WARM)
        self.assertIn("the target does not offer 'hypervisor'", choice.why)

    def test_warm_where_only_the_disks_of_running_servers_can_be_read(self) -> None:
        choice = choose("auto", TENANT | {Ability.WARM}, TENANT)
        self.assertIs(choice.strategy, Strategy.WARM)
        self.assertIn("live impossible: the source does not offer 'hypervisor'", choice.why)

    def test_cold_says_what_each_better_one_lacks(self) -> None:
        why = choose("auto", TENANT, TENANT).why
        self.assertIn("live impossible: the source does not offer 'hypervisor'", why)
        self.assertIn("warm impossible: the source does not offer 'warm'", why)

    def test_an_order_is_an_order(self) -> None:
        self.assertIs(choose("cold", OPERATOR, OPERATOR).strategy, Strategy.COLD)

    def test_an_impossible_order_is_told(self) -> None:
        self.assertIn("source", impossible(Strategy.LIVE, TENANT, OPERATOR) or "")
        self.assertIsNone(impossible(Strategy.COLD, TENANT, OPERATOR))


class CatchUp(unittest.TestCase):
    def test_by_how_much_of_its_share_it_writes(self) -> None:
        share = BitsPerSecond(80e6)  # 10 MB/s
        for rate, postcopy, wanted in (
            (1e6, True, Catchup.NONE),
            (6e6, True, Catchup.AUTO_CONVERGE),
            (8e6, False, Catchup.AUTO_CONVERGE),
            (8e6, True, Catchup.POSTCOPY),
            (20e6, False, Catchup.AUTO_CONVERGE),
            (20e6, True, Catchup.POSTCOPY),
        ):
            with self.subTest(rate=rate, postcopy=postcopy):
                self.assertIs(catch_up(rate, share, postcopy)[0], wanted)


if __name__ == "__main__":
    unittest.main()

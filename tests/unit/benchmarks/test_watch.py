"""What is taken from clients' answers when the network learns where a server went."""

import unittest

from benchmarks.watch import Seen

from intercloud.endpoints.downtime import Gap
from intercloud.units import Seconds


def seen(**gaps: tuple[tuple[float, float], ...]) -> Seen:
    """Servers that were silent from one time to another, in seconds."""
    return Seen(
        {}, (), {name: tuple(Gap(Seconds(a), Seconds(b), Seconds(0)) for a, b in each) for name, each in gaps.items()}
    )


class TestUntilAnswered(unittest.TestCase):
    def test_the_slowest_server_counts(self) -> None:
        clients = seen(web=((10.0, 10.5),), db=((10.0, 11.0),))
        self.assertEqual(clients.until_answered({"web": 10.25, "db": 10.25}), {"reconfiguration_s": 0.75})

    def test_a_longer_silence_while_disks_are_copied_is_not_the_switchover(self) -> None:
        clients = seen(web=((1.0, 3.0), (10.0, 10.5)))
        self.assertEqual(clients.until_answered({"web": 10.25}), {"reconfiguration_s": 0.25})

    def test_nothing_is_said_of_a_server_without_a_gap_at_its_resume(self) -> None:
        clients = seen(web=((1.0, 3.0),), db=((10.0, 10.5),))
        self.assertEqual(clients.until_answered({"web": 10.25, "db": 10.25}), {"reconfiguration_s": 0.25})
        self.assertEqual(clients.until_answered({"web": 10.25}), {})

    def test_a_server_that_clients_do_not_probe_is_left_out(self) -> None:
        self.assertEqual(seen().until_answered({"web": 10.25}), {})


if __name__ == "__main__":
    unittest.main()

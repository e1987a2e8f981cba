"""Moves between clouds that are as a tenant sees them: no hypervisor."""

import json
import unittest
from typing import Any

from intercloud.units import MIB
from tests import needs
from tests.lab.labs import guest_write
from tests.system.house import House

house: House


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    clouds = {name: {"type": "lab", "abilities": ["cold", "warm"]} for name in ("lab-a", "lab-b")}
    house = House(clouds=clouds)
    house.up()


def tearDownModule() -> None:
    house.down()


def report(source: str, target: str, *words: str) -> dict[str, Any]:
    """Migrate, and return the report; the command must succeed."""
    done = house.run("migrate", "--source", source, "--target", target, *words, "--output", "json", "--quiet")
    if done.returncode:
        raise AssertionError(f"migrate: {done.stderr}")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def stopped(found: dict[str, Any]) -> float:
    """Seconds from the first server's stop to the last one's boot."""
    moments = [mark["at_s"] for server in found["timeline"] for mark in server["marks"] if mark["what"] == "stopped"]
    boots = [span["start_s"] for server in found["timeline"] for span in server["phases"] if span["phase"] == "boot"]
    return float(max(boots) - min(moments))


@needs.lab
class Warm(unittest.TestCase):
    def test_auto_moves_warm_and_is_shorter_down_than_cold(self) -> None:
        before = house.cloud("lab-a").cluster("shop")
        for server in before.servers:  # behind the partitions, so that there is something to copy
            guest_write(house.cloud("lab-a"), server.name, 96 * MIB, 96 * MIB, 5)
        warm = report("lab-a", "lab-b")
        self.assertEqual((warm["status"], warm["strategy"]), ("completed", "warm"))
        self.assertEqual(warm["probe"]["writes"]["lost"], 0)
        self.assertGreater(warm["probe"]["writes"]["acknowledged"], 20)
        self.assertEqual(house.where(), {"app": "lab-b", "db": "lab-b", "web": "lab-b"})
        self.assertEqual(house.cloud("lab-b").cluster("shop"), before)
        for server in warm["servers"]:
            self.assertIn("live impossible: the source does not offer 'hypervisor'", server["why"])
            self.assertRegex(server["why"], r"\d rounds while it ran, then a last delta")
            self.assertTrue(server["disk_digest_equal"])
            self.assertGreater(server["bytes_sent"], 96 * MIB)
        cold = report("lab-b", "lab-a", "--strategy", "cold")
        self.assertEqual(cold["probe"]["writes"]["lost"], 0)
        self.assertLess(stopped(warm) / stopped(cold), 1)

    def test_a_live_move_is_refused(self) -> None:
        done = house.run("migrate", "--source", "lab-a", "--target", "lab-b", "--strategy", "live", "--quiet")
        self.assertEqual(done.returncode, 1)
        self.assertIn("strategy live cannot be used: the source does not offer 'hypervisor'", done.stderr)


if __name__ == "__main__":
    unittest.main()

"""Moves between clouds that are as a tenant sees them: no hypervisor."""

import json
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

from intercloud.units import MIB
from tests import needs
from tests.lab.labs import guest_write
from tests.system.house import LABS, NAME, House

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
    def setUp(self) -> None:
        homes = set(house.where().values())
        self.assertEqual(len(homes), 1, "the cluster must be whole, at one cloud")
        self.here = homes.pop()
        self.there = "lab-a" if self.here == "lab-b" else "lab-b"
        self.before = house.cloud(self.here).cluster("shop")

    def fill(self) -> None:
        """Write behind the partitions of each disk, so that there is something to copy."""
        for server in self.before.servers:
            guest_write(house.cloud(self.here), server.name, 96 * MIB, 96 * MIB, 5)

    def assert_moved_warm(self, found: dict[str, Any]) -> None:
        self.assertEqual((found["status"], found["strategy"]), ("completed", "warm"))
        self.assertEqual(found["probe"]["writes"]["lost"], 0)
        self.assertGreater(found["probe"]["writes"]["acknowledged"], 20)
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.there))
        self.assertEqual(house.cloud(self.there).cluster("shop"), self.before)
        for server in found["servers"]:
            self.assertIn("live impossible: the source does not offer 'hypervisor'", server["why"])
            self.assertRegex(server["why"], r"\d rounds while it ran, then a last delta")
            self.assertTrue(server["disk_digest_equal"])

    def test_auto_moves_warm_and_is_shorter_down_than_cold(self) -> None:
        self.fill()
        warm = report(self.here, self.there)
        self.assert_moved_warm(warm)
        self.assertGreater(min(server["bytes_sent"] for server in warm["servers"]), 96 * MIB)
        cold = report(self.there, self.here, "--strategy", "cold")
        self.assertEqual(cold["probe"]["writes"]["lost"], 0)
        self.assertLess(stopped(warm) / stopped(cold), 1)

    def test_a_move_after_a_killed_one_goes_on_from_its_rounds(self) -> None:
        self.fill()
        marks = [Path(LABS, NAME, self.there, "servers", s.name, "disk-root.mark") for s in self.before.servers]
        words = house.command("migrate", "--source", self.here, "--target", self.there, "--quiet")
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as killed:
            deadline = time.monotonic() + 60
            while not all(mark.exists() for mark in marks) and killed.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            killed.kill()
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.here))
        found = report(self.here, self.there)
        self.assert_moved_warm(found)
        self.assertLess(max(server["bytes_sent"] for server in found["servers"]), 96 * MIB)

    def test_a_live_move_is_refused(self) -> None:
        done = house.run("migrate", "--source", self.here, "--target", self.there, "--strategy", "live", "--quiet")
        self.assertEqual(done.returncode, 1)
        self.assertIn("strategy live cannot be used: the source does not offer 'hypervisor'", done.stderr)


if __name__ == "__main__":
    unittest.main()

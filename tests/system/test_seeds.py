"""A cluster that comes back to where its disks were kept: only what has changed travels, whatever befell the seeds."""

import json
import signal
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

from intercloud.clouds.lab import qmp
from intercloud.clouds.run import command_line
from intercloud.units import MIB
from tests import needs
from tests.lab.labs import guest_write
from tests.system.house import LABS, NAME, House
from tests.system.test_verify import flip

FILLED = 64
"""MiB of each disk that are written before the first move."""
CHANGED = 2
"""MiB of them that are written before the move back."""
BESIDE = 24
"""MiB that guests may write to their disks by themselves, when they shut down and boot, too: a few are seen."""

house: House


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    house = House()
    house.write(migration={"state": str(house.path / "runs"), "guard": False})
    house.up()


def tearDownModule() -> None:
    house.down()


def sent(found: dict[str, Any]) -> dict[str, int]:
    return {server["name"]: server["bytes_sent"] for server in found["servers"]}


@needs.lab
class Return(unittest.TestCase):
    def setUp(self) -> None:
        self.here, self.there = house.sides()

    def fill(self, cloud: str, mib: int, pattern: int) -> None:
        """Write behind the partitions of each disk."""
        for server in house.cloud(cloud).cluster("shop").servers:
            guest_write(house.cloud(cloud), server.name, 96 * MIB, mib * MIB, pattern)

    def seed(self, cloud: str, server: str) -> Path:
        return Path(LABS, NAME, cloud, "seeds", server)

    def go(self, *words: str) -> dict[str, Any]:
        """Move there with disks that hold something, and change a little of it."""
        for server in ("app", "db", "web"):  # what an earlier test has kept
            subprocess.run(["rm", "-rf", self.seed(self.there, server)], check=True)
        self.fill(self.here, FILLED, 5)
        found = house.migrate(self.here, self.there, *words)
        self.assertIn(f"{self.here} keeps the disks of app, db, web", found["message"])
        self.fill(self.there, CHANGED, 6)
        return found

    def rot(self) -> None:
        """Flip a bit of a seed where nobody writes."""
        flip(self.seed(self.here, "app") / "disk-root.qcow2", (96 + FILLED // 2) * MIB)

    def assert_returned(self, found: dict[str, Any], before: dict[str, Any]) -> None:
        self.assertEqual(found["status"], "completed")
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.here))
        for server in found["servers"]:
            self.assertIn(f"{self.here} keeps its disks as of run {before['run']}", server["why"])
            self.assertTrue(server["disk_digest_equal"])
        self.assertEqual(house.run("verify", found["run"]).returncode, 0)
        self.assertFalse(any(self.seed(self.here, server).exists() for server in ("app", "db", "web")))
        self.assert_no_filter_left()

    def assert_no_filter_left(self) -> None:
        time.sleep(1)
        left = [path for cloud in (self.here, self.there) for path in Path(LABS, NAME, cloud).rglob("*seed-*")]
        self.assertEqual(left, [])
        words = [word for entry in Path("/proc").glob("[0-9]*") for word in command_line(int(entry.name))]
        self.assertEqual([word for word in words if f"/{NAME}/" in word and ".seed-" in word], [])

    def assert_less_sent(self, found: dict[str, Any], before: dict[str, Any]) -> None:
        for server, first in sent(before).items():
            self.assertGreater(first, FILLED * MIB)
            saved = first - sent(found)[server]
            self.assertGreater(saved, (FILLED - BESIDE) * MIB, f"{server}: first {first}, back {sent(found)[server]}")

    @needs.long
    def test_live(self) -> None:
        before = self.go()
        planned = house.run("plan", "--source", self.there, "--target", self.here)
        self.assertIn(f"{self.here} keeps its disks as of run {before['run']}", planned.stdout)
        found = house.migrate(self.there, self.here)
        self.assert_returned(found, before)
        self.assert_less_sent(found, before)
        self.assertEqual((found["strategy"], found["probe"]["tcp"]["broken"]), ("live", 0))
        self.assertEqual(found["probe"]["writes"]["lost"], 0)

    @needs.long
    def test_cold(self) -> None:
        before = self.go("--strategy", "cold")
        found = house.migrate(self.there, self.here, "--strategy", "cold")
        self.assert_returned(found, before)
        self.assert_less_sent(found, before)
        for back in sent(found).values():
            self.assertTrue(CHANGED * MIB <= back < BESIDE * MIB, back)

    @needs.long
    def test_there_live_and_back_warm(self) -> None:
        before = self.go()
        found = house.migrate(self.there, self.here, "--strategy", "warm")
        self.assert_returned(found, before)
        for back in sent(found).values():
            self.assertTrue(CHANGED * MIB <= back < BESIDE * MIB, back)

    @needs.long
    def test_a_seed_that_has_rotted_is_repaired_by_a_live_move(self) -> None:
        before = self.go()
        self.rot()
        found = house.migrate(self.there, self.here)
        self.assert_returned(found, before)
        self.assert_less_sent(found, before)

    @needs.long
    def test_a_seed_that_has_rotted_is_not_taken_over_by_a_cold_move(self) -> None:
        self.go("--strategy", "cold")
        self.rot()
        words = ("migrate", "--source", self.there, "--target", self.here, "--strategy", "cold", "--quiet")
        refused = house.run(*words)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("app: disk root differs from the source's", refused.stderr)
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.there))
        found = house.migrate(self.there, self.here, "--strategy", "cold")
        self.assertTrue(all(server["disk_digest_equal"] for server in found["servers"]))
        self.assertGreater(min(sent(found).values()), FILLED * MIB)

    @needs.long
    def test_a_live_move_back_that_is_stopped_leaves_nothing(self) -> None:
        self.go()
        self.interrupt(signal.SIGINT)
        self.assert_no_filter_left()
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.there))
        self.assertEqual(list(Path(LABS, NAME, self.here, "servers").iterdir()), [])

    @needs.long
    def test_a_live_move_back_that_is_killed_goes_on(self) -> None:
        before = self.go()
        self.interrupt(signal.SIGKILL)
        done = house.run("resume", "--output", "json", "--quiet")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_returned(json.loads(done.stdout), before)

    def interrupt(self, how: signal.Signals) -> None:
        """Migrate back, and send a signal to the program while the disks are mirrored."""
        words = house.command("migrate", "--source", self.there, "--target", self.here)
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stderr is not None
            self.assertTrue(any(line.rstrip().endswith("] disks") for line in program.stderr))
            deadline = time.monotonic() + 30
            while not self.jobs() and time.monotonic() < deadline:
                time.sleep(0.01)
            program.send_signal(how)
            program.communicate(timeout=120)
        self.assertEqual(self.jobs(), 1 if how is signal.SIGKILL else 0)

    def jobs(self) -> int:
        """Mirrors of one server, told by the monitor that the program does not use."""
        with qmp.session(house.cloud(self.there).guest("web").files.own_monitor) as execute:
            return len(execute("query-block-jobs"))


if __name__ == "__main__":
    unittest.main()

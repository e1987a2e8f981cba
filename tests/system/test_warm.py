"""Moves between clouds that are as a tenant sees them: no hypervisor."""

import json
import os
import re
import signal
import subprocess
import time
import unittest
from pathlib import Path
from typing import Any

from intercloud.bootstrap.wiring import control_folder, vantage_prefix
from intercloud.clouds.lab import demo, fleece
from intercloud.control import process
from intercloud.control.client import ControlClient
from intercloud.endpoints.observer import Probe
from intercloud.endpoints.result import ProbeConfig
from intercloud.settings import load
from intercloud.units import MIB
from tests import needs
from tests.lab.labs import guest_write
from tests.system.house import LABS, NAME, House

house: House


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    clouds = {name: {"type": "lab", "abilities": ["cold", "warm"]} for name in ("lab-a", "lab-b")}
    house = House()
    house.write(clouds=clouds, migration={"state": str(house.path / "runs"), "guard": False, "keep_seeds": False})
    house.up()


def tearDownModule() -> None:
    house.down()


def stopped(found: dict[str, Any]) -> float:
    """Seconds from the first server's stop to the last one's boot."""
    moments = [mark["at_s"] for server in found["timeline"] for mark in server["marks"] if mark["what"] == "stopped"]
    boots = [span["start_s"] for server in found["timeline"] for span in server["phases"] if span["phase"] == "boot"]
    return float(max(boots) - min(moments))


@needs.lab
class Warm(unittest.TestCase):
    def setUp(self) -> None:
        self.here, self.there = house.sides()
        self.before = house.cloud(self.here).cluster("shop")

    def fill(self, mib: int) -> None:
        """Write behind the partitions of each disk, so that there is something to copy."""
        for server in self.before.servers:
            guest_write(house.cloud(self.here), server.name, 96 * MIB, mib * MIB, 5)

    def assert_moved_warm(self, found: dict[str, Any]) -> None:
        self.assertEqual((found["status"], found["strategy"]), ("completed", "warm"))
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.there))
        self.assertEqual(house.cloud(self.there).cluster("shop"), self.before)
        for server in found["servers"]:
            self.assertIn("live impossible: the source does not offer 'hypervisor'", server["why"])
            self.assertRegex(server["why"], r"\d rounds while it ran, then a last delta")
            self.assertTrue(server["disk_digest_equal"])

    def probe(self) -> Probe:
        """Watch the application from where its clients are, whatever happens to the program."""
        prefix = vantage_prefix(load(house.config))
        assert prefix is not None
        run = f"warm{time.monotonic_ns() % 10**9}"
        web = demo.HEALTH.split("/")[2]
        return Probe.start(prefix, ProbeConfig(run=run, targets=demo.TIERS, stream="web", web=web, udp_rate=100))

    def migrate_and_kill(self, phase: str) -> str:
        """Migrate, and kill the program and its children in the middle of a phase; returns the migration's name."""
        words = house.command("migrate", "--source", self.here, "--target", self.there)
        with subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as program:  # fmt: skip
            assert program.stderr is not None
            begun = any(re.fullmatch(rf"\[\d/\d\] {phase}", line.strip()) for line in program.stderr)
            self.assertTrue(begun, f"it never came to: {phase}")
            if phase == "rounds":
                self.wait_first_round()
            else:
                time.sleep(0.5)
            os.killpg(program.pid, signal.SIGKILL)
        listed = json.loads(house.run("migrations", "list", "--output", "json").stdout)
        self.assertEqual(listed[0]["strategy"], "warm")
        self.assertNotIn(listed[0]["state"], ("completed", "rolled-back"))
        return str(listed[0]["run"])

    def wait_first_round(self) -> None:
        marks = [Path(LABS, NAME, self.there, "servers", s.name, "disk-root.mark") for s in self.before.servers]
        deadline = time.monotonic() + 60
        while not all(mark.exists() for mark in marks) and time.monotonic() < deadline:
            time.sleep(0.02)

    def assert_nothing_left(self, home: str, away: str) -> None:
        """Of the moves there is nothing at one cloud, and at the other only the servers as any others."""
        self.assertEqual(list(Path(LABS, NAME, away, "servers").iterdir()), [])
        for name in (home, away):
            self.assertEqual(list(Path(LABS, NAME, name).glob("offer-*")), [])
        with ControlClient(control_folder(load(house.config)) / process.SOCKET_FILE) as control:
            self.assertFalse([each for each in control.registry().endpoints.values() if away in each.ports])
        for server in self.before.servers:
            guest = house.cloud(home).guest(server.name)
            names = {path.name for path in guest.files.directory.iterdir()}
            self.assertFalse([name for name in names if name.endswith((".mark", ".part")) or "aside" in name], names)
            for disk in server.disks:
                self.assertEqual(fleece.recorded(guest, disk), frozenset())

    def moved_warm(self) -> dict[str, Any]:
        """Move servers with something on their disks, by the strategy that is chosen."""
        self.fill(96)
        warm = house.migrate(self.here, self.there)
        self.assert_moved_warm(warm)
        self.assertEqual(warm["probe"]["writes"]["lost"], 0)
        self.assertGreater(warm["probe"]["writes"]["acknowledged"], 20)
        self.assertGreater(min(server["bytes_sent"] for server in warm["servers"]), 96 * MIB)
        return warm

    def test_auto_moves_warm(self) -> None:
        self.moved_warm()

    @needs.long
    def test_a_warm_move_is_shorter_down_than_a_cold_one(self) -> None:
        warm = self.moved_warm()
        cold = house.migrate(self.there, self.here, "--strategy", "cold")
        self.assertEqual(cold["probe"]["writes"]["lost"], 0)
        self.assertLess(stopped(warm) / stopped(cold), 1)

    @needs.long
    def test_a_move_that_is_killed_goes_on_from_its_rounds_its_stop_and_its_last_delta(self) -> None:
        for phase in ("rounds", "stop", "last delta"):
            with self.subTest(phase):
                self.setUp()
                self.fill(32)
                with self.probe() as probe:
                    self.migrate_and_kill(phase)
                    done = house.run("resume", "--output", "json", "--quiet")
                    seen = probe.stop()
                self.assertEqual(done.returncode, 0, done.stderr)
                found = json.loads(done.stdout)
                self.assert_moved_warm(found)
                if phase == "rounds":
                    self.assertLess(max(server["bytes_sent"] for server in found["servers"]), 32 * MIB)
                self.assertEqual(seen.lost_writes, 0)
                self.assertGreater(seen.acknowledged, 20)
                self.assert_nothing_left(self.there, self.here)

    @needs.long
    def test_a_move_that_is_killed_and_taken_back_leaves_nothing(self) -> None:
        with self.probe() as probe:
            run = self.migrate_and_kill("last delta")
            done = house.run("migrations", "rollback", run, "--quiet")
            seen = probe.stop()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(house.where(), dict.fromkeys(("app", "db", "web"), self.here))
        self.assertEqual(seen.lost_writes, 0)
        self.assert_nothing_left(self.here, self.there)

    def test_a_live_move_is_refused(self) -> None:
        done = house.run("migrate", "--source", self.here, "--target", self.there, "--strategy", "live", "--quiet")
        self.assertEqual(done.returncode, 1)
        self.assertIn("strategy live: cannot be used: the source does not offer 'hypervisor'", done.stderr)


if __name__ == "__main__":
    unittest.main()

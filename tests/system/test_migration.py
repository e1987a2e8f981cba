"""Whole migrations of the demo cluster on a lab: what a user gets, and what is left when it is refused or fails."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import unittest
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from intercloud.bootstrap.wiring import service
from intercloud.control.client import ControlClient
from intercloud.migration.archive import Archive
from intercloud.migration.plan import Limits
from intercloud.migration.request import Request, find_plan
from intercloud.migration.turns import MOST_TURNS, Turns
from intercloud.migration.world import World
from intercloud.model.report import Status
from intercloud.settings import load
from intercloud.units import Seconds
from tests import needs
from tests.system.house import NAME, House, away_from

house: House


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    house = House()
    house.up()


def tearDownModule() -> None:
    house.down()


def all_at(cloud: str) -> dict[str, str]:
    return {"app": cloud, "db": cloud, "web": cloud}


@needs.lab
class Moves(unittest.TestCase):
    def setUp(self) -> None:
        self.here, self.there = house.sides()

    def assert_unnoticed(self, report: dict[str, object]) -> None:
        probe = report["probe"]
        assert isinstance(probe, dict)
        self.assertEqual(report["status"], "completed")
        self.assertEqual(probe["tcp"]["broken"], 0)
        self.assertEqual(probe["http"]["failed"], 0, probe)
        self.assertEqual(probe["writes"]["lost"], 0)
        self.assertGreater(probe["writes"]["acknowledged"], 20)
        servers = report["servers"]
        assert isinstance(servers, list)
        self.assertEqual([each["disk_digest_equal"] for each in servers], [True] * len(servers))

    def test_live_and_back_again(self) -> None:
        for source, target in ((self.here, self.there), (self.there, self.here)):
            found = house.migrate(source, target)
            self.assertEqual(found["strategy"], "live")
            self.assert_unnoticed(found)
            self.assertEqual(house.where(), all_at(target))

    def test_cold_keeps_names_addresses_and_data(self) -> None:
        found = house.migrate(self.here, self.there, "--strategy", "cold")
        self.assertEqual(found["status"], "completed")
        probe = found["probe"]
        assert isinstance(probe, dict)
        self.assertEqual(probe["writes"]["lost"], 0)
        self.assertEqual(house.where(), all_at(self.there))

    @needs.long
    def test_some_servers_move_and_the_others_stay(self) -> None:
        self.assert_unnoticed(house.migrate(self.here, self.there, "--servers", "app"))
        self.assertEqual(house.where(), {**all_at(self.here), "app": self.there})
        self.assert_unnoticed(house.migrate(self.there, self.here))
        self.assertEqual(house.where(), all_at(self.here))

    def test_servers_that_write_faster_than_the_link_carries_are_post_copied(self) -> None:
        house.up("--wan-rate", "200mbit")  # each writes more than all of it, and two processors still serve all three
        self.addCleanup(house.up)
        house.heat(40, 30)
        self.addCleanup(house.heat, 0)
        found = house.migrate(self.here, self.there)
        self.assert_unnoticed(found)
        servers = found["servers"]
        assert isinstance(servers, list)
        self.assertTrue(all("post-copy" in each["why"] for each in servers), servers)

    @needs.long
    def test_over_gre(self) -> None:
        house.up("--tunnel", "gre")
        self.addCleanup(house.up, "--tunnel", "vxlan")
        found = house.migrate(self.here, self.there)
        environment = found["environment"]
        assert isinstance(environment, dict)
        self.assertEqual(environment["tunnel"], "gre")
        self.assert_unnoticed(found)

    def test_a_target_that_dies_in_the_middle_leaves_the_source_as_it_was(self) -> None:
        with self.migration() as running:
            pid = house.cloud(self.there).guest("web").pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            output, complaint = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 1, complaint)
        self.assertEqual(json.loads(output)["status"], "rolled-back")
        self.assert_as_it_was(json.loads(output))

    def test_a_target_that_dies_between_two_steps_does_so_too(self) -> None:
        asked = service(load(house.config))
        with closing(ControlClient(asked.control)) as control:
            source, target = house.cloud(self.here), house.cloud(self.there)
            limits = Limits(Seconds(1.0), allow_postcopy=True, verify_digests=True)
            plan = find_plan(Request(self.here, self.there, "shop"), source, target, control, limits)
            with closing(
                World(plan, source, target, control, lambda _: None, Archive(house.path / "seen"), None)
            ) as world:
                turns, made = Turns(world, lambda _: None), [""]
                while made[-1] != "memory" and len(made) < MOST_TURNS:
                    made.append(json.loads(turns.turn())["action"])
                pid = house.cloud(self.there).guest("web").pid()
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                while world.notes.ended is None and len(made) < MOST_TURNS:
                    made.append(json.loads(turns.turn())["action"])
        self.assertEqual(world.notes.ended, Status.ROLLED_BACK, made)
        self.assertEqual(world.notes.back, f"web: lost at {self.there} before the switchover; look there")
        self.assertEqual(house.where(), all_at(self.here))

    def test_ctrl_c_rolls_back(self) -> None:
        with self.migration() as running:
            running.send_signal(signal.SIGINT)
            output, complaint = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 1, complaint)
        self.assertIn("stopped by the user", complaint)
        self.assert_as_it_was(json.loads(output))

    @needs.long
    def test_another_migration_of_the_same_cluster_is_refused_meanwhile(self) -> None:
        with self.migration() as running:
            second = house.run("migrate", "--source", self.here, "--target", self.there)
            running.communicate(timeout=120)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another migration of cluster shop is under way", second.stderr)
        self.assertEqual(running.returncode, 0)

    def migration(self) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        """Start a move whose targets wait for their memory."""
        return house.moving(self.here, self.there, "memory", "--output", "json")

    def assert_as_it_was(self, report: dict[str, object]) -> None:
        probe = report["probe"]
        assert isinstance(probe, dict)
        self.assertEqual(house.where(), all_at(self.here))
        self.assertEqual(probe["tcp"]["broken"], 0)
        self.assertEqual(probe["writes"]["lost"], 0)


@needs.lab
class Refusals(unittest.TestCase):
    """Bad input: one line, nothing changed."""

    def setUp(self) -> None:
        self.before = house.where()
        self.here = self.before["web"]
        self.there = away_from(self.here)

    def assert_refused(self, pattern: str, *words: str, code: int = 1) -> None:
        done = house.run("migrate", *words, "--quiet")
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, pattern)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(house.where(), self.before)

    def test_unknown_cloud(self) -> None:
        self.assert_refused("no cloud is called 'moon'.*lab-a, lab-b", "--source", self.here, "--target", "moon")

    def test_unknown_cluster(self) -> None:
        words = ("--source", self.here, "--target", self.there, "--cluster", "shoe")
        self.assert_refused("has no cluster 'shoe'.*shop", *words)

    def test_unknown_server(self) -> None:
        words = ("--source", self.here, "--target", self.there, "--servers", "web,mail")
        self.assert_refused("has no server mail", *words)

    def test_same_source_and_target(self) -> None:
        self.assert_refused("name two different clouds", "--source", self.here, "--target", self.here)

    def test_quota_too_small(self) -> None:
        self.assert_refused(
            "small: quota too small: 3 vCPUs needed, 2 free", "--source", self.here, "--target", "small"
        )

    def test_image_store_full(self) -> None:
        self.assert_refused("full: image store full", "--source", self.here, "--target", "full")

    def test_tunnel_that_does_not_fit(self) -> None:
        namespace = f"ic-{NAME}-{self.here}"
        self.addCleanup(subprocess.run, ["ip", "-n", namespace, "link", "set", "wan", "mtu", "1500"], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", "wan", "mtu", "1420"], check=True)
        self.assert_refused("make 1450, but the WAN .* carries 1420", "--source", self.here, "--target", self.there)

    def test_an_address_that_is_taken_at_the_target(self) -> None:
        cloud = house.cloud(self.there)
        shop = house.cloud(self.here).cluster("shop")
        web = next(server for server in shop.servers if server.name == "web")
        for words, nic in (
            ("the IP address 10.50.0.11 in shop is taken by squatter", replace(web.nics[0], mac="52:54:00:99:00:01")),
            (f"the MAC address {web.nics[0].mac} is taken by squatter", replace(web.nics[0], ip="10.50.0.99")),
        ):
            with self.subTest(words):
                cloud.create_server(replace(shop, name="other"), replace(web, name="squatter", disks=(), nics=(nic,)))
                self.addCleanup(cloud.delete_server, "squatter")
                self.assert_refused(words, "--source", self.here, "--target", self.there)
                cloud.delete_server("squatter")

    def test_the_script_at_the_root_refuses_in_the_same_way(self) -> None:
        script = Path(__file__).parents[2] / "migrate.py"
        words = [sys.executable, str(script), "--source", self.here, "--target", "moon", "--config", str(house.config)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no cloud is called 'moon'", done.stderr)

    def test_wan_down(self) -> None:
        namespace = f"ic-{NAME}-{self.there}"
        self.addCleanup(subprocess.run, ["ip", "-n", namespace, "link", "set", "uplink", "up"], check=True)
        subprocess.run(["ip", "-n", namespace, "link", "set", "uplink", "down"], check=True)
        self.assert_refused("does not|nothing comes|unreachable|WAN", "--source", self.here, "--target", self.there)

    def test_mistakes_in_the_configuration(self) -> None:
        self.addCleanup(house.write)
        house.write(sdn={"tunnel": "ipsec"})
        done = house.run("migrate", "--source", "lab-a", "--target", "lab-b")
        self.assertEqual(done.returncode, 2)
        self.assertIn("sdn.tunnel: expected 'vxlan' or 'gre'", done.stderr)
        self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()

"""Plans on a real lab: what is found before the first byte, how the command ends, and that nothing is changed."""

import json
import os
import signal
import subprocess
import time
import unittest
from pathlib import Path

from intercloud.control import process, readiness
from intercloud.control.client import ControlClient
from intercloud.units import MIB
from tests import needs
from tests.system.house import LABS, NAME, House

house: House
CONTROL = Path(LABS, NAME, "control")


def setUpModule() -> None:
    global house
    needs.require(needs.lab)
    house = House()
    house.up()


def tearDownModule() -> None:
    house.down()


def world() -> dict[str, object]:
    """Everything that a migration would change: records, images, files, states, and what the switches shall do."""
    files = [path for site in ("lab-a", "lab-b", "small", "full") for path in Path(LABS, NAME, site).rglob("*")]
    source = house.cloud("lab-a")
    kept = [path for path in files if "ovs" not in path.parts]
    with ControlClient(CONTROL / process.SOCKET_FILE) as control:
        registry = control.registry()
    return {
        "files": sorted(map(str, kept)),
        "records": {str(path): path.read_text() for path in kept if path.suffix == ".json"},
        "states": {s.name: source.server_state(s.name) for s in source.cluster("shop").servers},
        "registry": registry,
    }


@needs.lab
class Plans(unittest.TestCase):
    def setUp(self) -> None:
        self.before = world()

    def plan(self, *words: str, code: int, command: str = "plan") -> str:
        done = house.run(command, "--source", "lab-a", *words)
        self.assertEqual((done.returncode, done.stderr), (code, ""), done.stdout)
        self.assertEqual(world(), self.before)
        return done.stdout

    def test_all_is_well(self) -> None:
        for words in (("plan",), ("migrate", "--dry-run")):
            said = self.plan("--target", "lab-b", *words[1:], command=words[0], code=0)
            self.assertIn("shop: lab-a -> lab-b, live: can be done\n", said)
            self.assertIn("app, db, web: live: both clouds give access to the hypervisor\n", said)
            self.assertRegex(
                said, r"note +lab-b: image guest is not there: [\d.]+ MiB, [\d.]+ m?s at the [\d.]+ Mbit/s"
            )
            self.assertNotIn("BLOCKS", said)
            self.assertRegex(said, r"\n  copy +[\d.]+ s for .* of disks, .* of images, at most 384.8 MiB of memory")
            self.assertRegex(said, r"\n  blackout +[\d.]+ ms at least, for the last")
            self.assertRegex(said, r"round trip, packets of 1500 bytes, 1500 between the tunnel's ends\n")

    def test_a_cold_one_of_some_servers(self) -> None:
        said = self.plan("--target", "lab-b", "--strategy", "cold", "--servers", "web,db", code=0)
        self.assertIn("db, web: cold: as ordered\n", said)
        self.assertRegex(said, r"\n  blackout .* shutting down and booting come on top\n")

    def test_as_json_with_what_the_disks_really_hold(self) -> None:
        plan = json.loads(self.plan("--target", "lab-b", "--output", "json", code=0))
        self.assertEqual([finding["blocking"] for finding in plan["findings"]], [False])
        for server in plan["cluster"]["servers"]:
            self.assertNotIn("metadata", server)
            self.assertTrue(0 < server["disks"][0]["held"] < 64 * MIB, server)
        self.assertEqual(plan["estimate"]["memory_bytes"], 3 * 128 * MIB // 4096 * 4104)

    def test_every_reason_is_listed_not_the_first_alone(self) -> None:
        sites = house.lab["sites"]
        assert isinstance(sites, dict)
        house.write(lab={**house.lab, "sites": {**sites, "full": {"image_store_mib": 1, "vcpus": 1}}})
        self.addCleanup(house.write)
        said = self.plan("--target", "full", code=1)
        self.assertIn("shop: lab-a -> full, live: blocked by 2 of the findings\n", said)
        self.assertRegex(
            said, "BLOCKS +full: quota too small: 3 vCPUs needed, 1 free of 1; raise the quota or move fewer"
        )
        self.assertRegex(said, "BLOCKS +full: image store full: .* free of 1.0 MiB; delete images there or enlarge it")

    def test_a_quota_that_is_too_small(self) -> None:
        for words in (("plan",), ("migrate", "--dry-run")):
            said = self.plan("--target", "small", *words[1:], command=words[0], code=1)
            self.assertRegex(said, "BLOCKS +small: quota too small: 3 vCPUs needed, 2 free of 2; raise the quota")
        self.assertIn("can be done", self.plan("--target", "small", "--servers", "web,app", code=0))

    def test_a_controller_that_is_stopped_is_a_finding(self) -> None:
        process.stop(CONTROL)
        self.addCleanup(house.up)
        done = house.run("plan", "--source", "lab-a", "--target", "small")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertRegex(done.stdout, "BLOCKS +small: quota too small")
        self.assertRegex(done.stdout, "BLOCKS +controller: the controller does not answer at .*; start it")
        refused = house.run("migrate", "--source", "lab-a", "--target", "lab-b", "--quiet")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertRegex(refused.stderr, r"^intercloud: controller: the controller does not answer at [^\n]*\n$")

    def test_a_switch_that_is_silent_is_a_finding(self) -> None:
        switch = int(Path(LABS, NAME, "small", "ovs", "ovs-vswitchd.pid").read_text())
        os.kill(switch, signal.SIGKILL)
        self.addCleanup(house.up)
        said = self.plan("--target", "small", "--servers", "web", code=1)
        self.assertRegex(said, "BLOCKS +small: its switch is not (connected|in order)")

    def test_ends_of_the_tunnel_that_do_not_reach_each_other_are_a_finding(self) -> None:
        self.ip("lab-b", "link", "set", "tun-k", "down")
        self.addCleanup(self.ip, "lab-b", "link", "set", "tun-k", "up")
        said = self.plan("--target", "lab-b", code=1)
        self.assertRegex(said, "BLOCKS +WAN: nothing crosses between the ends of the vxlan tunnel from lab-a to lab-b")

    @needs.long
    def test_a_tunnel_that_is_filtered_is_a_finding_though_its_ends_reach_each_other(self) -> None:
        self.flows("add-flow", "priority=9,udp,tp_dst=4789,actions=drop")
        self.addCleanup(self.flows, "del-flows", "udp,tp_dst=4789")
        time.sleep(readiness.SILENT_S + 6)
        said = self.plan("--target", "full", "--servers", "web", code=1)
        self.assertRegex(said, "BLOCKS +full: nothing came through the vxlan tunnel from lab-a for more than 30 s")
        self.assertRegex(said, "packets of 1500 bytes, 1500 between the tunnel's ends")

    def flows(self, verb: str, flow: str) -> None:
        subprocess.run(["ovs-ofctl", verb, f"unix:{LABS}/{NAME}/full/ovs/br-wan.mgmt", flow], check=True, timeout=20)

    def test_a_wan_that_is_down_is_a_finding_among_others(self) -> None:
        self.ip("small", "link", "set", "uplink", "down")
        self.addCleanup(self.ip, "small", "link", "set", "uplink", "up")
        said = self.plan("--target", "small", code=1)
        self.assertRegex(said, "BLOCKS +small: quota too small")
        self.assertRegex(said, "BLOCKS +WAN: small does not answer lab-a over the WAN")
        self.assertNotIn("blackout", said)

    def ip(self, site: str, *words: str) -> None:
        subprocess.run(["ip", "-n", f"ic-{NAME}-{site}", *words], check=True, timeout=20)

    def test_bad_input_is_one_line(self) -> None:
        for words, code, complaint in (
            (("plan", "--target", "moon"), 1, "no cloud is called 'moon'"),
            (("plan", "--target", "lab-b", "--cluster", "shoe"), 1, "has no cluster 'shoe'"),
            (("migrate", "--target", "lab-b", "--dry-run", "--report", "r.json"), 2, "a dry run moves nothing"),
        ):
            done = house.run(words[0], "--source", "lab-a", *words[1:])
            self.assertEqual((done.returncode, done.stdout), (code, ""))
            self.assertIn(complaint, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()

import unittest
from dataclasses import replace
from typing import cast

from intercloud.cli.plan import render
from intercloud.clouds.ability import Ability
from intercloud.clouds.port import Cloud
from intercloud.errors import NotFound
from intercloud.mediation.facts import NO_PATH
from intercloud.migration.notes import ServerNotes
from intercloud.migration.plan import Limits, Plan
from intercloud.migration.request import Request, make_plan
from intercloud.migration.world import Moving, Side
from intercloud.model.finding import Finding
from intercloud.model.server import Disk, Volume
from intercloud.model.site import Tunnel
from intercloud.units import BitsPerSecond, Bytes, Seconds
from tests.fakes.shelf import Shelf
from tests.unit.mediation.test_findings import FINE, LACKING, SERVER

LIMITS = Limits(Seconds(1.0), allow_postcopy=True, verify_digests=True)
REQUEST = Request("a", "b", "shop")
SMALL = replace(LACKING, limit=replace(FINE.limit, vcpus=0))


class MakePlan(unittest.TestCase):
    def test_post_copy_is_planned_only_where_both_clouds_can(self) -> None:
        unable = frozenset(Ability) - {Ability.POSTCOPY}
        for change in ({"source_abilities": unable}, {"target_abilities": unable}):
            plan = make_plan(REQUEST, replace(FINE, **change), Tunnel.VXLAN, LIMITS)
            self.assertFalse(plan.limits.allow_postcopy)
        self.assertTrue(make_plan(REQUEST, FINE, Tunnel.VXLAN, LIMITS).limits.allow_postcopy)

    def test_only_what_moves_live_over_a_slow_link_is_compressed_and_where_it_is_wanted(self) -> None:
        fast = replace(FINE, path=replace(FINE.path, rate=BitsPerSecond(10e9)))
        cold = replace(REQUEST, strategy="cold")
        for request, seen, limits, compressed in (
            (REQUEST, FINE, LIMITS, True),
            (REQUEST, fast, LIMITS, False),
            (REQUEST, FINE, replace(LIMITS, compress=False), False),
            (cold, FINE, LIMITS, False),
        ):
            plan = make_plan(request, seen, Tunnel.VXLAN, limits)
            self.assertIs(plan.compressed, compressed)
            self.assertEqual("compressed" in render(plan), compressed)

    def test_an_impossible_order_is_a_finding(self) -> None:
        tenant = replace(FINE, target_abilities=frozenset({Ability.COLD}))
        plan = make_plan(replace(REQUEST, strategy="live"), tenant, Tunnel.VXLAN, LIMITS)
        self.assertIn("the target does not offer 'hypervisor'; try --strategy cold", plan.blocking[0])
        self.assertEqual(make_plan(REQUEST, tenant, Tunnel.VXLAN, LIMITS).findings, ())

    def test_what_blocks_comes_first(self) -> None:
        silent = Finding("controller", "is silent", "start it")
        plan = make_plan(REQUEST, SMALL, Tunnel.VXLAN, LIMITS, (silent,))
        self.assertEqual([finding.blocking for finding in plan.findings], [True, True, False])
        self.assertEqual(plan.blocking[1], "controller: is silent; start it")
        self.assertEqual(make_plan(REQUEST, LACKING, Tunnel.VXLAN, LIMITS).blocking, ())

    def test_a_blackout_longer_than_wanted_is_a_note(self) -> None:
        for limit, words in ((0.05, ["blackout: 60.6 ms expected, 50.0 ms wanted (max_blackout_ms)"]), (0.07, [])):
            plan = make_plan(REQUEST, FINE, Tunnel.VXLAN, replace(LIMITS, max_blackout=Seconds(limit)))
            self.assertEqual([finding.line.split(";")[0] for finding in plan.findings], words)
            self.assertEqual(plan.blocking, ())

    def test_its_record_can_be_read_again(self) -> None:
        for seen in (FINE, SMALL, replace(FINE, path=NO_PATH, silence="nothing comes back")):
            plan = make_plan(REQUEST, seen, Tunnel.VXLAN, LIMITS)
            read = Plan.from_json(plan.to_json())
            self.assertEqual(read, plan)
            self.assertEqual(read.cluster.servers[0].disks[0].held, FINE.cluster.servers[0].disks[0].held)

    def test_what_a_guest_is_told_is_in_no_record_and_is_read_from_its_source_again(self) -> None:
        volume = Disk("vdb", Bytes(0), volume=Volume("data", "fast", None, {"key": "password"}))
        secret = replace(SERVER, metadata={"user_data": "password"}, disks=(*SERVER.disks, volume))
        cluster = replace(FINE.cluster, servers=(replace(SERVER, name="db"), secret))
        plan = make_plan(REQUEST, replace(FINE, cluster=cluster), Tunnel.VXLAN, LIMITS)
        self.assertNotIn("password", plan.to_json())
        self.assertNotIn("metadata", plan.to_json())
        resumed = Plan.from_json(plan.to_json())
        self.assertEqual(resumed.cluster.servers[1], replace(secret, metadata={}))
        self.assertEqual(resumed.cluster.servers[1].disks[1].volume, Volume("data", "fast"))
        whole = _moving(resumed, Shelf(cluster)).whole
        self.assertEqual((whole, whole.disks[1].volume), (secret, volume.volume))
        self.assertEqual(_moving(plan, Shelf()).whole, secret)
        for shelf in (Shelf(), Shelf(cluster.subset(frozenset({"db"})))):  # the source has released it
            with self.assertRaises(NotFound):
                _ = _moving(resumed, shelf).whole


def _moving(plan: Plan, source: Shelf) -> Moving:
    server = plan.cluster.servers[1]
    side = Side(cast("Cloud", source), server.name)
    return Moving(server, ServerNotes(plan.choices[server.name]), side, side, plan)


class Rendered(unittest.TestCase):
    def test_a_plan_that_can_be_done(self) -> None:
        text = render(make_plan(REQUEST, FINE, Tunnel.VXLAN, LIMITS)).splitlines()
        self.assertEqual(text[0], "shop: a -> b, live: can be done")
        self.assertEqual(text[1], "  web: live: both clouds give access to the hypervisor")
        self.assertIn("  nothing was found that speaks against it", text)
        self.assertRegex(
            "\n".join(text), r"\n  copy +3\.3 s for 30\.0 MiB of disks, at most 128\.2 MiB of memory at 400\.0"
        )
        self.assertRegex("\n".join(text), r"\n  blackout +\d+\.\d ms at least, for the last ")
        self.assertRegex(
            "\n".join(text), r"\n  measured +WAN 400\.0 Mbit/s of TCP, 10\.0 ms round trip, packets of 1500 "
        )

    def test_disks_that_the_target_keeps_are_told(self) -> None:
        text = render(
            make_plan(REQUEST, replace(FINE, seeds={"web": "since-shop-1", "other": "x"}), Tunnel.VXLAN, LIMITS)
        )
        line = "  web: live: both clouds give access to the hypervisor; b keeps its disks as of run shop-1: "
        self.assertIn(f"{line}what is known to be the same does not travel\n", text)
        self.assertIn("; less by what it is compressed; less by what b keeps of the disks\n", text)
        self.assertEqual(
            make_plan(REQUEST, FINE, Tunnel.VXLAN, LIMITS),
            make_plan(REQUEST, replace(FINE, seeds={"other": "x"}), Tunnel.VXLAN, LIMITS),
        )

    def test_findings_are_marked_and_what_blocks_comes_first(self) -> None:
        text = render(make_plan(REQUEST, SMALL, Tunnel.VXLAN, LIMITS))
        self.assertIn("shop: a -> b, live: blocked by 1 of the findings\n", text)
        self.assertRegex(text, r"\n  BLOCKS  b: quota too small: 1 vCPUs.*\n  note    b: image guest is not there")

    def test_nothing_is_estimated_over_a_path_that_carries_nothing(self) -> None:
        dead = replace(FINE, path=NO_PATH, silence="nothing comes back")
        text = render(make_plan(REQUEST, dead, Tunnel.VXLAN, LIMITS))
        self.assertIn("BLOCKS  WAN: nothing comes back", text)
        self.assertNotIn("blackout", text)


if __name__ == "__main__":
    unittest.main()

import unittest
from dataclasses import replace

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import ServerState
from intercloud.mediation.facts import NO_PATH, Skew, Survey
from intercloud.mediation.findings import findings
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.model.site import Platform, Quota, Tunnel, WanPath
from intercloud.model.strategy import Strategy
from intercloud.units import GIB, MIB, BitsPerSecond, Bytes, Seconds

IMAGE = Image("sha256:00", "guest", Bytes(20 * MIB))
DISK = Disk("root", Bytes(GIB), IMAGE, Bytes(30 * MIB))
SERVER = Server("web", 1, Bytes(128 * MIB), (DISK,), (Nic("shop", "52:54:00:00:00:01", "10.50.0.11"),))
EMPTY = Quota(0, Bytes(0), Bytes(0), Bytes(0))
PLATFORM = Platform("QEMU 7.2.22", "pc-i440fx-7.2", "qemu64")
FINE = Survey(
    "a",
    "b",
    Cluster("shop", (Network("shop", 5001, "10.50.0.0/24", 1400),), (SERVER,)),
    {"web": ServerState.RUNNING},
    frozenset(Ability),
    frozenset(Ability),
    PLATFORM,
    PLATFORM,
    Quota(4, Bytes(GIB), Bytes(10 * GIB), Bytes(GIB)),
    EMPTY,
    Bytes(10 * GIB),
    (),
    (),
    WanPath(Seconds(0.01), BitsPerSecond(4e8), 1500, 1500),
    Skew(Seconds(0.4), Seconds(0.001)),
)
LACKING = replace(FINE, missing=(IMAGE,))


class Findings(unittest.TestCase):
    def found(self, survey: Survey, strategy: Strategy = Strategy.LIVE) -> tuple[Finding, ...]:
        return findings(survey, strategy, Tunnel.VXLAN)

    def only(self, survey: Survey, strategy: Strategy = Strategy.LIVE, *, blocking: bool = True) -> str:
        """The line of the one finding there is; it blocks or does not, and has a cure."""
        (found,) = self.found(survey, strategy)
        self.assertEqual(found.blocking, blocking, found)
        self.assertTrue(found.cure)
        return found.line

    def test_nothing_is_found_where_all_is_well(self) -> None:
        for strategy in Strategy:
            self.assertEqual(self.found(FINE, strategy), ())

    def test_each_quota_is_told_with_what_is_needed_and_free(self) -> None:
        for change, words in (
            ({"vcpus": 0}, "b: quota too small: 1 vCPUs needed, 0 free of 0; raise the quota"),
            ({"memory": Bytes(MIB)}, "128.0 MiB memory needed, 1.0 MiB free"),
            ({"disk": Bytes(MIB)}, "1.0 GiB disk needed, 1.0 MiB free"),
        ):
            with self.subTest(words):
                self.assertIn(words, self.only(replace(FINE, limit=replace(FINE.limit, **change))))

    def test_an_image_store_without_room_blocks_if_an_image_is_missing(self) -> None:
        full = replace(FINE, limit=replace(FINE.limit, image_store=Bytes(MIB)))
        self.assertEqual(self.found(full), ())
        store, image = self.found(replace(full, missing=(IMAGE,)))
        self.assertIn("b: image store full: 20.0 MiB needed, 1.0 MiB free of 1.0 MiB", store.line)
        self.assertEqual((store.blocking, image.blocking), (True, False))

    def test_a_missing_image_is_told_with_what_sending_it_takes(self) -> None:
        line = self.only(LACKING, blocking=False)
        self.assertIn("b: image guest is not there: 20.0 MiB, 419.4 ms at the 400.0 Mbit/s measured", line)

    def test_a_taken_address_is_told(self) -> None:
        taken = Finding("b", "the IP is taken", "give it another")
        self.assertIn("b: the IP is taken; give", self.only(replace(FINE, conflicts=(taken,))))

    def test_a_tunnel_that_does_not_fit_is_told(self) -> None:
        for path in (replace(FINE.path, mtu=1449), replace(FINE.path, tunnel_mtu=1449)):
            narrow = replace(FINE, path=path)
            self.assertIn("make 1450, but the WAN from a to b carries 1449", self.only(narrow))
            self.assertEqual(findings(narrow, Strategy.LIVE, Tunnel.GRE), ())
        for path in (replace(FINE.path, mtu=1450, tunnel_mtu=1450), replace(FINE.path, tunnel_mtu=None)):
            self.assertEqual(self.found(replace(FINE, path=path)), ())

    def test_a_tunnel_whose_ends_do_not_reach_each_other_is_told(self) -> None:
        cut = replace(FINE, path=replace(FINE.path, tunnel_mtu=0))
        self.assertIn("WAN: nothing crosses between the ends of the vxlan tunnel from a to b", self.only(cut))

    def test_routers_at_either_cloud_are_told_of(self) -> None:
        network = replace(FINE.cluster.networks[0], gateway="10.50.0.1")
        routed = replace(FINE, cluster=replace(FINE.cluster, networks=(network,)))
        here, there = ((Nic("shop", f"fa:16:3e:00:00:0{number}", "10.50.0.1"),) for number in (1, 2))
        line = self.only(replace(routed, source_routers=here), blocking=False)
        self.assertIn(
            "b: its network shop has no router at 10.50.0.1: what leaves it goes on through the source's", line
        )
        for source in (here, ()):
            line = self.only(replace(routed, source_routers=source, target_routers=there), blocking=False)
            self.assertIn("b: its network shop has a router at 10.50.0.1, which the servers use at once", line)
        self.assertEqual(self.found(replace(routed, source_routers=here, target_routers=here)), ())

    def test_a_path_that_carries_nothing_is_told_once(self) -> None:
        dead = replace(LACKING, path=NO_PATH, silence="b does not answer a over the WAN")
        self.assertIn("WAN: b does not answer a over the WAN; bring it up", self.only(dead))

    def test_a_stopped_server_cannot_move_live(self) -> None:
        stopped = replace(FINE, states={"web": ServerState.STOPPED})
        self.assertIn("web: is stopped at a, not running; start it", self.only(stopped))
        for strategy in (Strategy.WARM, Strategy.COLD):
            self.assertEqual(self.found(stopped, strategy), ())

    def test_other_hardware_blocks_a_live_move_and_is_a_note_for_the_others(self) -> None:
        for change, words in (
            ({"cpu": "host"}, "b: its CPU model is host, that of a is qemu64"),
            ({"machine": "pc-i440fx-9.0"}, "b: its machine type is pc-i440fx-9.0, that of a is pc-i440fx-7.2"),
        ):
            other = replace(FINE, target_platform=replace(PLATFORM, **change))
            self.assertIn(words, self.only(other))
            for strategy in (Strategy.WARM, Strategy.COLD):
                self.assertIn("boot on other hardware", self.only(other, strategy, blocking=False))

    def test_another_version_of_the_hypervisor_is_a_note_for_a_live_move(self) -> None:
        newer = replace(FINE, target_platform=replace(PLATFORM, hypervisor="QEMU 9.0.0"))
        self.assertIn("b: runs QEMU 9.0.0, a runs QEMU 7.2.22", self.only(newer, blocking=False))
        self.assertEqual(self.found(newer, Strategy.COLD), ())

    def test_hardware_that_is_not_told_is_a_note_for_a_live_move(self) -> None:
        for change, name in (({"source_platform": None}, "a"), ({"target_platform": None}, "b")):
            self.assertIn(f"{name}: does not tell its CPU model", self.only(replace(FINE, **change), blocking=False))
            self.assertEqual(self.found(replace(FINE, **change), Strategy.COLD), ())

    def test_no_post_copy_is_a_note_for_a_live_move(self) -> None:
        unable = frozenset(Ability) - {Ability.POSTCOPY}
        for change, name in (({"source_abilities": unable}, "a"), ({"target_abilities": unable}, "b")):
            self.assertIn(f"{name}: has no post-copy", self.only(replace(FINE, **change), blocking=False))
            self.assertEqual(self.found(replace(FINE, **change), Strategy.COLD), ())

    def test_what_the_disks_hold_must_fit(self) -> None:
        self.assertIn(
            "b: disk space too small: 30.0 MiB needed, 29.0 MiB free", self.only(replace(FINE, free=Bytes(29 * MIB)))
        )
        images = replace(LACKING, free=Bytes(49 * MIB))
        self.assertIn("50.0 MiB needed, 49.0 MiB free", self.found(images)[0].line)

    def test_what_the_disks_may_grow_to_is_a_note(self) -> None:
        line = self.only(replace(FINE, free=Bytes(31 * MIB)), blocking=False)
        self.assertIn("b: the disks can grow to 1.0 GiB there, and 31.0 MiB are free", line)
        for free in (Bytes(GIB), None):
            self.assertEqual(self.found(replace(FINE, free=free)), ())

    def test_disks_of_which_nothing_is_known_block_nothing(self) -> None:
        disk = replace(DISK, held=None)
        unknown = replace(FINE, cluster=replace(FINE.cluster, servers=(replace(SERVER, disks=(disk,)),)))
        self.assertIn("can grow to 1.0 GiB", self.only(replace(unknown, free=Bytes(MIB)), blocking=False))

    def test_clocks_that_surely_differ_by_more_than_a_second_are_told(self) -> None:
        for ahead, words in ((2.5, "2.5 s ahead of"), (-2.5, "2.5 s behind")):
            found = self.only(replace(FINE, skew=Skew(Seconds(ahead), Seconds(0.1))), blocking=False)
            self.assertIn(f"b: its clock is {words} that of a (± 100.0 ms)", found)
        self.assertEqual(self.found(replace(FINE, skew=Skew(Seconds(1.5), Seconds(0.6)))), ())


if __name__ == "__main__":
    unittest.main()

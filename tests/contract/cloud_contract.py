"""What every cloud must do, written against the port alone.

An adapter's tests derive from CloudContract and set `clouds`; unittest finds only the derived class.
"""

import contextlib
import dataclasses
import hashlib
import subprocess
import time
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from intercloud.clouds.ability import Ability
from intercloud.clouds.port import Cloud, DiskRef, Offer, Progress, ServerState
from intercloud.errors import (
    AddressTaken,
    CloudError,
    CloudUnreachable,
    IntercloudError,
    Interrupted,
    NotFound,
    QuotaReached,
    StoreFull,
    TransferError,
)
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Server
from intercloud.units import MIB, Bytes


@dataclass(frozen=True)
class Clouds:
    """Two empty clouds that reach each other. image: a small one that only the source has, and no server uses.

    write: write as the guest of a running server of the source to its root disk: server, offset, bytes, pattern.
    disk, memory: sizes of the servers'. notes: whether disks note what is written to them (DiskRef.bitmap).
    refills: whether the disk of a server that has run here can be filled again.
    """

    source: Cloud
    target: Cloud
    image: Image
    write: Callable[[str, int, int, int], None]
    disk: Bytes = Bytes(128 * MIB)
    memory: Bytes = Bytes(64 * MIB)
    notes: bool = True
    refills: bool = True


def silent(_: Bytes) -> None:
    pass


def content(offer: Offer) -> str:
    """Digest of all that an offer holds."""
    with subprocess.Popen(["nbdcopy", offer.local, "-"], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        digest = hashlib.file_digest(reader.stdout, "sha256").hexdigest()
    assert reader.returncode == 0
    return digest


class CloudContract(unittest.TestCase):
    clouds: Clouds

    def setUp(self) -> None:
        self.source, self.target, self.image = self.clouds.source, self.clouds.target, self.clouds.image
        self.network = Network("net1", 7001, "10.60.0.0/24", 1400)
        self.one = self.server("one", 1)
        self.cluster = Cluster("tests", (self.network,), (self.one, self.server("two", 2)), "http://10.60.0.1/")
        self.addCleanup(self.empty)

    def empty(self) -> None:
        for cloud in (self.source, self.target):
            for name in ("one", "two", "three") if cloud.quota()[1].vcpus else ():
                cloud.delete_server(name)
        self.target.delete_image(self.image.digest)

    def server(self, name: str, number: int) -> Server:
        nic = Nic("net1", f"52:54:00:60:00:{number:02x}", f"10.60.0.{number}")
        disk = Disk("root", self.clouds.disk, self.image)
        return Server(name, 1, self.clouds.memory, (disk,), (nic,), {"role": name})

    def need(self, ability: Ability) -> None:
        if ability not in self.source.about().abilities:
            self.skipTest(f"this cloud has no {ability}")

    def give_image(self, progress: Progress = silent) -> Bytes:
        with self.source.offer(self.image) as offer:
            return self.target.fetch(self.image, offer, progress)

    def assert_refused(self, error: type[IntercloudError], server: Server) -> None:
        """Neither way of making it works, and nothing is left of it."""
        before = self.source.quota()
        ways = [self.source.create_server]
        if Ability.HYPERVISOR in self.source.about().abilities:
            ways.append(self.source.receive_server)  # type: ignore[arg-type]
        for make in ways:
            with self.assertRaises(error):
                make(self.cluster, server)
            self.assertEqual(self.source.quota(), before)

    # Inventory

    def test_an_empty_cloud(self) -> None:
        self.assertEqual(self.source.clusters(), ())
        used = self.target.quota()[1]
        self.assertEqual((used.vcpus, used.memory, used.disk, used.image_store), (0, 0, 0, 0))
        with self.assertRaises(NotFound):
            self.source.cluster("tests")

    def test_a_cluster_is_read_as_it_was_made(self) -> None:
        for server in self.cluster.servers:
            self.source.create_server(self.cluster, server)
        self.assertEqual(self.source.cluster("tests"), self.cluster)
        self.assertEqual(self.source.clusters(), ("tests",))
        with self.assertRaises(NotFound) as raised:
            self.source.cluster("other")
        self.assertIn("tests", str(raised.exception))

    def test_its_clock_is_that_of_now_and_goes_on(self) -> None:
        first, then = self.source.about().clock, self.source.about().clock
        self.assertLess(abs(first - time.time()), 3600)
        self.assertGreaterEqual(then, first)

    def test_two_clouds_alike_say_that_their_servers_run_on_the_same(self) -> None:
        source, target = self.source.about(), self.target.about()
        self.assertEqual(source.platform, target.platform)
        if Ability.HYPERVISOR in source.abilities:
            assert source.platform is not None
            self.assertTrue(all(dataclasses.astuple(source.platform)))

    def test_room_is_left_where_it_is_told(self) -> None:
        free = self.target.about().free
        self.assertTrue(free is None or free > self.image.size)

    def test_what_a_disk_holds_is_told_and_makes_no_other_disk(self) -> None:
        self.source.create_server(self.cluster, self.one)
        (disk,) = self.source.cluster("tests").servers[0].disks
        self.assertEqual(disk, self.one.disks[0])
        if disk.held is not None:
            self.assertTrue(0 < disk.held < disk.size)

    def test_sites_know_each_other(self) -> None:
        source, target = self.source.about().site, self.target.about().site
        self.assertEqual((source.name, target.name), (self.source.about().name, self.target.about().name))
        self.assertNotEqual(source.datapath_id, target.datapath_id)
        local, remote = source.underlay[target.name]
        self.assertEqual(target.underlay[source.name], (remote, local))

    def test_the_path_to_a_peer_is_measured(self) -> None:
        path = self.source.reach(self.target.about().name)
        self.assertGreater(path.rtt, 0)
        self.assertGreater(path.rate, 1e6)
        self.assertGreaterEqual(path.mtu, 576)
        if path.tunnel_mtu is not None:
            self.assertGreaterEqual(path.tunnel_mtu, 576)
        with self.assertRaises(CloudUnreachable):
            self.source.reach("nowhere")

    def conflicts(self, server: Server) -> list[str]:
        return [found.text for found in self.source.conflicts(dataclasses.replace(self.cluster, servers=(server,)))]

    def test_conflicts(self) -> None:
        self.assertEqual(self.source.conflicts(self.cluster), ())
        self.source.create_server(self.cluster, self.one)
        self.assertEqual(self.conflicts(self.one), [])
        self.assertEqual(self.conflicts(self.server("two", 2)), [])
        (name,) = self.conflicts(self.server("one", 3))
        self.assertIn("one", name)
        mac, address = self.conflicts(self.server("three", 1))
        self.assertIn("52:54:00:60:00:01", mac)
        self.assertIn("10.60.0.1", address)
        self.source.start_server("one")
        self.assertEqual(len(self.conflicts(self.one)), 1)

    # Images and disks

    def test_an_image_is_fetched_once_and_whole(self) -> None:
        seen: list[Bytes] = []
        self.assertIsNone(self.target.find_image(self.image.digest))
        moved = self.give_image(seen.append)
        self.assertTrue(0 < moved <= self.image.size)
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(seen[-1], moved)
        self.assertEqual(self.target.find_image(self.image.digest), self.image)
        self.assertEqual(self.target.quota()[1].image_store, self.image.size)
        self.assertEqual(self.give_image(), 0)

    def test_an_image_with_another_digest_is_not_kept(self) -> None:
        wrong = replace(self.image, digest="sha256:" + "0" * 64)
        with self.source.offer(self.image) as offer, self.assertRaises(TransferError):
            self.target.fetch(wrong, offer, silent)
        self.assertIsNone(self.target.find_image(wrong.digest))
        self.assertEqual(self.target.quota()[1].image_store, 0)

    def test_an_image_from_a_peer_that_is_gone(self) -> None:
        with self.source.offer(self.image) as offer:
            pass
        with self.assertRaises(TransferError):
            self.target.fetch(self.image, offer, silent)
        self.assertIsNone(self.target.find_image(self.image.digest))
        self.assertGreater(self.give_image(), 0)

    def test_a_full_image_store(self) -> None:
        limit = self.target.quota()[0].image_store
        huge = replace(self.image, size=Bytes(limit + 1))
        with self.source.offer(self.image) as offer, self.assertRaises(StoreFull):
            self.target.fetch(huge, offer, self.fail)

    def test_an_image_in_use_stays(self) -> None:
        self.give_image()
        self.target.create_server(self.cluster, self.one)
        self.target.delete_image(self.image.digest)
        self.assertIsNotNone(self.target.find_image(self.image.digest))
        self.target.delete_server("one")
        self.target.delete_image(self.image.digest)
        self.target.delete_image(self.image.digest)
        self.assertIsNone(self.target.find_image(self.image.digest))

    def test_a_disk_is_fetched(self) -> None:
        self.give_image()
        for cloud in (self.source, self.target):
            cloud.create_server(self.cluster, self.one)
        disk = DiskRef("one", self.one.disks[0])
        with self.source.offer(disk) as offer:
            self.assertEqual(offer.size, self.clouds.disk)
            self.assertLess(self.target.fetch(disk, offer, silent), 128 * MIB)
            self.assertGreater(self.target.fetch(disk, replace(offer, changed={}), silent), 0)
            for _ in range(2):
                self.target.fetch(replace(disk, bitmap="since-test"), offer, silent)
        with self.source.offer(disk) as given, self.target.offer(disk) as filled:
            self.assertEqual(content(given), content(filled))
            if self.clouds.notes and Ability.WARM in self.target.about().abilities:
                self.assertEqual(filled.bitmaps, ("since-test",))
        self.target.start_server("one")
        with self.source.offer(disk) as offer, self.assertRaises(CloudError):
            self.target.fetch(disk, offer, silent)

    def test_what_does_not_exist_is_not_offered(self) -> None:
        for what in (replace(self.image, digest="sha256:" + "1" * 64), DiskRef("none", self.one.disks[0])):
            with self.assertRaises(NotFound), self.source.offer(what):
                pass

    def test_a_disk_that_is_written_is_offered_by_a_warm_cloud_alone(self) -> None:
        self.source.create_server(self.cluster, self.one)
        self.source.start_server("one")
        warm = Ability.WARM in self.source.about().abilities
        with (
            contextlib.nullcontext() if warm else self.assertRaises(CloudError),
            self.source.offer(DiskRef("one", self.one.disks[0])) as offer,
        ):
            before = content(offer)
            self.clouds.write("one", 8 * MIB, MIB, 7)
            self.assertEqual(content(offer), before)

    # Rounds of a warm move

    def running_pair(self) -> DiskRef:
        """Start a server at the source, and make it at the target."""
        self.need(Ability.WARM)
        self.give_image()
        for cloud in (self.source, self.target):
            cloud.create_server(self.cluster, self.one)
        self.source.start_server("one")
        return DiskRef("one", self.one.disks[0])

    def round(self, disk: DiskRef) -> Bytes:
        with self.source.offer(disk) as offer:
            return self.target.fetch(disk, offer, silent)

    def assert_about_one_mib(self, moved: Bytes) -> None:
        self.assertTrue(MIB <= moved <= 2 * MIB, moved)

    def assert_equal(self, disk: DiskRef) -> None:
        with self.source.offer(disk) as left, self.target.offer(disk) as right:
            self.assertEqual(content(left), content(right))

    def test_rounds_carry_what_has_changed(self) -> None:
        disk = self.running_pair()
        self.round(disk)
        self.assertLess(self.round(disk), MIB)
        self.clouds.write("one", 8 * MIB, MIB, 7)
        self.assert_about_one_mib(self.round(disk))
        self.clouds.write("one", 64 * MIB, MIB, 8)
        self.source.stop_server("one")
        for _ in range(2):  # the last delta can be repeated
            self.assert_about_one_mib(self.round(disk))
            self.assert_equal(disk)

    def test_a_round_that_failed_loses_no_change(self) -> None:
        disk = self.running_pair()
        self.round(disk)
        self.clouds.write("one", 8 * MIB, MIB, 7)
        with self.assertRaises(TransferError), self.source.offer(disk):
            raise TransferError("the WAN is cut")
        with self.assertRaises(Interrupted), self.source.offer(disk) as offer:
            self.target.fetch(disk, offer, self.interrupt)
        self.source.stop_server("one")
        self.assert_about_one_mib(self.round(disk))
        self.assert_equal(disk)

    def interrupt(self, _: Bytes) -> None:
        raise Interrupted("stopped by the user")

    def test_a_target_whose_disk_is_another_gets_everything(self) -> None:
        disk = self.running_pair()
        self.clouds.write("one", 8 * MIB, MIB, 7)
        self.round(disk)
        self.target.delete_server("one")
        self.target.create_server(self.cluster, self.one)
        with self.source.offer(disk) as offer:
            everything = offer.changed.get(disk.disk.blank)
            moved = self.target.fetch(disk, offer, silent)
        if everything is not None:
            self.assert_about_one_mib(moved)
        else:
            self.assertGreater(moved, MIB + self.image.size // 2)
        self.source.stop_server("one")
        if self.clouds.refills:
            self.target.start_server("one")  # from now on its disk is its own
            self.target.stop_server("one")
            self.assert_about_one_mib(self.round(disk))
        else:
            self.round(disk)
        self.assert_equal(disk)

    def test_what_has_arrived_is_what_boots(self) -> None:
        disk = self.running_pair()
        self.round(disk)
        self.clouds.write("one", 8 * MIB, MIB, 7)
        self.round(disk)
        with self.target.offer(disk) as offer:
            before = content(offer)
        self.target.start_server("one")
        self.target.stop_server("one")
        with self.target.offer(disk) as offer:
            self.assertEqual(content(offer), before)

    def test_a_server_that_ran_again_since_its_last_round(self) -> None:
        disk = self.running_pair()
        self.round(disk)
        self.source.stop_server("one")
        self.source.start_server("one")
        self.clouds.write("one", 8 * MIB, MIB, 7)
        self.assert_about_one_mib(self.round(disk))
        self.source.stop_server("one")
        self.assertEqual(self.round(disk), 0)
        self.assert_equal(disk)

    def test_a_move_that_was_given_up_is_forgotten(self) -> None:
        disk = self.running_pair()
        self.round(disk)
        for _ in range(2):
            self.source.adopt_server("one")
        self.source.stop_server("one")
        with self.source.offer(disk) as offer:
            self.assertLessEqual(set(offer.changed), {disk.disk.blank})

    # Servers that come back

    def test_a_server_that_was_taken_for_one_elsewhere_is_what_it_was(self) -> None:
        self.running_pair()
        before = self.source.cluster("tests")
        for elsewhere in (True, True, False, False):
            self.source.adopt_server("one", elsewhere=elsewhere)
            self.assertEqual(self.source.cluster("tests"), before)
            self.assertEqual(self.source.server_state("one"), ServerState.RUNNING)
        self.source.adopt_server("one", elsewhere=True)
        self.source.stop_server("one")
        self.source.start_server("one")
        self.assertEqual(self.source.cluster("tests"), before)

    def assert_kept(self, name: str) -> None:
        """Let a server go whose disks are kept, and see that it is gone as if they were not."""
        self.target.delete_server(name, "since-test")
        self.addCleanup(self.drop_kept)
        if self.target.about().seeds != {name: "since-test"}:
            self.skipTest("this cloud keeps nothing")
        self.assertEqual(self.target.server_state(name), ServerState.ABSENT)
        self.assertEqual(self.target.clusters(), ())
        used = self.target.quota()[1]
        self.assertEqual((used.vcpus, used.memory, used.disk), (0, 0, 0))

    def drop_kept(self) -> None:
        """Let nothing be kept of the server for the next test."""
        self.target.delete_server("one")
        self.target.create_server(self.cluster, self.one)
        self.target.delete_server("one")

    def moved_from_the_target(self) -> DiskRef:
        """Let a server with 4 MiB of its own come from the target, which keeps its disks, and run at the source."""
        disk = self.running_pair()
        self.clouds.write("one", 8 * MIB, 4 * MIB, 5)
        self.source.stop_server("one")
        self.assertGreaterEqual(self.round(disk), 4 * MIB)
        self.source.delete_server("one")
        self.source.create_server(self.cluster, self.one)
        with self.target.offer(disk) as offer:
            self.source.fetch(replace(disk, bitmap="since-test"), offer, silent)
        self.assert_kept("one")
        self.source.start_server("one")
        return disk

    def test_a_server_that_comes_back_is_given_what_has_changed(self) -> None:
        disk = self.moved_from_the_target()
        self.clouds.write("one", 64 * MIB, MIB, 7)
        self.source.stop_server("one")
        self.target.create_server(self.cluster, self.one)
        self.assertEqual(self.target.about().seeds, {})
        for _ in range(2):
            self.assert_about_one_mib(self.round(disk))
            self.assert_equal(disk)

    def test_a_server_that_comes_back_in_rounds(self) -> None:
        if Ability.WARM not in self.source.about().abilities:
            self.skipTest("it offers no disk of a running server")
        disk = self.moved_from_the_target()
        self.clouds.write("one", 64 * MIB, MIB, 7)
        self.target.create_server(self.cluster, self.one)
        self.assert_about_one_mib(self.round(disk))
        self.clouds.write("one", 9 * MIB, MIB, 8)
        self.source.stop_server("one")
        self.assert_about_one_mib(self.round(disk))
        self.assert_equal(disk)

    def test_a_server_whose_record_of_writes_is_lost_is_given_everything(self) -> None:
        disk = self.moved_from_the_target()
        self.source.stop_server("one")
        self.target.create_server(self.cluster, self.one)
        with self.source.offer(disk) as offer:
            changed = {disk.disk.blank: offer.changed[disk.disk.blank]}
            self.assertGreaterEqual(self.target.fetch(disk, replace(offer, changed=changed), silent), 4 * MIB)
        self.assert_equal(disk)

    def test_a_server_that_is_started_before_it_is_filled_begins_empty(self) -> None:
        disk = self.moved_from_the_target()
        self.source.stop_server("one")
        self.target.create_server(self.cluster, self.one)
        self.target.start_server("one")
        self.target.stop_server("one")
        with self.source.offer(disk) as full, self.target.offer(disk) as empty:
            self.assertNotEqual(content(full), content(empty))
        self.assertGreaterEqual(self.round(disk), 4 * MIB)
        self.assert_equal(disk)

    def test_what_is_kept_is_for_a_server_with_the_same_disks(self) -> None:
        self.give_image()
        self.target.create_server(self.cluster, self.one)
        self.assert_kept("one")
        other = replace(self.one, disks=(replace(self.one.disks[0], size=Bytes(64 * MIB)),))
        self.assertEqual(self.target.receive_server(self.cluster, other).seeds, frozenset())
        self.target.delete_server("one")
        self.target.delete_server("one", "since-test")
        self.assertEqual(self.target.receive_server(self.cluster, self.one).seeds, {"root"})

    def test_a_server_that_comes_back_waits_for_its_memory_over_what_was_kept(self) -> None:
        self.need(Ability.HYPERVISOR)
        self.give_image()
        self.assertEqual(self.target.receive_server(self.cluster, self.one).seeds, frozenset())
        self.target.adopt_server("one")
        self.assert_kept("one")
        landing = self.target.receive_server(self.cluster, self.one)
        self.assertEqual(landing.seeds, {"root"})
        self.assertEqual(self.target.receive_server(self.cluster, self.one), landing)
        self.target.adopt_server("one")
        self.target.delete_server("one")
        self.assertEqual(self.target.receive_server(self.cluster, self.one).seeds, frozenset())

    def test_several_read_at_once(self) -> None:
        with self.source.offer(self.image) as first, self.source.offer(self.image) as second:
            self.assertNotEqual(first.uri, second.uri)
            self.assertEqual(dataclasses.fields(first), dataclasses.fields(Offer))

    # Servers

    def test_the_life_of_a_server(self) -> None:
        self.assertEqual(self.source.server_state("one"), ServerState.ABSENT)
        self.source.create_server(self.cluster, self.one)
        self.assertEqual(self.source.server_state("one"), ServerState.STOPPED)
        for _ in range(2):
            self.source.start_server("one")
            self.assertEqual(self.source.server_state("one"), ServerState.RUNNING)
        for _ in range(2):
            self.source.stop_server("one")
            self.assertEqual(self.source.server_state("one"), ServerState.STOPPED)
        self.source.start_server("one")
        for _ in range(2):
            self.source.delete_server("one")
            self.assertEqual(self.source.server_state("one"), ServerState.ABSENT)
        self.assertEqual(self.source.quota()[1].vcpus, 0)
        for act in (self.source.start_server, self.source.stop_server, self.source.monitor, self.source.adopt_server):
            with self.assertRaises(NotFound):
                act("one")

    def test_the_same_server_again(self) -> None:
        first = self.source.create_server(self.cluster, self.one)
        self.assertEqual(first.site, self.source.about().name)
        self.assertEqual(list(first.ports), ["52:54:00:60:00:01"])
        used = self.source.quota()[1]
        self.assertEqual(self.source.create_server(self.cluster, self.one), first)
        self.assertEqual(self.source.quota()[1], used)
        self.assertEqual((used.vcpus, used.memory, used.disk), (1, self.clouds.memory, self.clouds.disk))

    def test_taken_addresses(self) -> None:
        self.source.create_server(self.cluster, self.one)
        self.assert_refused(AddressTaken, self.server("one", 2))
        self.assert_refused(AddressTaken, self.server("three", 1))

    def test_the_quota_holds(self) -> None:
        allowed = self.source.quota()[0]
        disk = Disk("root", Bytes(allowed.disk + 1), self.image)
        self.assert_refused(QuotaReached, replace(self.one, vcpus=allowed.vcpus + 1))
        self.assert_refused(QuotaReached, replace(self.one, memory=Bytes(allowed.memory + 1)))
        self.assert_refused(QuotaReached, replace(self.one, disks=(disk,)))
        self.assertEqual(self.source.server_state("one"), ServerState.ABSENT)
        self.source.create_server(self.cluster, self.one)
        self.assert_refused(QuotaReached, replace(self.server("two", 2), vcpus=allowed.vcpus))

    def test_the_quota_holds_when_two_ask_at_once(self) -> None:
        half = self.source.quota()[0].vcpus // 2 + 1
        servers = [replace(server, vcpus=half) for server in self.cluster.servers]

        def make(server: Server) -> bool:
            try:
                self.source.create_server(self.cluster, server)
            except QuotaReached:
                return False
            return True

        with ThreadPoolExecutor() as pool:
            self.assertEqual(sorted(pool.map(make, servers)), [False, True])
        self.assertEqual(self.source.quota()[1].vcpus, half)

    def test_a_missing_image(self) -> None:
        missing = replace(self.image, digest="sha256:" + "2" * 64)
        self.assert_refused(NotFound, replace(self.one, disks=(Disk("root", self.clouds.disk, missing),)))

    # Live moves

    def test_a_server_that_waits_for_its_memory(self) -> None:
        self.need(Ability.HYPERVISOR)
        landing = self.source.receive_server(self.cluster, self.one)
        self.assertEqual(self.source.server_state("one"), ServerState.INCOMING)
        self.assertEqual(self.source.receive_server(self.cluster, self.one), landing)
        self.assertEqual(self.source.monitor("one"), landing.monitor)
        self.assertEqual(list(landing.monitor.nodes), ["root"])
        self.assertEqual(self.source.clusters(), ())
        self.assertEqual(self.conflicts(self.one), [])
        other = self.source.receive_server(self.cluster, self.server("two", 2))
        self.assertEqual(len({each for it in (landing, other) for each in (it.memory_port, it.nbd_port)}), 4)
        with self.assertRaises(CloudError):
            self.source.start_server("one")
        self.source.adopt_server("one")
        self.source.adopt_server("one")
        self.assertEqual(self.source.clusters(), ("tests",))
        self.source.delete_server("one")
        self.assertEqual(self.source.server_state("one"), ServerState.ABSENT)

    def test_a_stopped_server_has_no_monitor(self) -> None:
        self.source.create_server(self.cluster, self.one)
        with self.assertRaises(NotFound):
            self.source.monitor("one")

"""What of the OpenStack adapter is pure: from the services' own words to the model, and back."""

import unittest
from types import SimpleNamespace
from typing import Any

from openstack.compute.v2.server import Server as Instance
from openstack.exceptions import ConflictException, ForbiddenException, HttpException, NotFoundException
from openstack.image.v2.image import Image as Stored
from openstack.network.v2.network import Network as Net
from openstack.network.v2.port import Port
from openstack.network.v2.security_group_rule import SecurityGroupRule
from openstack.network.v2.subnet import Subnet

from intercloud.clouds.openstack import images, networks
from intercloud.clouds.openstack.aside import ASIDE, is_away, own, tags_away, tags_back
from intercloud.clouds.openstack.domain import aliases, incoming, layout, node, receiving
from intercloud.clouds.openstack.door import Door, translate
from intercloud.clouds.openstack.images import describe, hardware
from intercloud.clouds.openstack.inventory import Inventory
from intercloud.clouds.openstack.names import DIGEST, FOR_BOOT, FOR_CONTENT, KEY, WAITS
from intercloud.clouds.openstack.networks import (
    derived_key,
    free_ranges,
    key,
    port_losses,
    read_network,
    read_nic,
    read_rule,
)
from intercloud.clouds.openstack.receiver.build import FAILS, HOLDS, Patch
from intercloud.clouds.openstack.selection import Selection
from intercloud.clouds.openstack.servers import Servers, fits, gib, own_metadata, state, too_old
from intercloud.clouds.openstack.volumes import Volumes
from intercloud.clouds.port import ServerState
from intercloud.errors import AddressTaken, CloudError, CloudUnreachable, NotFound, QuotaReached
from intercloud.model.server import Cluster, Disk, Image, Network, Nic, Rule, Server, Volume
from intercloud.units import GIB, MIB, Bytes


class States(unittest.TestCase):
    def state(self, status: str, power: int, **metadata: str) -> ServerState:
        return state(Instance(status=status, power_state=power, metadata=metadata))

    def test_of_an_ordinary_server(self) -> None:
        self.assertIs(state(None), ServerState.ABSENT)
        self.assertIs(self.state("ACTIVE", 1), ServerState.RUNNING)
        self.assertIs(self.state("PAUSED", 3), ServerState.PAUSED)
        self.assertIs(self.state("SHUTOFF", 4), ServerState.STOPPED)
        self.assertIs(self.state("ERROR", 0), ServerState.STOPPED)

    def test_what_its_record_does_not_know_of_counts_as_it_really_is(self) -> None:
        self.assertIs(self.state("ACTIVE", 3), ServerState.PAUSED)
        self.assertIs(self.state("ERROR", 1), ServerState.RUNNING)

    def test_one_that_is_being_booted_may_run_at_any_moment(self) -> None:
        for status in ("BUILD", "REBUILD", "REBOOT"):
            self.assertIs(self.state(status, 4), ServerState.RUNNING)

    def test_a_place_is_a_stopped_server_though_it_runs(self) -> None:
        self.assertIs(self.state("ACTIVE", 1, **{WAITS: FOR_CONTENT}), ServerState.STOPPED)
        self.assertIs(self.state("RESCUE", 1, **{WAITS: FOR_CONTENT}), ServerState.STOPPED)

    def test_a_place_that_is_completed_may_run_from_the_moment_that_its_rescue_ends(self) -> None:
        marked = {WAITS: FOR_BOOT}
        self.assertIs(self.state("SHUTOFF", 4, **marked), ServerState.STOPPED)
        self.assertIs(self.state("RESCUE", 1, **marked), ServerState.STOPPED)
        for status, task in (("RESCUE", "unrescuing"), ("ACTIVE", None)):
            leaving = Instance(status=status, power_state=1, metadata=marked, task_state=task)
            self.assertIs(state(leaving), ServerState.RUNNING)
        entering = Instance(status="SHUTOFF", power_state=1, metadata=marked, task_state="rescuing")
        self.assertIs(state(entering), ServerState.STOPPED)


class Patches(unittest.TestCase):
    PATCH = Patch("a" * 32, "b" * 64)

    def test_the_console_says_whether_one_was_written(self) -> None:
        for said, arrived in (
            ("", None),
            ("Loading initrd.gz...ok\n", None),
            (f"{HOLDS} {'c' * 32} {'b' * 64}\n", None),
            (f"x\n{HOLDS} {'a' * 32} {'b' * 64}\ny", True),
            (f"{HOLDS} {'a' * 32} {'d' * 64}\n", False),
            (f"{HOLDS} {'a' * 32}", None),
            (f"{FAILS} {'a' * 32}\n", False),
        ):
            with self.subTest(said):
                self.assertIs(self.PATCH.arrived(said), arrived)


class Losses(unittest.TestCase):
    def blocking(self, status: str, **metadata: str) -> list[str]:
        door = Door("here", {})
        stored, volumes, nets = images.Images("here", door), Volumes("here", door), networks.Networks("here", door)
        found = Inventory("here", stored, Servers("here", door), volumes, nets, {})
        flavor = {"disk": 1, "ephemeral": 0, "original_name": "small"}
        server = Instance.existing(name="db", status=status, metadata=metadata, flavor=flavor, attached_volumes=[])
        return [loss.text for loss in found.losses(server, ()) if loss.blocking]

    def test_an_older_nova_cannot_boot_servers_from_their_volumes(self) -> None:
        here, rooted = (
            Server(name, 1, Bytes(1), (Disk("root", Bytes(1), volume=volume),), ())
            for name, volume in (("web", None), ("db", Volume("data")))
        )
        for spoken, version in (((2, 92), "2.92"), (None, "2.1")):
            (found,) = too_old("b", spoken, (here, rooted))
            self.assertIn(f"b: its Nova (up to microversion {version}) cannot fill the volume that a", found.line)
            self.assertTrue(found.blocking and found.line.endswith("or leave db out"), found.line)
            self.assertEqual([*too_old("b", spoken, (here,))], [])
        self.assertEqual([*too_old("b", (2, 93), (here, rooted))], [])

    def test_a_server_that_is_more_or_less_than_its_parts_is_not_moved(self) -> None:
        for status in ("RESCUE", "SUSPENDED", "SHELVED_OFFLOADED", "VERIFY_RESIZE", "ERROR"):
            self.assertEqual(self.blocking(status), [f"is in Nova's state {status}"])
        for status in ("ACTIVE", "SHUTOFF", "PAUSED"):
            self.assertEqual(self.blocking(status), [])
        self.assertEqual(self.blocking("RESCUE", **{WAITS: FOR_CONTENT}), [])

    def test_the_disk_of_a_flavor_is_nothing_to_a_server_that_boots_from_a_volume(self) -> None:
        for disk, local in ((1, True), (0, False), (20, False)):
            flavor = SimpleNamespace(vcpus=1, ram=1, disk=disk, ephemeral=0)
            for volume, fitting in ((None, local), (Volume("data"), True)):
                server = Server("db", 1, MIB, (Disk("root", GIB, volume=volume),), ())
                self.assertIs(fits(flavor, server), fitting, (disk, volume))

    def test_flavors_count_whole_gib(self) -> None:
        self.assertEqual([gib(size) for size in (1, GIB, GIB + 1)], [1, 1, 2])


class Hardware(unittest.TestCase):
    def test_what_nova_builds_a_machine_from_is_read_of_images_and_of_servers(self) -> None:
        told = {"hw_machine_type": "q35", "os_type": "linux", "os_hash_algo": "sha512", "note": "mine"}
        wanted = {"hw_machine_type": "q35", "os_type": "linux"}
        self.assertEqual(hardware(Stored(**told)), wanted)
        server = Instance.existing(image={"id": "1", "links": [], "properties": {**told, "links": []}})
        self.assertEqual(hardware(server.image), wanted)
        self.assertEqual(hardware(None), {})


class Words(unittest.TestCase):
    def translated(self, kind: type[HttpException], status: int, details: str) -> Exception:
        error = kind(details=details)
        error.status_code = status
        return translate("there", error)

    def test_each_complaint_is_one_of_ours(self) -> None:
        for kind, status, details, ours in (
            (ForbiddenException, 403, "Quota exceeded for cores: Requested 3, but already used 2 of 4", QuotaReached),
            (ConflictException, 409, "Quota exceeded for resources: ['port'].", QuotaReached),
            (ConflictException, 409, "The mac address 52:54:00:00:00:01 is in use.", AddressTaken),
            (ConflictException, 409, "IP address 10.0.0.1 already allocated in subnet x", AddressTaken),
            (ConflictException, 409, "Cannot 'stop' instance while it is in vm_state building", CloudError),
            (NotFoundException, 404, "Instance could not be found.", NotFound),
            (ForbiddenException, 403, "Policy doesn't allow it", CloudError),
            (HttpException, 503, "The server is unavailable", CloudUnreachable),
        ):
            with self.subTest(details):
                found = self.translated(kind, status, details)
                self.assertIs(type(found), ours)
                self.assertTrue(str(found).startswith("there"))
                self.assertIn(details, str(found))


class Networks(unittest.TestCase):
    def test_a_key_is_noted_or_follows_from_the_name(self) -> None:
        self.assertEqual(key(Net(name="shop", tags=["x", f"{KEY}5001"])), 5001)
        self.assertEqual(key(Net(name="shop", tags=[])), derived_key("shop"))
        self.assertTrue(0 < derived_key("shop") < 1 << 24)
        self.assertNotEqual(derived_key("shop"), derived_key("shop2"))

    def test_a_network_with_and_without_a_subnet(self) -> None:
        net = Net(name="shop", mtu=1400, tags=[f"{KEY}5"])
        subnet = Subnet(cidr="10.0.0.0/24", gateway_ip="10.0.0.1", is_dhcp_enabled=True)
        self.assertEqual(read_network(net, subnet), Network("shop", 5, "10.0.0.0/24", 1400, "10.0.0.1"))
        self.assertEqual(read_network(net, None), Network("shop", 5, "", 1400, dhcp=False))

    def test_the_cloud_takes_no_address_of_a_server(self) -> None:
        self.assertEqual(
            free_ranges("10.0.0.0/29", ["10.0.0.1", "10.0.0.4", "10.9.9.9", ""]),
            [{"start": "10.0.0.2", "end": "10.0.0.3"}, {"start": "10.0.0.5", "end": "10.0.0.6"}],
        )
        self.assertEqual(free_ranges("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]), [])

    def test_a_card(self) -> None:
        port = Port(
            mac_address="52:54:00:00:00:01",
            fixed_ips=[{"ip_address": "10.0.0.5", "subnet_id": "s"}],
            security_group_ids=["g2", "g1"],
            allowed_address_pairs=[
                {"ip_address": "10.0.0.9", "mac_address": "52:54:00:00:00:01"},
                {"ip_address": "10.0.0.8", "mac_address": "52:54:00:00:00:99"},
            ],
            is_port_security_enabled=True,
        )
        wanted = Nic(
            "shop", "52:54:00:00:00:01", "10.0.0.5", ("db", "web"), ("10.0.0.8 52:54:00:00:00:99", "10.0.0.9"), True
        )
        self.assertEqual(read_nic(port, "shop", {"g1": "web", "g2": "db"}), wanted)
        self.assertFalse(read_nic(Port(is_port_security_enabled=False, mac_address="m"), "shop", {}).guarded)

    def test_what_of_a_card_stays_behind(self) -> None:
        def lines(*addresses: str) -> list[tuple[str, bool]]:
            port = Port(id="p", mac_address="m", fixed_ips=[{"ip_address": each} for each in addresses])
            return [(each.line, each.blocking) for each in port_losses("web", [port], {"other": "203.0.113.7"})]

        self.assertEqual(lines("10.0.0.5"), [])
        ((line, blocking),) = lines("10.0.0.5", "fd00::5")
        self.assertTrue(blocking and "its card m has more addresses: fd00::5" in line, line)
        for addresses, words in (((), "has no address"), (("fd00::5",), "has fd00::5")):
            ((line, blocking),) = lines(*addresses)
            self.assertTrue(blocking and f"web: its card m {words}, and an IPv4 address is what" in line, line)
        ((line, blocking),) = (
            (each.line, each.blocking)
            for each in port_losses("web", [Port(id="p", fixed_ips=[{"ip_address": "10.0.0.5"}])], {"p": "203.0.113.7"})
        )
        self.assertTrue(not blocking and "its floating IP 203.0.113.7 stays" in line, line)

    def test_a_rule_names_the_group_that_it_lets_in(self) -> None:
        rule = SecurityGroupRule(
            direction="ingress", ether_type="IPv4", protocol="tcp", port_range_min=1, port_range_max=2,
            remote_group_id="g1",
        )  # fmt: skip
        self.assertEqual(read_rule(rule, {"g1": "web"}), Rule("ingress", "IPv4", "tcp", (1, 2), None, "web"))


class PortsAside(unittest.TestCase):
    def test_a_port_becomes_again_what_it_was(self) -> None:
        was: dict[str, Any] = {
            "is_port_security_enabled": True,
            "security_group_ids": ["g1", "g2"],
            "allowed_address_pairs": [{"ip_address": "10.0.0.0/24", "mac_address": "52:54:00:00:00:01"}],
        }
        for options in (was, dict(ASIDE)):
            port = Port(tags=["mine"], **options)
            away = Port(tags=tags_away(port), **ASIDE)
            with self.subTest(tags=away.tags):
                self.assertEqual((is_away(port), is_away(away)), (False, True))
                self.assertEqual((own(port), own(away)), (options, options))
                self.assertEqual(tags_away(away), away.tags)
                self.assertEqual(tags_back(away), ["mine"])


class Images(unittest.TestCase):
    def test_its_name_in_every_cloud(self) -> None:
        image: dict[str, Any] = {"name": "guest", "size": 3, "disk_format": "qcow2", "hash_algo": "sha512"}
        self.assertEqual(
            describe(Stored(**image, hash_value="ab", tags=[])), Image("sha512:ab", "guest", Bytes(3), "qcow2")
        )
        noted = describe(Stored(**image, hash_value="ab", tags=[f"{DIGEST}sha256:cd"]))
        assert noted is not None
        self.assertEqual(noted.digest, "sha256:cd")
        self.assertIsNone(describe(Stored(**image, tags=[])))


class Places(unittest.TestCase):
    def server(self, **metadata: str) -> Server:
        image = Image("sha512:ab", "guest", Bytes(3))
        return Server("db", 1, Bytes(1), (Disk("root", Bytes(1), image),), (), metadata)

    def test_what_is_written_on_a_place(self) -> None:
        told = own_metadata(
            Cluster("shop", (), (), "http://x/"), self.server(role="db", user_data="secret"), FOR_CONTENT
        )
        self.assertEqual(told["role"], "db")
        self.assertNotIn("secret", told.values())
        self.assertEqual(told["intercloud:cluster"], "shop")
        self.assertEqual(told["intercloud:base"], "sha512:ab")

    def test_what_is_too_long_is_told(self) -> None:
        with self.assertRaisesRegex(CloudError, "db: its metadatum role is longer than 255 characters"):
            own_metadata(Cluster("shop", (), ()), self.server(role="x" * 256), FOR_CONTENT)


class Domains(unittest.TestCase):
    XML = """<domain type="kvm"><name>i</name><devices>
        <disk type="file" device="disk"><target dev="vda" bus="virtio"/><alias name="virtio-disk0"/></disk>
        <disk type="file" device="cdrom"><target dev="hda" bus="ide"/><alias name="ide0-0-0"/></disk>
        <interface type="ethernet"><target dev="tap1"/></interface><interface><target dev="tap2"/></interface>
        </devices></domain>"""

    def test_one_that_waits_for_its_memory_says_so(self) -> None:
        self.assertEqual(incoming(self.XML), [])
        changed = receiving(self.XML, {})
        self.assertEqual(incoming(changed), ["-incoming", "defer"])

    def test_its_devices_are_where_those_of_the_other_machine_are(self) -> None:
        def machine(*devices: str) -> str:
            slots = (f'<address type="pci" domain="0x0" bus="0x0" slot="0x{3 + n}" function="0x0"/>' for n in range(9))
            parts = [f"<{words}>{slot}</{words.split()[0]}>" for words, slot in zip(devices, slots, strict=False)]
            return f"<domain><devices>{''.join(parts)}</devices></domain>"

        balloon = "memballoon model='virtio'"
        built, attached = machine("rng", balloon, "rng"), machine(balloon, "rng")
        wanted = layout(attached)
        self.assertEqual(wanted, {"memballoon virtio 1": "0x0 0x0 0x3 0x0", "rng 1": "0x0 0x0 0x4 0x0"})
        self.assertEqual(layout(receiving(built, wanted)), wanted)  # what only one has is put where there is room

    def test_the_node_under_a_disk(self) -> None:
        blocks: list[dict[str, Any]] = [
            {"qdev": "ide0-0-0", "inserted": {"node-name": "cd"}},
            {"qdev": "/machine/peripheral/virtio-disk0/virtio-backend", "inserted": {"node-name": "libvirt-2-format"}},
        ]
        self.assertEqual(aliases(self.XML), {"vda": "virtio-disk0"})
        self.assertEqual(node(blocks, "virtio-disk0"), "libvirt-2-format")
        with self.assertRaisesRegex(CloudError, "no disk virtio-disk1"):
            node(blocks, "virtio-disk1")


class Selections(unittest.TestCase):
    def test_all_of_it_must_fit(self) -> None:
        db: Any = SimpleNamespace(name="shop-db", tags=["prod"], metadata={"app": "shop", "tier": "db"})
        for selection, holds in (
            (Selection(), False),
            (Selection(health="http://x/"), False),
            (Selection(names=("web-*", "shop-*")), True),
            (Selection(names=("web-*",)), False),
            (Selection(tag="prod"), True),
            (Selection(tag="prod", metadata={"app": "other"}), False),
            (Selection(metadata={"app": "shop"}, names=("*-db",)), True),
        ):
            with self.subTest(selection):
                self.assertEqual(selection.holds(db), holds)


if __name__ == "__main__":
    unittest.main()

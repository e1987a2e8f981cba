"""Servers behind a cloud's own fabric: they share one port of the border bridge."""

import unittest
from collections.abc import Collection
from dataclasses import replace

from intercloud.control import cutover
from intercloud.control.fabric import announcements, flows
from intercloud.control.pipeline import BORDER
from intercloud.control.registry import Endpoint, Registry
from intercloud.model.server import Nic
from tests.fakes.flow_table import World

from .world import APP, BROADCAST, CLIENT, WEB, arp_request, ip_packet, registry, site


def behind_fabrics() -> Registry:
    """Let web and app be behind the fabric of a, and web land behind that of b; the client has a device of its own."""
    apart = registry().drop(endpoints=[mac for mac in registry().endpoints if mac != CLIENT.mac])
    return apart.put(
        sites=[replace(site(name, number), fabrics={"blue": f"fab-{name}"}) for number, name in enumerate("ab", 1)],
        endpoints=[replace(WEB, ports={"a": "fab-a", "b": "fab-b"}), replace(APP, ports={"a": "fab-a"})],
    )


class TestFabrics(unittest.TestCase):
    def setUp(self) -> None:
        self.registry = behind_fabrics()
        self.world = World(self.registry)

    def moved(self) -> World:
        """The switches after a cutover of web to b."""
        for stage in cutover.stages(self.registry, {WEB.mac: "b"}, self.world.ports):
            for name, batch in stage.items():
                self.world.tables[name].apply(batch)
        return self.world

    def test_all_are_reached_through_the_one_port(self) -> None:
        for target in (WEB, APP):
            self.assertEqual(self.world.send("c", "tap-client", ip_packet(CLIENT, target)), [("a", "fab-a")])
            self.assertEqual(self.world.send("a", "fab-a", ip_packet(target, CLIENT)), [("c", "tap-client")])

    def test_what_the_fabric_carries_by_itself_does_not_come_back(self) -> None:
        self.assertEqual(self.world.send("a", "fab-a", ip_packet(WEB, APP)), [])
        self.assertNotIn(("a", "fab-a"), self.world.send("a", "fab-a", ip_packet(WEB, BROADCAST)))

    def test_only_who_is_elsewhere_is_answered_for(self) -> None:
        ((here, device, answer),) = self.world.hop("a", "fab-a", arp_request(APP, CLIENT.ip))
        self.assertEqual((here, device, answer["arp_sha"]), ("a", "fab-a", CLIENT.mac))
        self.assertNotIn(("a", "fab-a"), self.world.send("a", "fab-a", arp_request(APP, WEB.ip)))
        moved = self.moved()
        ((here, device, answer),) = moved.hop("a", "fab-a", arp_request(APP, WEB.ip))
        self.assertEqual((here, device, answer["arp_sha"]), ("a", "fab-a", WEB.mac))

    def test_a_cutover_leads_to_what_is_wanted_at_rest(self) -> None:
        moved = self.moved()
        after = self.registry.move({WEB.mac: "b"})
        for name, ports in moved.ports.items():
            self.assertEqual(moved.tables[name].flows, flows(after, name, ports))
        self.assertEqual(moved.send("a", "fab-a", ip_packet(APP, WEB)), [("b", "fab-b")])
        self.assertEqual(moved.send("c", "tap-client", ip_packet(CLIENT, WEB)), [("b", "fab-b")])

    def told(self, seen: Registry, name: str, left: Collection[str] = ()) -> dict[str, bool]:
        """Who a fabric is told of, and whether it shall look for it at the border."""
        told = announcements(seen, name, self.world.ports[name], left)
        self.assertLessEqual({each.port for each in told}, {self.world.ports[name][f"fab-{name}"]})
        return {each.endpoint.name: each.here for each in told}

    def test_a_fabric_hears_of_those_that_are_elsewhere(self) -> None:
        after = self.registry.move({WEB.mac: "b"})
        self.assertEqual(self.told(self.registry, "a"), {"client": True, "web": False, "app": False})
        self.assertEqual(self.told(after, "a"), {"client": True, "web": True, "app": False})
        self.assertEqual(announcements(after, "c", self.world.ports["c"]), ())

    def test_a_fabric_where_nobody_looks_for_them_is_left_in_ignorance(self) -> None:
        self.assertEqual(self.told(self.registry, "b"), {})
        moves = {WEB.mac: "b", APP.mac: "b"}
        after = self.registry.put(endpoints=[replace(APP, ports={"a": "fab-a", "b": "fab-b"})]).move(moves)
        self.assertEqual(self.told(after, "a", moves), {})
        self.assertEqual(self.told(after, "b", moves), {"client": True, "web": False, "app": False})
        gateway = after.put(networks=[replace(after.networks["blue"], gateway="10.50.0.1")])
        self.assertEqual(self.told(gateway, "a", moves), {"web": True, "app": True})
        self.assertEqual(self.told(gateway, "a"), {})

    def test_what_is_said_to_the_border_itself_goes_no_further(self) -> None:
        answer = {**arp_request(WEB, "0.0.0.0"), "eth_dst": BORDER, "arp_op": 2}
        self.assertEqual(self.world.send("a", "fab-a", answer), [])

    def test_dhcp_stays_in_the_fabric(self) -> None:
        asks = {**ip_packet(WEB, BROADCAST), "ip_proto": 17}
        for port, reached in ((67, []), (68, []), (53, [("c", "tap-client")])):
            self.assertEqual(self.world.send("a", "fab-a", {**asks, "udp_dst": port}), reached)

    def test_spoofed_packets_are_dropped(self) -> None:
        self.assertEqual(self.world.send("a", "fab-a", {**ip_packet(WEB, CLIENT), "ipv4_src": APP.ip}), [])

    def test_it_survives_being_written_down(self) -> None:
        self.assertEqual(Registry.from_json(self.registry.to_json()), self.registry)


OUTSIDE = replace(CLIENT, ip="203.0.113.9")
"""What a router passes on comes from any address."""


def router(name: str, number: int) -> Endpoint:
    """A router in the fabric of a site, at the gateway's address."""
    at = f"fab-{name}"
    return Endpoint(f"router {name}", "blue", f"52:54:00:00:01:0{number}", "10.0.0.254", name, {name: at}, routes=True)


class TestRouters(unittest.TestCase):
    """Both clouds may have a router at the gateway's address; web has moved from a to b."""

    here, there = router("a", 1), router("b", 2)

    def world(self, *routers: Endpoint) -> World:
        return World(behind_fabrics().move({WEB.mac: "b"}).put(endpoints=routers))

    def test_the_only_one_serves_those_that_are_elsewhere(self) -> None:
        world = self.world(self.here)
        through = {**ip_packet(self.here, WEB), "ipv4_src": OUTSIDE.ip}
        self.assertEqual(world.send("a", "fab-a", through), [("b", "fab-b")])
        self.assertEqual(world.send("b", "fab-b", ip_packet(WEB, self.here)), [("a", "fab-a")])
        ((_, device, answer),) = world.hop("b", "fab-b", arp_request(WEB, self.here.ip))
        self.assertEqual((device, answer["arp_sha"]), ("fab-b", self.here.mac))
        told = announcements(world.registry, "b", world.ports["b"])
        self.assertIn((self.here.mac, True), [(each.endpoint.mac, each.here) for each in told])

    def test_only_a_router_sends_from_any_address(self) -> None:
        world = self.world(self.here)
        self.assertEqual(world.send("a", "fab-a", {**ip_packet(APP, WEB), "ipv4_src": OUTSIDE.ip}), [])
        self.assertEqual(world.send("b", "fab-b", {**ip_packet(self.here, APP), "ipv4_src": OUTSIDE.ip}), [])

    def test_the_own_one_takes_the_place_of_that_which_a_server_remembers(self) -> None:
        world = self.world(self.here, self.there)
        ((site, device, handed),) = world.hop("b", "fab-b", ip_packet(WEB, self.here))
        self.assertEqual((site, device, handed["eth_dst"]), ("b", "fab-b", self.there.mac))
        told = announcements(world.registry, "b", world.ports["b"])
        self.assertNotIn(self.here.mac, [each.endpoint.mac for each in told])

    def test_each_answers_only_in_its_own_cloud(self) -> None:
        world = self.world(self.here, self.there)
        self.assertEqual(world.send("a", "fab-a", arp_request(APP, self.here.ip)), [])
        self.assertEqual(world.send("b", "fab-b", arp_request(WEB, self.here.ip)), [])
        ((_, _, answer),) = world.hop("c", "tap-client", arp_request(CLIENT, self.here.ip))
        self.assertEqual(answer["arp_sha"], self.here.mac)
        self.assertEqual(world.send("c", "tap-client", ip_packet(CLIENT, self.there)), [("b", "fab-b")])

    def test_they_are_found_in_networks_that_are_known(self) -> None:
        known = behind_fabrics()
        here, there = (Nic("blue", each.mac, each.ip) for each in (self.here, self.there))
        found = known.routers({"a": (here,), "b": (there, replace(there, network="none", mac="52:54:00:00:01:09"))})
        wanted = [(each.mac, each.ip, each.ports) for each in (self.here, self.there)]
        self.assertEqual([(each.mac, each.ip, each.ports) for each in found], wanted)
        self.assertEqual(known.routers({"a": (here,), "b": (here,)}), ())


if __name__ == "__main__":
    unittest.main()

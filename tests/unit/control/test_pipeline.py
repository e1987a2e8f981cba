"""Where packets go in the fabric at rest."""

import unittest

from intercloud.control.fabric import flows
from intercloud.model.site import Tunnel
from tests.fakes.flow_table import FlowTable, World

from .world import APP, BROADCAST, CLIENT, DB, OTHER, WEB, arp_request, ip_packet, registry


class TestPipeline(unittest.TestCase):
    def setUp(self) -> None:
        self.world = World(registry())

    def test_unicast_reaches_only_its_endpoint_from_every_site(self) -> None:
        for tunnel in Tunnel:
            world = World(registry(tunnel))
            for source in (APP, DB, CLIENT):
                reached = world.send(source.site, source.ports[source.site], ip_packet(source, WEB))
                self.assertEqual(reached, [("a", "tap-web")])

    def test_same_addresses_in_another_network_are_another_endpoint(self) -> None:
        """`other` has web's IP address, in another network: neither sees the other's packets."""
        self.assertEqual(self.world.send("a", "tap-other", ip_packet(OTHER, APP)), [])
        ((_, _, answer),) = self.world.hop("c", "tap-client", arp_request(CLIENT, "10.0.0.1"))
        self.assertEqual(answer["eth_src"], WEB.mac)

    def test_arp_is_answered_where_it_is_asked(self) -> None:
        for target in (WEB, DB, APP):
            ((site, device, answer),) = self.world.hop("c", "tap-client", arp_request(CLIENT, target.ip))
            self.assertEqual((site, device), ("c", "tap-client"))
            expected = {
                "eth_src": target.mac, "eth_dst": CLIENT.mac, "eth_type": 0x0806, "arp_op": 2,
                "arp_sha": target.mac, "arp_spa": target.ip, "arp_tha": CLIENT.mac, "arp_tpa": CLIENT.ip,
            }  # fmt: skip
            self.assertEqual(answer, expected)

    def test_own_address_is_not_answered(self) -> None:
        """Neither a probe for a duplicate address nor an announcement must come back as one."""
        for sender in (WEB.ip, "0.0.0.0"):
            self.assertEqual(self.world.hop("a", "tap-web", {**arp_request(WEB, WEB.ip), "arp_spa": sender}), [])

    def test_spoofed_packets_are_dropped(self) -> None:
        good = ip_packet(WEB, APP)
        for bad in (
            {**good, "eth_src": DB.mac},
            {**good, "ipv4_src": DB.ip},
            {**good, "eth_type": 0x86DD},
            {**good, "eth_type": 0x8035},
            {**arp_request(WEB, DB.ip), "arp_spa": APP.ip},
            {**arp_request(WEB, DB.ip), "arp_sha": APP.mac},
            {**arp_request(WEB, DB.ip), "eth_src": APP.mac},
        ):
            self.assertEqual(self.world.send("a", "tap-web", bad), [], bad)

    def test_tunnel_lets_only_known_networks_in(self) -> None:
        self.assertEqual(self.world.send("a", "vxlan-c", {**ip_packet(CLIENT, WEB), "tunnel_id": 9}), [])
        for key, reached in ((7, [("a", "tap-web")]), (8, [("a", "tap-other")])):
            self.assertEqual(self.world.send("a", "vxlan-c", {**ip_packet(CLIENT, WEB), "tunnel_id": key}), reached)

    def test_flooding_reaches_each_once_and_never_crosses_two_tunnels(self) -> None:
        everyone = [("a", "tap-app"), ("a", "tap-web"), ("b", "tap-db"), ("c", "tap-client")]
        for source in (WEB, DB, CLIENT):
            device = source.ports[source.site]
            expected = [place for place in everyone if place != (source.site, device)]
            for packet in (ip_packet(source, BROADCAST), arp_request(source, "10.0.0.99")):
                self.assertEqual(self.world.send(source.site, device, packet), expected)

    def test_unplugged_endpoint_gets_nothing_and_is_not_flooded(self) -> None:
        world = World(registry().unplug(WEB.mac, "a"))
        self.assertEqual(world.send("c", "tap-client", ip_packet(CLIENT, WEB)), [])

    def test_second_port_may_send_before_its_time(self) -> None:
        """At the switchover the target's guest speaks at once, wherever the traffic to it still goes."""
        self.assertEqual(self.world.send("b", "tap-web-b", ip_packet(WEB, CLIENT)), [("c", "tap-client")])

    def test_port_without_number_is_left_out(self) -> None:
        ports = self.world.ports["a"]
        del ports["tap-web"]
        self.world.tables["a"] = FlowTable(flows(registry(), "a", ports))
        self.assertEqual(self.world.send("c", "tap-client", ip_packet(CLIENT, APP)), [("a", "tap-app")])
        self.assertEqual(self.world.send("c", "tap-client", ip_packet(CLIENT, WEB)), [])

"""A cutover seen by packets that are under way while it happens: each arrives, once, and none goes round."""

import unittest
from collections.abc import Iterator, Mapping
from itertools import permutations, product

from intercloud.control import cutover
from intercloud.control.fabric import flows
from intercloud.control.registry import Endpoint
from intercloud.errors import ControlError
from intercloud.model.site import Tunnel
from tests.fakes.flow_table import Packet, World

from .world import APP, CLIENT, DB, WEB, ip_packet, registry

GANGS: tuple[Mapping[str, str], ...] = (
    {WEB.mac: "b"},
    {WEB.mac: "b", APP.mac: "b"},
    {WEB.mac: "b", DB.mac: "a"},
    {WEB.mac: "b", APP.mac: "a", DB.mac: "a"},
)


def histories(moves: Mapping[str, str], tunnel: Tunnel) -> Iterator[list[World]]:
    """Give the worlds that follow each other in a cutover, for every order in which switches of a stage may flip."""
    start = registry(tunnel)
    stages = cutover.stages(start, moves, World(start).ports)
    for orders in product(*(permutations(stage) for stage in stages)):
        world = World(start)
        worlds = [world]
        for stage, order in zip(stages, orders, strict=True):
            for site in order:
                world = world.copy()
                world.tables[site].apply(stage[site])
                worlds.append(world)
        yield worlds


def ways(worlds: list[World], moment: int, site: str, device: str, packet: Packet) -> Iterator[tuple[str, str]]:
    """Follow a packet that enters at a moment; each further hop may happen at any later moment. Gives all its ends."""
    under_way = [(moment, site, device, packet, 0)]
    while under_way:
        now, here, by, content, hops = under_way.pop()
        assert hops <= 3, "a packet goes round and round"
        copies = worlds[now].hop(here, by, content)
        assert len(copies) == 1, f"lost or doubled at {here}, moment {now}: {copies}"
        there, out, copy = copies[0]
        if there == here:
            yield there, out
        else:
            under_way += [(later, there, out, copy, hops + 1) for later in range(now, len(worlds))]


class TestCutover(unittest.TestCase):
    def test_no_packet_is_lost_doubled_or_caught_at_any_moment(self) -> None:
        for tunnel, moves in product(Tunnel, GANGS):
            for worlds in histories(moves, tunnel):
                for moment in range(len(worlds)):
                    self.check(worlds, moment, moves)

    def check(self, worlds: list[World], moment: int, moves: Mapping[str, str]) -> None:
        for target in (WEB, APP, DB):
            for source in (WEB, APP, DB, CLIENT):
                if source is target:
                    continue
                for site, device in source.ports.items():
                    ends = set(ways(worlds, moment, site, device, ip_packet(source, target)))
                    self.assertLessEqual(ends, self.homes(target, moves))
                    if moment == len(worlds) - 1:
                        new = moves.get(target.mac, target.site)
                        self.assertEqual(ends, {(new, target.ports[new])})

    def homes(self, endpoint: Endpoint, moves: Mapping[str, str]) -> set[tuple[str, str]]:
        return {(site, endpoint.ports[site]) for site in (endpoint.site, moves.get(endpoint.mac, endpoint.site))}

    def test_new_site_is_first(self) -> None:
        stages = cutover.stages(registry(), {WEB.mac: "b"}, World(registry()).ports)
        self.assertEqual([set(stage) for stage in stages], [{"b"}, {"a", "c"}])

    def test_gang_takes_no_more_stages_than_one(self) -> None:
        stages = cutover.stages(registry(), {WEB.mac: "b", APP.mac: "b", DB.mac: "a"}, World(registry()).ports)
        self.assertEqual([set(stage) for stage in stages], [{"a", "b"}, {"a", "b", "c"}])

    def test_ends_as_reconciliation_would_have_it(self) -> None:
        for moves in GANGS:
            for worlds in histories(moves, Tunnel.VXLAN):
                for site, table in worlds[-1].tables.items():
                    self.assertEqual(table.flows, flows(registry().move(moves), site, worlds[-1].ports[site]))

    def test_repeat_and_return_are_like_any_cutover(self) -> None:
        for worlds in histories({WEB.mac: "b"}, Tunnel.VXLAN):
            world = worlds[-1]
            there = registry().move({WEB.mac: "b"})
            for stage in cutover.stages(there, {WEB.mac: "b"}, world.ports):
                for site, batch in stage.items():
                    world.tables[site].apply(batch)
            self.assertEqual(world.tables["a"].flows, flows(there, "a", world.ports["a"]))
            for stage in cutover.stages(there, {WEB.mac: "a"}, world.ports):
                for site, batch in stage.items():
                    world.tables[site].apply(batch)
            for site, table in world.tables.items():
                self.assertEqual(table.flows, flows(registry(), site, world.ports[site]))

    def test_needs_a_port_at_the_new_site(self) -> None:
        ports = World(registry()).ports
        with self.assertRaisesRegex(ControlError, "client .* has no port at b; plug it there first"):
            cutover.stages(registry(), {CLIENT.mac: "b"}, ports)
        del ports["b"]["tap-web-b"]
        with self.assertRaisesRegex(ControlError, "the switch of b has no port tap-web-b"):
            cutover.stages(registry(), {WEB.mac: "b"}, ports)
        with self.assertRaisesRegex(ControlError, "no endpoint has the MAC address"):
            cutover.stages(registry(), {"52:54:00:00:00:99": "b"}, ports)

"""Changes of flows: what they lead to, in which order, and that repeats do no harm."""

import random
import unittest
from collections.abc import Iterator, Sequence

from intercloud.control import cutover
from intercloud.control.fabric import FlowChange, Verb, changes, flows
from intercloud.control.registry import Registry
from intercloud.model.site import Tunnel
from tests.fakes.flow_table import FlowTable, World

from .world import APP, DB, WEB, registry


def batches() -> Iterator[tuple[FlowTable, Sequence[FlowChange]]]:
    """Give every kind of batch that is ever sent, with the tables it is sent to."""
    for tunnel in Tunnel:
        full = registry(tunnel)
        world = World(full)
        for before, after in (
            (Registry(), full),
            (full, full.move({WEB.mac: "b"})),
            (full, full.unplug(WEB.mac, "a")),
            (full, full.drop(endpoints=[APP.mac])),
            (full, full.drop(networks=["red"], endpoints=["52:54:00:00:00:05"])),
            (full, full.put(tunnel=Tunnel.GRE)),
        ):
            for site, ports in world.ports.items():
                found = flows(before, site, ports) if before.sites else frozenset()
                yield FlowTable(found), changes(flows(after, site, ports), found)
        tables = {site: table.copy() for site, table in world.tables.items()}
        for stage in cutover.stages(full, {WEB.mac: "b", APP.mac: "b", DB.mac: "a"}, world.ports):
            for site, batch in stage.items():
                yield tables[site].copy(), batch
                tables[site].apply(batch)


class TestChanges(unittest.TestCase):
    def test_lead_from_found_to_wanted_and_then_there_are_none(self) -> None:
        world = World(registry())
        for site, ports in world.ports.items():
            table = FlowTable(flows(registry().move({WEB.mac: "b"}).drop(endpoints=[APP.mac]), site, ports))
            table.apply(changes(flows(registry(), site, ports), table.flows))
            self.assertEqual(table.flows, flows(registry(), site, ports))
            self.assertEqual(changes(flows(registry(), site, ports), table.flows), ())

    def test_adds_come_before_deletes(self) -> None:
        for _, batch in batches():
            verbs = [change.verb for change in batch]
            self.assertEqual(verbs, sorted(verbs))

    def test_replaced_flow_is_not_deleted(self) -> None:
        for table, batch in batches():
            added = {change.flow.key for change in batch if change.verb is Verb.ADD}
            self.assertFalse([c for c in batch if c.verb is Verb.DELETE and c.flow.key in added], table)

    def test_shifted_replay_leads_to_the_same_tables(self) -> None:
        for table, batch in batches():
            once = table.copy()
            once.apply(batch)
            for cut in range(len(batch) + 1):
                twice = table.copy()
                twice.apply((*batch[:cut], *batch))
                self.assertEqual(twice.flows, once.flows)
                twice.apply(batch[cut:])
                self.assertEqual(twice.flows, once.flows)

    def test_interleaved_replay_leads_to_the_same_tables(self) -> None:
        chance = random.Random(1)
        for table, batch in batches():
            once = table.copy()
            once.apply(batch)
            for _ in range(5):
                twice = table.copy()
                twice.apply(interleaved(batch, chance))
                self.assertEqual(twice.flows, once.flows)


def interleaved(batch: Sequence[FlowChange], chance: random.Random) -> Iterator[FlowChange]:
    rest = [list(batch), list(batch)]
    while rest[0] or rest[1]:
        queue = rest[chance.random() < 0.5]
        if queue:
            yield queue.pop(0)

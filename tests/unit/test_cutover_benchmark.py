"""What the cutover's benchmark makes of arrivals whose truth is known, and of a bundle's messages."""

import socket
import unittest
from dataclasses import replace

from benchmarks.cutover import changes
from benchmarks.cutover.arrivals import Seen, figures, mistake, stale, without
from benchmarks.cutover.changes import Form, loose

from intercloud.control.fabric import FlowChange, Verb
from intercloud.control.openflow_app import Switch
from intercloud.control.pipeline import Output, deliver
from intercloud.control.registry import Endpoint, Registry
from intercloud.model.server import Network
from intercloud.model.site import Site

INTERVAL, TRIP = 0.001, 0.005
SENT = [100 + number * INTERVAL for number in range(1000)]


def seen(old: range, new: range) -> Seen:
    """Packets of these numbers came to the old place and to the new one, a trip after they were sent."""
    at = {name: [(number, SENT[number] + TRIP) for number in here] for name, here in (("a", old), ("b", new))}
    return Seen(SENT, at, INTERVAL, 0.0002)


class TestArrivals(unittest.TestCase):
    def test_a_clean_flip(self) -> None:
        flip = seen(range(500), range(500, 1000))
        found = figures(flip)
        self.assertEqual((found["lost"], found["duplicated"], found["late_s"]), (0, 0, 0.0002))
        self.assertAlmostEqual(found["gap_s"], 0)
        self.assertIsNone(mistake(flip, "a", "b", SENT[400]))

    def test_lost_packets_leave_a_gap(self) -> None:
        found = figures(seen(range(500), range(520, 1000)))
        self.assertEqual((found["lost"], found["duplicated"]), (20, 0))
        self.assertAlmostEqual(found["gap_s"], 20 * INTERVAL)

    def test_packets_at_both_places_are_duplicates_and_no_gap(self) -> None:
        found = figures(seen(range(530), range(500, 1000)))
        self.assertEqual((found["lost"], found["duplicated"]), (0, 30))
        self.assertAlmostEqual(found["gap_s"], 0)

    def test_a_detour_is_a_gap_without_loss(self) -> None:
        flip = seen(range(500), range(500, 1000))
        late = [(number, at + (0.04 if number < 520 else 0)) for number, at in flip.at["b"]]
        found = figures(replace(flip, at={**flip.at, "b": sorted(late, key=lambda each: each[1])}))
        self.assertEqual((found["lost"], found["duplicated"]), (0, 0))
        self.assertAlmostEqual(found["gap_s"], 20 * INTERVAL)

    def test_what_comes_to_a_place_that_was_left_is_lost(self) -> None:
        left = SENT[400] + TRIP - INTERVAL / 2
        found = figures(without(seen(range(500), range(500, 1000)), "a", left))
        self.assertEqual(found["lost"], 100)

    def test_stale_packets_came_to_the_old_place_after_the_act(self) -> None:
        self.assertEqual(stale(seen(range(500), range(500, 1000)), "a", SENT[490] + TRIP - INTERVAL / 2), 10)

    def test_what_was_no_move_is_told(self) -> None:
        self.assertIn("it was not at a", mistake(seen(range(0), range(1000)), "a", "b", SENT[400]) or "")
        self.assertIn("it was not at a", mistake(seen(range(500), range(1000)), "a", "b", SENT[400]) or "")
        self.assertIn("still went to a", mistake(seen(range(1000), range(0)), "a", "b", SENT[400]) or "")


class TestChanges(unittest.TestCase):
    def setUp(self) -> None:
        sites = [Site(name, "", "br", f"{number:016x}", {}, "") for number, name in enumerate("abc", 1)]
        self.web = Endpoint("web", "blue", "52:54:00:00:00:01", "10.0.0.1", "a", {"a": "web", "b": "web"})
        self.before = Registry().put(
            sites=sites, networks=[Network("blue", 7, "10.0.0.0/24", 1400)], endpoints=[self.web]
        )
        ports = {site: {"web": 1, **{f"vxlan-{peer}": 2 + n for n, peer in enumerate("abc")}} for site in "abc"}
        after = self.before.move({self.web.mac: "b"})
        self.pairs = changes.changed(self.before, after, [self.web.mac], ports)

    def test_only_what_differs_is_changed(self) -> None:
        self.assertEqual({site: len(pairs) for site, pairs in self.pairs.items()}, {"a": 3, "b": 3, "c": 1})

    def test_clones_go_to_both_places_and_are_pruned(self) -> None:
        first, clone, prune = changes.clone_then_prune(self.pairs, "a", "b")
        outputs = [action for flow in clone.flows["c"] for action in flow.actions if isinstance(action, Output)]
        self.assertEqual(outputs, [Output(2), Output(3)])
        self.assertEqual((set(first.flows), set(clone.flows), set(prune.flows)), ({"b"}, {"c"}, {"a", "c"}))

    def test_loose_messages_are_those_of_the_bundle_with_another_command(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        flows = [deliver(self.web, 7, port) for port in (1, 2)]
        bundle = Switch(ours, lambda _: None).prepare(FlowChange(Verb.ADD, flow) for flow in flows).data
        added, deleted = loose(bundle, Form.ADD), loose(bundle, Form.DELETE)
        lengths = [int.from_bytes(added[2:4])] * 2 + [8]
        self.assertEqual(len(added), sum(lengths))
        self.assertEqual([added[at] for at in (25, lengths[0] + 25)], [Form.ADD] * 2)
        self.assertEqual([deleted[at] for at in (25, lengths[0] + 25)], [Form.DELETE] * 2)
        self.assertEqual(sum(one != other for one, other in zip(added, deleted, strict=True)), 2)


if __name__ == "__main__":
    unittest.main()

import unittest
from collections.abc import Mapping
from dataclasses import replace

from intercloud.control.client import Registry, SwitchStatus
from intercloud.control.readiness import readiness
from intercloud.model.finding import Finding
from intercloud.model.server import Cluster, Nic, Server
from intercloud.units import Bytes
from tests.unit.control.world import APP, WEB, registry

NOW = 1000.0
GOOD = SwitchStatus(True, NOW - 1, 20, heard={"a": NOW - 5, "b": NOW - 5, "c": 0.0})
ALL = {"a": GOOD, "b": GOOD}
CLUSTER = Cluster(
    "shop",
    (),
    tuple(Server(e.name, 1, Bytes(1), (), (Nic(e.network, e.mac.upper(), e.ip),)) for e in (WEB, APP)),
)


class Readiness(unittest.TestCase):
    def found(self, status: Mapping[str, SwitchStatus], known: Registry | None = None) -> tuple[Finding, ...]:
        return readiness(known or registry(), status, ("a", "b"), CLUSTER, NOW)

    def only(self, status: Mapping[str, SwitchStatus], known: Registry | None = None, *, blocking: bool = True) -> str:
        (found,) = self.found(status, known)
        self.assertEqual(found.blocking, blocking, found)
        self.assertTrue(found.cure)
        return found.line

    def test_nothing_is_found_where_both_switches_are_in_order(self) -> None:
        self.assertEqual(self.found(ALL), ())

    def test_another_sites_switch_does_not_matter(self) -> None:
        self.assertEqual(self.found({**ALL, "c": SwitchStatus(False, 0, 0)}), ())

    def test_each_way_in_which_a_switch_is_not_ready(self) -> None:
        for switch, words in (
            (replace(GOOD, connected=False), "b: its switch is not connected to the controller"),
            (replace(GOOD, error="tunnel port vxlan-a: no"), "b: its switch is not in order: tunnel port vxlan-a: no"),
            (replace(GOOD, reconciled=NOW - 31), "b: its switch was not looked at for more than 30 s"),
            (replace(GOOD, reconciled=0.0), "b: its switch was not looked at"),
        ):
            with self.subTest(words):
                self.assertIn(words, self.only({**ALL, "b": switch}))

    def test_an_unknown_site_is_told(self) -> None:
        self.assertIn("b: the controller does not know this site", self.only({"a": GOOD}))

    def test_sites_without_a_tunnel_between_them_are_told(self) -> None:
        known = registry()
        lonely = replace(known.sites["b"], underlay={"c": ("192.0.2.2", "192.0.2.3")})
        self.assertIn("b: it has no tunnel to a", self.only(ALL, known.put(sites=[lonely])))

    def test_a_tunnel_that_nothing_comes_through_is_told(self) -> None:
        for heard in ({"a": NOW - 31}, {}):
            line = self.only({**ALL, "b": replace(GOOD, heard=heard)})
            self.assertIn("b: nothing came through the vxlan tunnel from a for more than 30 s; let vxlan pass", line)
        self.assertEqual(self.found({**ALL, "b": replace(GOOD, heard={"a": NOW - 29})}), ())

    def test_a_card_that_is_not_registered_is_told(self) -> None:
        line = self.only(ALL, registry().drop(endpoints=[APP.mac]))
        self.assertIn(f"app: the controller does not know its card {APP.mac.upper()}", line)

    def test_a_device_that_is_missing_is_a_note(self) -> None:
        status = {**ALL, "a": replace(GOOD, missing={WEB.ports["a"]: "no such device", "other": "gone"})}
        self.assertIn("web: its device is not on the switch of a: no such device", self.only(status, blocking=False))


if __name__ == "__main__":
    unittest.main()

"""The registry: updates, checks, and its written form."""

import unittest
from dataclasses import replace

from intercloud.control.registry import Registry
from intercloud.errors import ControlError
from intercloud.model.server import Network
from intercloud.model.site import Tunnel

from .world import APP, CLIENT, WEB, registry, site


class TestRegistry(unittest.TestCase):
    def test_survives_being_written_down(self) -> None:
        for tunnel in Tunnel:
            self.assertEqual(Registry.from_json(registry(tunnel).to_json()), registry(tunnel))
        self.assertEqual(Registry.from_json(Registry().to_json()), Registry())

    def test_half_a_text_is_an_error(self) -> None:
        text = registry().to_json()
        for end in (0, 1, len(text) // 2, len(text) - 1):
            with self.assertRaises(ValueError):
                Registry.from_json(text[:end])

    def test_updates_leave_the_old_one_alone(self) -> None:
        old = registry()
        text = old.to_json()
        old.move({WEB.mac: "b"})
        old.plug(CLIENT.mac, "a", "tap-client-a")
        old.unplug(WEB.mac, "a")
        old.drop(endpoints=[WEB.mac])
        self.assertEqual(old.to_json(), text)

    def test_repeats_change_nothing(self) -> None:
        for update in (
            lambda r: r.put(endpoints=[WEB], sites=[site("a", 1)]),
            lambda r: r.plug(WEB.mac, "b", "tap-web-b"),
            lambda r: r.unplug(WEB.mac, "c"),
            lambda r: r.move({WEB.mac: "a"}),
            lambda r: r.drop(endpoints=["52:54:00:00:00:99"], networks=["green"], sites=["d"]),
        ):
            self.assertEqual(update(registry()), registry())

    def test_plug_and_unplug_do_not_move(self) -> None:
        plugged = registry().plug(CLIENT.mac, "a", "tap-client-a")
        self.assertEqual(plugged.endpoint(CLIENT.mac).site, "c")
        self.assertEqual(plugged.endpoint(CLIENT.mac).ports, {"c": "tap-client", "a": "tap-client-a"})
        self.assertEqual(plugged.unplug(CLIENT.mac, "a"), registry())

    def test_addresses_are_found_in_any_case(self) -> None:
        mixed = registry().put(endpoints=[replace(WEB, mac="52:54:00:AA:BB:CC", ip="10.0.0.9", ports={})])
        self.assertEqual(mixed.endpoint("52:54:00:Aa:bB:cc").mac, "52:54:00:aa:bb:cc")

    def test_nonsense_is_refused_in_one_line(self) -> None:
        for message, update in (
            ("unknown network green", lambda r: r.put(endpoints=[replace(WEB, network="green")])),
            ("unknown site d", lambda r: r.put(endpoints=[replace(WEB, site="d")])),
            ("unknown site d", lambda r: r.plug(WEB.mac, "d", "tap0")),
            ("unknown site c", lambda r: r.drop(sites=["c"])),
            ("unknown network blue", lambda r: r.drop(networks=["blue"])),
            ("is not a MAC address", lambda r: r.put(endpoints=[replace(WEB, mac="web")])),
            ("is not an IPv4 address", lambda r: r.put(endpoints=[replace(WEB, ip="10.0.0.300")])),
            ("app and web have the same address", lambda r: r.put(endpoints=[replace(APP, ip=WEB.ip)])),
            ("the same port", lambda r: r.plug(APP.mac, "a", "tap-web")),
            (
                "red at a and .*blue at a have the same port",
                lambda r: r.put(sites=[replace(site("a", 1), fabrics={"blue": "fab", "red": "fab"})]),
            ),
            (
                "web and the fabric of red at a have the same port",
                lambda r: r.put(sites=[replace(site("a", 1), fabrics={"red": "tap-web"})]),
            ),
            ("the same tunnel key: 7", lambda r: r.put(networks=[Network("green", 7, "10.9.0.0/24", 1450)])),
            ("tunnel key 0 is not", lambda r: r.put(networks=[Network("green", 0, "10.9.0.0/24", 1450)])),
            ("the same datapath id", lambda r: r.put(sites=[site("d", 1)])),
            ("is not 16 hex digits", lambda r: r.put(sites=[replace(site("d", 4), datapath_id="0xA")])),
            ("no endpoint has the MAC address", lambda r: r.unplug("52:54:00:00:00:99", "a")),
            ("has no port at c", lambda r: r.move({WEB.mac: "c"})),
        ):
            with self.subTest(message), self.assertRaisesRegex(ControlError, message) as caught:
                update(registry())
            self.assertNotIn("\n", str(caught.exception))

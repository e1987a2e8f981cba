"""What the databases shall hold: wanted x found → changes."""

import unittest
from dataclasses import replace

from intercloud.control.registry import Registry
from intercloud.control.tunnels import (
    Layout,
    Port,
    PutBridge,
    PutPort,
    RemoveBridge,
    RemovePort,
    changes,
    heard,
    tunnel_name,
    wanted,
)
from intercloud.model.site import Tunnel

from .world import registry, site

NOTHING = Layout(None, {})
WANT = wanted(registry(), registry().sites["a"])


class TestWanted(unittest.TestCase):
    def test_has_the_bridge_a_tunnel_to_each_peer_and_each_device(self) -> None:
        for tunnel in Tunnel:
            layout = wanted(registry(tunnel), registry().sites["a"])
            assert layout.bridge is not None
            self.assertEqual(layout.bridge.options["datapath-id"], "0000000000000001")
            self.assertEqual((layout.bridge.fail_mode, layout.bridge.max_backoff), ("secure", 1000))
            names = {f"{tunnel}-b", f"{tunnel}-c", "tap-web", "tap-app", "tap-db-a", "tap-other"}
            self.assertEqual(set(layout.ports), names)
            options = {"key": "flow", "local_ip": "192.0.2.1", "remote_ip": "192.0.2.2"}
            self.assertEqual(layout.ports[f"{tunnel}-b"], Port(f"{tunnel}-b", tunnel.value, options))

    def test_has_no_tunnel_to_a_site_that_nobody_knows(self) -> None:
        alone = Registry().put(sites=[site("a", 1)])
        self.assertEqual(wanted(alone, alone.sites["a"]).ports, {})

    def test_tunnel_names_fit_and_differ(self) -> None:
        names = {tunnel_name(kind, f"a-very-long-name-of-a-site-{n}") for kind in Tunnel for n in range(100)}
        self.assertEqual(len(names), 200)
        self.assertLessEqual(max(map(len, names)), 15)


class TestChanges(unittest.TestCase):
    """Every cell of: bridge wanted or not x found equal, different or not; the same for ports, ours or not."""

    def test_bridge(self) -> None:
        assert WANT.bridge is not None
        other = replace(WANT.bridge, fail_mode=None)
        unwanted = Layout(None, {})
        for want, found, expected in (
            (WANT, WANT, ()),
            (WANT, Layout(other, WANT.ports), (PutBridge(WANT.bridge),)),
            (WANT, Layout(None, WANT.ports), (PutBridge(WANT.bridge),)),
            (unwanted, NOTHING, ()),
            (unwanted, WANT, (RemoveBridge(),)),
        ):
            self.assertEqual(changes(want, found), expected)

    def test_ports(self) -> None:
        port = WANT.ports["vxlan-b"]
        one, none = Layout(WANT.bridge, {"vxlan-b": port}), Layout(WANT.bridge, {})
        foreign = Layout(WANT.bridge, {"vxlan-b": replace(port, ours=False)})
        moved = Layout(WANT.bridge, {"vxlan-b": replace(port, options={**port.options, "remote_ip": "192.0.2.9"})})
        for want, found, expected in (
            (one, one, ()),
            (one, none, (PutPort(port),)),
            (one, moved, (PutPort(port),)),
            (one, foreign, (PutPort(port),)),
            (none, one, (RemovePort("vxlan-b"),)),
            (none, foreign, ()),
            (none, none, ()),
        ):
            self.assertEqual(changes(want, found), expected)

    def test_a_tunnel_is_heard_when_its_count_changes_and_when_it_is_new(self) -> None:
        first = heard({}, {"vxlan-b": 0, "vxlan-c": 7}, 10.0)
        self.assertEqual(first, {"vxlan-b": (0, 10.0), "vxlan-c": (7, 10.0)})
        later = heard(first, {"vxlan-b": 0, "vxlan-c": 8, "gre-b": 1}, 15.0)
        self.assertEqual(later, {"vxlan-b": (0, 10.0), "vxlan-c": (8, 15.0), "gre-b": (1, 15.0)})
        self.assertEqual(heard(later, {"vxlan-c": 0}, 20.0), {"vxlan-c": (0, 20.0)})  # the switch counts anew

    def test_making_comes_before_removing(self) -> None:
        gre = wanted(registry(Tunnel.GRE), registry().sites["a"])
        kinds = [type(change) for change in changes(gre, WANT)]
        self.assertEqual(kinds, [PutPort, PutPort, RemovePort, RemovePort])

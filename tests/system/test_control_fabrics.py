"""The control layer in front of clouds that have fabrics of their own: learning switches that it does not control."""

import re
import unittest
from dataclasses import replace
from functools import partial

from intercloud.control.client import ControlClient
from intercloud.control.process import spawn, stop
from intercloud.control.registry import Endpoint
from intercloud.model.site import Site
from tests.needs import switches
from tests.system.ovs_sites import NETWORK, OvsSite, OvsSites, inside, plain, until

WEB = Endpoint("web", "blue", "52:54:00:00:00:01", "192.168.7.1", "a", {"a": "fab", "b": "fab"})
APP = Endpoint("app", "blue", "52:54:00:00:00:02", "192.168.7.2", "a", {"a": "fab"})
CLIENT = Endpoint("client", "blue", "52:54:00:00:00:03", "192.168.7.3", "c")
AT = (("a", WEB), ("a", APP), ("b", WEB))
"""Who is behind which fabric; web is at both, as in the middle of a move."""


def add_fabric(site: OvsSite) -> Site:
    """Give a site a learning switch and a link from it to the border bridge; returns the site as it is then."""
    inside(site.namespace, "ip", "link", "add", "fab", "type", "veth", "peer", "name", "fab-in")
    for device in ("fab", "fab-in"):
        inside(site.namespace, "ip", "link", "set", device, "up")
        plain(site.namespace, device)
    site.vsctl("add-br", "br-fab", "--", "set", "bridge", "br-fab", "datapath_type=netdev")
    site.vsctl("add-port", "br-fab", "fab-in")
    return replace(site.model(), fabrics={NETWORK.name: "fab"})


@switches
class Fabrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.fabric = OvsSites("a", "b", "c")
        cls.addClassCleanup(cls.fabric.close)
        cls.fabric.start()
        cls.sites = cls.fabric.sites
        state = cls.fabric.directory / "state"
        cls.addClassCleanup(stop, state)
        spawn(state, f"unix:{cls.fabric.directory}/openflow.sock")
        cls.control = ControlClient(state / "control.sock")
        cls.addClassCleanup(cls.control.close)
        models = [add_fabric(cls.sites["a"]), add_fabric(cls.sites["b"]), cls.sites["c"].model()]
        for site, endpoint in AT:
            cls.sites[site].vsctl("add-port", "br-fab", cls.sites[site].attach(endpoint))
        cls.control.put(sites=models, networks=[NETWORK], endpoints=[WEB, APP, CLIENT])
        cls.control.plug(CLIENT.mac, "c", cls.sites["c"].attach(CLIENT))

    def reaches(self, site: str, endpoint: Endpoint, target: Endpoint) -> bool:
        host = self.sites[site].host(endpoint)
        return "1 received" in inside(host, "ping", "-c", "1", "-W", "1", target.ip, check=False)

    def assert_reach(self, *pairs: tuple[str, Endpoint, Endpoint]) -> None:
        for site, endpoint, target in pairs:
            until(partial(self.reaches, site, endpoint, target), 5, f"{endpoint.name} at {site} reaches {target.name}")

    def test_a_server_moves_from_fabric_to_fabric(self) -> None:
        self.assert_reach(("c", CLIENT, WEB), ("a", APP, WEB), ("a", WEB, CLIENT))
        self.control.cutover({WEB.mac: "b"})
        # each fabric has seen it at the other place, and web says nothing by itself
        self.assert_reach(("c", CLIENT, WEB), ("a", APP, WEB), ("b", WEB, CLIENT), ("b", WEB, APP))
        self.control.cutover({WEB.mac: "a"})
        self.assert_reach(("c", CLIENT, WEB), ("a", APP, WEB), ("a", WEB, APP))

    def test_the_old_fabric_looks_for_it_at_the_border_at_once(self) -> None:
        self.assert_reach(("a", WEB, APP))
        stopped = self.sites["a"].host(WEB)
        inside(stopped, "ip", "link", "set", "eth0", "down")
        self.addCleanup(inside, stopped, "ip", "link", "set", "eth0", "up")
        self.control.cutover({WEB.mac: "b"})
        self.addCleanup(self.control.cutover, {WEB.mac: "a"})
        port = self.sites["a"].vsctl("get", "interface", "fab-in", "ofport").strip()
        learnt = rf"(?m)^ +{port} +0 +{WEB.mac}"
        until(lambda: re.search(learnt, self.sites["a"].appctl("fdb/show", "br-fab")), 1, "the border announces web")

    def test_a_shared_port_stays_when_one_of_its_servers_goes(self) -> None:
        before = self.sites["b"].layout()
        self.control.unplug(WEB.mac, "b")
        self.assertIn("fab", self.sites["b"].vsctl("list-ports", "br-int").split())
        self.control.plug(WEB.mac, "b", "fab")
        self.assertEqual(self.sites["b"].layout(), before)


if __name__ == "__main__":
    unittest.main()

"""The control layer on real switches: three sites, each its own Open vSwitch, and real packets."""

import time
import unittest
from dataclasses import replace

from intercloud.control.client import ControlClient
from intercloud.control.process import running, spawn, stop
from intercloud.control.registry import Endpoint
from intercloud.errors import ControlError
from intercloud.model.site import Tunnel
from tests.needs import switches
from tests.system.ovs_sites import NETWORK, OvsSites, Stream, inside, until

WEB = Endpoint("web", "blue", "52:54:00:00:00:01", "192.168.7.1", "a")
APP = Endpoint("app", "blue", "52:54:00:00:00:02", "192.168.7.2", "b")
CLIENT = Endpoint("client", "blue", "52:54:00:00:00:03", "192.168.7.3", "c")


class OnSwitches:
    """The tests, for one kind of tunnel."""

    tunnel: Tunnel

    @classmethod
    def setUpClass(cls) -> None:
        cls.fabric = OvsSites("a", "b", "c")
        try:
            cls.fabric.start()
            cls.sites = cls.fabric.sites
            cls.listen = f"unix:{cls.fabric.directory}/openflow.sock"
            cls.state = cls.fabric.directory / "state"
            spawn(cls.state, cls.listen)
            cls.control = ControlClient(cls.state / "control.sock")
            cls.control.put(
                sites=[site.model() for site in cls.sites.values()],
                networks=[NETWORK],
                endpoints=[WEB, APP, CLIENT],
                tunnel=cls.tunnel,
            )
            for endpoint, site in ((WEB, "a"), (WEB, "b"), (APP, "b"), (CLIENT, "c")):
                cls.control.plug(endpoint.mac, site, cls.sites[site].attach(endpoint))
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls) -> None:
        if hasattr(cls, "control"):
            cls.control.close()
            stop(cls.state)
        cls.fabric.close()

    def ping(self, site: str, endpoint: Endpoint, target: Endpoint, *options: str) -> str:
        return inside(self.sites[site].host(endpoint), "ping", "-c1", "-W2", *options, target.ip, check=False)

    def assert_reach(self) -> None:
        for site, endpoint, target in (("a", WEB, APP), ("c", CLIENT, WEB), ("c", CLIENT, APP)):
            self.assertIn("1 received", self.ping(site, endpoint, target), f"{endpoint.name} → {target.name}")

    def test_sites_reach_each_other(self) -> None:
        self.assert_reach()

    def test_cutover_loses_nothing(self) -> None:
        receivers = {site: self.sites[site].host(WEB) for site in ("a", "b")}
        with ControlClient(self.state / "control.sock") as control:
            with Stream(self.sites["c"].host(CLIENT), WEB.ip, receivers) as stream:
                time.sleep(0.5)
                asked = time.monotonic()
                there = control.cutover({WEB.mac: "b"})
                answered = time.monotonic()
                time.sleep(0.5)
                back = control.cutover({WEB.mac: "a"})
                time.sleep(0.5)
        self.assertEqual(stream.numbers(), list(range(len(stream.sent))))
        last_old = max(when for _, when in stream.received["a"] if when < back.started)
        first_new = stream.received["b"][0][1]
        for name, cut in (("there", there), ("back", back)):
            ratios = {site: cut.per_switch_s[site] / cut.barrier_rtt_s[site] for site in cut.per_switch_s}
            print(
                f"{self.tunnel} {name}: {cut.reconfiguration_s * 1e3:.2f} ms",
                cut.per_switch_s,
                cut.barrier_rtt_s,
                ratios,
            )
        print(
            f"call {(answered - asked) * 1e3:.2f} ms; last packet at the old port {(last_old - there.ended) * 1e3:.2f} ms, "
            f"first at the new {(first_new - there.started) * 1e3:.2f} ms after"
        )


@switches
class TestVxlan(OnSwitches, unittest.TestCase):
    tunnel = Tunnel.VXLAN


@switches
class TestGre(OnSwitches, unittest.TestCase):
    tunnel = Tunnel.GRE

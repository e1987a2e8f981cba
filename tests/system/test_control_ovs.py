"""The control layer on real switches: three sites, each its own Open vSwitch, and real packets."""

import logging
import os
import re
import signal
import time
import unittest
from dataclasses import replace

from intercloud.control.client import ControlClient, Cutover
from intercloud.control.process import running, spawn, stop
from intercloud.control.ready import LASTS_S
from intercloud.control.registry import Endpoint
from intercloud.errors import ControlError
from intercloud.model.site import Tunnel
from tests.needs import switches
from tests.system.ovs_sites import NETWORK, OvsSites, Stream, inside, until

log = logging.getLogger(__name__)

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
        """1000 packets/s each from a third site and from the site that the endpoint moves to, there and back."""
        self.assert_reach()  # so that the senders know the MAC address
        self.ping("b", APP, WEB)
        receivers = {site: self.sites[site].host(WEB) for site in ("a", "b")}
        with (
            Stream(self.sites["c"].host(CLIENT), WEB.ip, receivers) as far,
            Stream(self.sites["b"].host(APP), WEB.ip, receivers) as near,
        ):
            for site in "bababa":
                time.sleep(0.3)
                self.report(site, self.control.cutover({WEB.mac: site}))
            time.sleep(0.3)
        for stream in (far, near):
            self.assertEqual(stream.numbers(), list(range(len(stream.sent))))

    def report(self, site: str, done: Cutover) -> None:
        """The figures depend on the load of the machine, so they are shown and only their order of size is tested."""
        ratios = {name: done.per_switch_s[name] / done.barrier_rtt_s[name] for name in done.per_switch_s}
        shown = ", ".join(f"{name} {1000 * done.per_switch_s[name]:.2f} ms ({ratios[name]:.1f})" for name in ratios)
        log.info("%s → %s: %.2f ms; %s barriers", self.tunnel, site, 1000 * done.reconfiguration_s, shown)
        self.assertEqual(set(ratios), {"a", "b", "c"})
        self.assertLess(done.reconfiguration_s, 0.5)

    def test_deleted_by_hand_comes_back(self) -> None:
        site = self.sites["a"]
        for what, destroy in (
            ("flows", lambda: site.ofctl("del-flows")),
            ("a tunnel", lambda: site.vsctl("del-port", f"{self.tunnel}-b")),
            ("a port", lambda: site.vsctl("del-port", "v-web")),
            (
                "a foreign tunnel target",
                lambda: site.vsctl("set", "interface", f"{self.tunnel}-b", "options:remote_ip=10.99.0.99"),
            ),
            ("the controller", lambda: site.vsctl("del-controller", "br-int")),
            ("the bridge", lambda: site.vsctl("del-br", "br-int")),
        ):
            with self.subTest(what):
                before = site.layout()
                destroy()  # it may be back before anybody can see that it was away
                seconds = until(lambda before=before: site.layout() == before, 5, f"{what} is back")
                log.info("%s back after %.2f s", what, seconds)
                self.assertLess(seconds, 2)
                until(lambda: "1 received" in self.ping("a", WEB, APP), 5, f"traffic after {what}")

    def test_what_is_right_is_left_alone(self) -> None:
        site = self.sites["a"]
        time.sleep(1)
        self.control.put()
        ages = re.findall(r"duration=([0-9.]+)s", site.ofctl("dump-flows"))
        self.assertGreaterEqual(min(map(float, ages)), 1)

    def test_dropped_site_loses_its_bridge(self) -> None:
        site = self.sites["c"]
        with self.assertRaisesRegex(ControlError, "client: unknown site c"):
            self.control.drop(sites=["c"])
        self.control.drop(sites=["c"], endpoints=[CLIENT.mac])
        self.assertEqual(site.layout(), ())
        self.assertNotIn(f"{self.tunnel}-c", self.sites["a"].vsctl("list-ports", "br-int"))
        self.control.put(sites=[site.model()], endpoints=[CLIENT])
        self.control.plug(CLIENT.mac, "c", "v-client")
        self.assert_reach()

    def test_silent_switch_stops_a_cutover_before_it_begins(self) -> None:
        before = {name: site.layout() for name, site in self.sites.items()}
        for name in ("a", "b"):
            pid = int((self.sites[name].directory / "ovs-vswitchd.pid").read_text())
            os.kill(pid, signal.SIGSTOP)
            try:
                with self.assertRaisesRegex(
                    ControlError, f"the switch of {name} takes no part: no answer .*nothing was changed"
                ):
                    self.control.cutover({WEB.mac: "b"})
            finally:
                os.kill(pid, signal.SIGCONT)
            self.assertEqual({name: site.layout() for name, site in self.sites.items()}, before)
        self.assertEqual(self.control.registry().endpoint(WEB.mac).site, "a")
        self.assert_reach()

    def test_what_is_ready_is_made_at_a_word_and_changes_nothing_before(self) -> None:
        before = {name: site.layout() for name, site in self.sites.items()}
        site = self.sites["b"]
        site.listen_in()
        given, made = site.heard("BUNDLE_ADD_MESSAGE"), site.heard("COMMIT_REQUEST")
        self.control.prepare({WEB.mac: "b"})
        until(lambda: site.heard("BUNDLE_ADD_MESSAGE") > given, 5, "it has what it shall make")
        given = site.heard("BUNDLE_ADD_MESSAGE")
        self.assertEqual(site.heard("COMMIT_REQUEST"), made)
        self.assertEqual({name: site.layout() for name, site in self.sites.items()}, before)
        self.assertEqual(set(self.control.cutover({WEB.mac: "b"}).per_switch_s), {"a", "b", "c"})
        self.assertIn("1 received", self.ping("c", CLIENT, WEB))
        until(lambda: site.heard("COMMIT_REQUEST") > made, 5, "it was told to make it")
        self.assertEqual(site.heard("BUNDLE_ADD_MESSAGE"), given, "and given nothing more")
        self.control.prepare({WEB.mac: "a"})
        self.control.cutover({WEB.mac: "a"})
        self.assert_reach()
        self.assertEqual({name: site.layout() for name, site in self.sites.items()}, before)

    def test_what_is_not_wanted_any_more_is_not_made(self) -> None:
        """Another cutover, and one whose switch has meanwhile gone, are made as if nothing had been ready."""
        self.control.prepare({WEB.mac: "b"})
        self.control.cutover({WEB.mac: "a"})
        self.assertEqual(self.control.registry().endpoint(WEB.mac).site, "a")
        self.assert_reach()
        self.control.prepare({WEB.mac: "b"})
        self.control.cutover({WEB.mac: "b"})
        self.control.prepare({WEB.mac: "a"})
        self.sites["c"].kill("ovs-vswitchd")  # and forgets what it was given
        self.sites["c"].start_switch()
        self.control.cutover({WEB.mac: "a"})
        self.assert_reach()

    def test_what_does_not_come_is_forgotten(self) -> None:
        site = self.sites["b"]
        site.listen_in()
        forgotten = site.heard("DISCARD_REQUEST")
        self.control.prepare({WEB.mac: "b"})
        until(lambda: site.heard("DISCARD_REQUEST") > forgotten, LASTS_S + 5, "it was told to forget")
        self.assertEqual(self.control.registry().endpoint(WEB.mac).site, "a")
        self.assert_reach()

    def test_silent_switch_is_told_of_before_a_cutover_is_begun(self) -> None:
        pid = int((self.sites["b"].directory / "ovs-vswitchd.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            with self.assertRaisesRegex(ControlError, "the switch of b takes no part: no answer .*nothing was changed"):
                self.control.prepare({WEB.mac: "b"})
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assert_reach()

    def test_silent_third_switch_is_brought_up_to_date_later(self) -> None:
        pid = int((self.sites["c"].directory / "ovs-vswitchd.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            self.assertEqual(set(self.control.cutover({WEB.mac: "b"}).per_switch_s), {"a", "b"})
        finally:
            os.kill(pid, signal.SIGCONT)
        try:
            self.assertIn("1 received", self.ping("c", CLIENT, WEB), "by the detour over the old site")
            wanted = f'output:"?{self.tunnel}-b'
            until(
                lambda: re.search(f"{WEB.mac} actions=.*{wanted}", self.sites["c"].ofctl("dump-flows", "--names")),
                15,
                "straight",
            )
        finally:
            self.control.cutover({WEB.mac: "a"})

    def test_foreign_flows_and_ports_stay(self) -> None:
        site = self.sites["a"]
        site.ofctl("add-flow", "table=0,priority=1,cookie=0x77,in_port=99,actions=drop")
        site.vsctl("add-port", "br-int", "foreign", "--", "set", "interface", "foreign", "type=internal")
        self.control.put()
        self.assertIn("cookie=0x77", site.ofctl("dump-flows"))
        self.assertIn("foreign", site.vsctl("list-ports", "br-int"))
        site.vsctl("del-port", "foreign")
        site.ofctl("del-flows", "cookie=0x77/-1")

    def test_controller_restart_does_not_disturb_traffic(self) -> None:
        self.assert_reach()
        with Stream(self.sites["c"].host(CLIENT), WEB.ip, {"a": self.sites["a"].host(WEB)}) as stream:
            time.sleep(0.3)
            pid = running(self.state)
            os.kill(pid, signal.SIGKILL)
            until(lambda: running(self.state) is None, 5, "the controller is gone")
            with self.assertRaisesRegex(ControlError, "does not answer at .*is it running"):
                self.control.registry()
            self.assertNotEqual(spawn(self.state, self.listen), pid)
            until(lambda: all(switch.reconciled for switch in self.control.status().values()), 5, "all reconciled")
        self.assertEqual(stream.numbers(), list(range(len(stream.sent))))
        self.assertEqual(self.control.registry().endpoint(WEB.mac).site, "a")
        self.control.cutover({WEB.mac: "b"})
        self.control.cutover({WEB.mac: "a"})

    def test_switch_and_database_restart(self) -> None:
        site = self.sites["a"]
        before = site.layout()
        for program, start in (("ovs-vswitchd", site.start_switch), ("ovsdb-server", site.start_database)):
            site.kill(program)
            start()
            until(lambda: site.layout() == before, 5, f"state after {program} was restarted")
            until(lambda: "1 received" in self.ping("c", CLIENT, WEB), 10, f"traffic after {program} was restarted")
            until(lambda: self.control.status()["a"].error is None, 10, "no error")

    def test_device_made_again_is_plugged_anew(self) -> None:
        again = replace(WEB, name="web")
        self.control.unplug(WEB.mac, "b")
        for _ in range(2):
            device = self.sites["b"].attach(again)
            self.control.plug(WEB.mac, "b", device)
            self.control.cutover({WEB.mac: "b"})
            try:
                self.assertIn("1 received", self.ping("c", CLIENT, WEB))
            finally:
                self.control.cutover({WEB.mac: "a"})

    def test_each_site_hears_the_others_through_the_tunnels(self) -> None:
        """No endpoint says anything meanwhile."""
        began = time.time()
        until(
            lambda: all(at > began for switch in self.control.status().values() for at in switch.heard.values()),
            20,
            "something through each tunnel",
        )
        heard = {site: set(switch.heard) for site, switch in self.control.status().items()}
        self.assertEqual(heard, {"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}})

    def test_failures_are_one_clear_line(self) -> None:
        with self.assertRaisesRegex(ControlError, "a: nowhere: could not open network device nowhere"):
            self.control.plug(APP.mac, "a", "nowhere")
        self.control.unplug(APP.mac, "a")
        with self.assertRaisesRegex(ControlError, "client .* has no port at b"):
            self.control.cutover({CLIENT.mac: "b"})
        with self.assertRaisesRegex(ControlError, "unknown network green"):
            self.control.put(endpoints=[replace(WEB, network="green")])
        dead = replace(
            self.sites["c"].model(), name="d", ovsdb="unix:/nowhere/db.sock", datapath_id=f"{9:016x}", underlay={}
        )
        with self.assertRaisesRegex(ControlError, "d: unix:/nowhere/db.sock"):
            self.control.put(sites=[dead])
        self.control.plug(APP.mac, "b", "v-app")  # what is out of reach keeps nobody else waiting
        self.control.drop(sites=["d"])


@switches
class TestVxlan(OnSwitches, unittest.TestCase):
    tunnel = Tunnel.VXLAN


@switches
class TestGre(OnSwitches, unittest.TestCase):
    tunnel = Tunnel.GRE

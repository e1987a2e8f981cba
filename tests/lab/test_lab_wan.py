"""The WAN carries what its specification says, and no more."""

import subprocess
import unittest
from dataclasses import replace

from intercloud.clouds import reach
from intercloud.clouds.lab import lab
from intercloud.clouds.lab.spec import LabSpec, WanSpec
from intercloud.errors import CloudUnreachable, ConfigError
from intercloud.units import BitsPerSecond, Seconds
from tests import needs
from tests.lab.labs import running_lab


def lost(spec: LabSpec, pings: int) -> int:
    """How many of so many pings are not answered."""
    a, b = spec.place("lab-a"), spec.place("lab-b")
    words = ["ip", "netns", "exec", a.namespace, "ping", "-q", "-c", str(pings), "-i", "0.002", "-W", "1", b.address]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout
    return pings - int(said.split(" received")[0].split()[-1])


@needs.lab
class Wan(unittest.TestCase):
    def test_rate_delay_and_mtu(self) -> None:
        with running_lab(WanSpec(rate=BitsPerSecond(50e6), delay=Seconds(0.02), mtu=1400)) as spec:
            path = reach.measure(spec.place("lab-a").end, spec.place("lab-b").end, 1500)
            self.assertTrue(0.04 <= path.rtt < 0.06, path)
            self.assertTrue(30e6 < path.rate <= 50e6, path)
            self.assertEqual(path.mtu, 1400)

    def test_other_figures_take_effect_when_it_is_up(self) -> None:
        with running_lab() as spec:
            self.assertEqual(lost(spec, 100), 0)
            slower = replace(spec, wan=WanSpec(delay=Seconds(0.03), loss=0.3))
            lab.up(slower)
            self.assertGreaterEqual(reach.round_trip(slower.place("lab-a").end, slower.place("lab-b").end), 0.06)
            self.assertTrue(100 < lost(slower, 400) < 300)

    def test_a_cut_wan_is_unreachable(self) -> None:
        with running_lab() as spec:
            a, b = spec.place("lab-a"), spec.place("lab-b")
            subprocess.run(["ip", "-n", b.namespace, "link", "set", "uplink", "down"], check=True, timeout=10)
            with self.assertRaises(CloudUnreachable) as raised:
                reach.measure(a.end, b.end, 1500)
            self.assertIn("lab-b", str(raised.exception))
            lab.up(spec)
            self.assertLess(reach.round_trip(a.end, b.end), 1)

    def test_where_nobody_listens_the_measurement_ends(self) -> None:
        with running_lab() as spec:
            a, b = spec.place("lab-a"), spec.place("lab-b")
            elsewhere = replace(b.end, beside=a.end.beside)
            with self.assertRaisesRegex(CloudUnreachable, "no TCP from lab-a to lab-b over the WAN .*refused"):
                reach.rate(a.end, elsewhere, Seconds(0.001))


class Spec(unittest.TestCase):
    def test_every_mistake_is_told(self) -> None:
        with self.assertRaises(ConfigError) as raised:
            LabSpec(name="a-b", wan=WanSpec(loss=1.0), sites=())
        self.assertEqual(len(raised.exception.problems), 3)

"""A lab comes up, is repaired after any kill, and leaves nothing behind."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from intercloud.clouds import reach
from intercloud.clouds.lab import demo, lab, net
from intercloud.clouds.lab.guest.build import build_image
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.lab.spec import LabSpec
from intercloud.clouds.port import ServerState
from intercloud.clouds.run import wait_until
from tests import needs
from tests.lab.labs import small_spec, world


def tunnels_join(spec: LabSpec) -> bool:
    """Whether a packet crosses from one site's switch to the other's."""
    a, b = spec.place("lab-a"), spec.place("lab-b")
    ping = ["ip", "netns", "exec", a.namespace, "ping", "-q", "-c", "3", "-i", "0.2", "-W", "1", b.tunnel_address]
    return subprocess.run(ping, capture_output=True, timeout=20, check=False).returncode == 0


@needs.lab
class UpDown(unittest.TestCase):
    def setUp(self) -> None:
        root = Path(tempfile.mkdtemp(prefix="ic-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, root)
        self.spec = small_spec(root)
        self.before = world(self.spec)
        self.addCleanup(lab.down, self.spec)

    def assert_nothing_left(self) -> None:
        lab.down(self.spec)
        self.assertEqual(world(self.spec), self.before)

    def test_up_twice_is_up_once(self) -> None:
        lab.up(self.spec)
        first = world(self.spec)
        lab.up(self.spec)
        self.assertEqual(world(self.spec)["processes"], first["processes"])
        self.assertTrue(lab.status(self.spec).up)
        self.assertTrue(tunnels_join(self.spec))
        self.assert_nothing_left()

    def test_down_without_up(self) -> None:
        self.assert_nothing_left()

    def test_down_takes_running_servers_and_clients_along(self) -> None:
        lab.up(self.spec)
        cloud = LabCloud(self.spec.place("lab-a"))
        shop = demo.cluster(cloud.image_add(build_image(self.spec.cache), "guest"))
        for server in shop.servers:
            cloud.create_server(shop, server)
            cloud.start_server(server.name)
        lab.client(self.spec.place("office"), "client", demo.CLIENT, demo.NETWORK)
        self.assertEqual(cloud.server_state("web"), ServerState.RUNNING)
        self.assertEqual(lab.status(self.spec).sites[0].servers, ("app", "db", "web"))
        self.assert_nothing_left()

    def test_up_repairs_what_was_killed(self) -> None:
        lab.up(self.spec)
        namespaces = [name for name in net.namespaces() if name.startswith(f"ic-{self.spec.name}-")]
        daemons = [pid for name in namespaces for pid in net.processes(name)]
        for victims in ([daemons[0]], random.sample(daemons, 3), daemons):
            for pid in victims:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
            self.assertFalse(lab.status(self.spec).up)
            lab.up(self.spec)
            self.assertTrue(lab.status(self.spec).up)
            self.assertTrue(tunnels_join(self.spec))
            daemons = [pid for name in namespaces for pid in net.processes(name)]
        self.assert_nothing_left()

    def start_up(self) -> subprocess.Popen[bytes]:
        """Begin `up` in a process group of its own."""
        program = (
            "from pathlib import Path; from tests.lab.labs import CACHE, SITES; from intercloud.clouds.lab import lab;"
            "from intercloud.clouds.lab.spec import LabSpec;"
            f"lab.up(LabSpec({self.spec.name!r}, Path({str(self.spec.root)!r}), CACHE, SITES))"
        )
        return subprocess.Popen([sys.executable, "-c", program], start_new_session=True)

    def test_up_killed_before_its_switch_is_ready_can_be_repeated(self) -> None:
        process = self.start_up()
        record = self.spec.place("lab-a").ovs / "ovs-vswitchd.pid"
        wait_until(record.exists, f"{record}", interval=0.0002)
        switch = int(record.read_text())
        os.kill(switch, signal.SIGSTOP)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

        def go_on() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(switch, signal.SIGCONT)

        slow = threading.Timer(0.5, go_on)
        slow.start()
        self.addCleanup(slow.join)
        lab.up(self.spec)
        self.assertTrue(tunnels_join(self.spec))
        self.assert_nothing_left()

    def test_up_killed_anywhere_can_be_repeated_or_taken_down(self) -> None:
        for after in (0.3, 0.45, 0.6, 0.8, 1.0):
            process = self.start_up()
            time.sleep(after)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if after in (0.45, 0.8):
                lab.up(self.spec)
                self.assertTrue(tunnels_join(self.spec))
            self.assert_nothing_left()

    def test_two_labs_side_by_side(self) -> None:
        other = small_spec(self.spec.root)
        self.addCleanup(lab.down, other)
        lab.up(self.spec)
        lab.up(other)
        self.assertTrue(tunnels_join(self.spec))
        self.assertTrue(tunnels_join(other))
        lab.down(self.spec)
        self.assertTrue(lab.status(other).up)
        self.assertTrue(tunnels_join(other))
        self.assertLess(reach.round_trip(other.place("lab-a").end, other.place("lab-b").end), 1)
        lab.down(other)
        self.assertEqual(world(self.spec), self.before)

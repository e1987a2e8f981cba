"""Disks and offers of the lab: what crosses the WAN, what arrives, what a kill leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from intercloud.clouds.ability import Ability
from intercloud.clouds.lab import net
from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import DiskRef, ServerState
from intercloud.errors import CloudError
from intercloud.model.server import Cluster, Disk, Network, Nic, Server
from intercloud.units import MIB, Bytes
from tests import needs
from tests.lab.labs import LabCase


def io(path: Path, *commands: str) -> None:
    """Write to a qcow2 file as a guest would."""
    words = ["qemu-io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), str(path)]
    subprocess.run(words, check=True, capture_output=True, timeout=30)


@needs.lab
class Disks(LabCase):
    def setUp(self) -> None:
        self.source, self.target = (LabCloud(self.spec.place(name)) for name in ("lab-a", "lab-b"))
        base = self.spec.path / "base.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "16M"], check=True, timeout=30)
        io(base, "write -P 1 0 8M")
        self.image = self.source.image_add(base, "base")
        disks = (Disk("root", Bytes(32 * MIB), self.image), Disk("data", Bytes(24 * MIB)))
        nic = Nic("net1", "52:54:00:61:00:01", "10.61.0.1")
        self.one = Server("one", 1, Bytes(64 * MIB), disks, (nic,))
        self.cluster = Cluster("tests", (Network("net1", 7002, "10.61.0.0/24", 1400),), (self.one,))
        self.addCleanup(self.source.delete_server, "one")
        self.addCleanup(self.target.delete_server, "one")
        with self.source.offer(self.image) as offer:
            self.target.fetch(self.image, offer, lambda _: None)
        for cloud in (self.source, self.target):
            cloud.create_server(self.cluster, self.one)

    def disk(self, cloud: LabCloud, name: str) -> Path:
        return cloud.place.path / "servers/one" / f"disk-{name}.qcow2"

    def test_only_what_differs_from_the_image_crosses(self) -> None:
        # Zeros over the image's data must arrive as zeros, not as what the image has there.
        io(self.disk(self.source, "root"), "write -P 2 1M 1M", "write -z 4M 1M", "write -P 3 20M 1M")
        ref = DiskRef("one", self.one.disks[0])
        with self.source.offer(ref) as offer:
            moved = self.target.fetch(ref, offer, lambda _: None)
            self.assertTrue(2 * MIB <= moved < 3 * MIB, moved)
            with self.target.offer(ref) as copy:
                compare = ["qemu-img", "compare", "-f", "raw", "-F", "raw", offer.local, copy.local]
                self.assertEqual(subprocess.run(compare, capture_output=True, timeout=30, check=False).returncode, 0)
        expected = ["read -P 1 0 1M", "read -P 2 1M 1M", "read -P 0 4M 1M", "read -P 1 5M 3M", "read -P 3 20M 1M"]
        io(self.disk(self.target, "root"), *expected)

    def test_a_disk_without_an_image_crosses_whole(self) -> None:
        io(self.disk(self.source, "data"), "write -P 5 3M 2M")
        io(self.disk(self.target, "data"), "write -P 6 8M 1M")
        ref = DiskRef("one", self.one.disks[1])
        with self.source.offer(ref) as offer:
            self.assertEqual(self.target.fetch(ref, offer, lambda _: None), 2 * MIB)
        io(self.disk(self.target, "data"), "read -P 0 0 3M", "read -P 5 3M 2M", "read -P 0 5M 19M")

    def test_offers_die_with_their_process(self) -> None:
        program = (
            "import time; from pathlib import Path; from tests.lab.labs import CACHE, SITES;"
            "from intercloud.clouds.lab.spec import LabSpec; from intercloud.clouds.lab.provider import LabCloud;"
            f"spec = LabSpec({self.spec.name!r}, Path({str(self.spec.root)!r}), CACHE, SITES);"
            "cloud = LabCloud(spec.place('lab-a')); held = cloud.offer(cloud.store.images()[0]); held.__enter__();"
            "print('offered', flush=True); time.sleep(60)"
        )
        namespace = self.source.place.namespace
        before = net.processes(namespace)
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "offered\n")
            self.assertEqual(len(net.processes(namespace)), len(before) + 2)
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.3)
        self.assertEqual(net.processes(namespace), before)

    def test_a_deleted_server_leaves_nothing(self) -> None:
        place = self.source.place
        (tap,) = self.source.guest("one").placement.ports.values()
        processes = net.processes(place.namespace)
        self.source.start_server("one")
        self.assertIn(tap, net.links(place.namespace))
        self.source.delete_server("one")
        self.assertNotIn(tap, net.links(place.namespace))
        self.assertEqual(net.processes(place.namespace), processes)
        self.assertEqual(list((place.path / "servers").iterdir()), [])

    def test_a_killed_guest_is_a_stopped_server_and_boots_again(self) -> None:
        self.source.start_server("one")
        pid = self.source.guest("one").pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
        self.assertEqual(self.source.server_state("one"), ServerState.STOPPED)
        self.source.start_server("one")
        self.assertEqual(self.source.server_state("one"), ServerState.RUNNING)

    def test_a_foreign_process_of_the_same_pid_is_spared(self) -> None:
        with subprocess.Popen(["sleep", "60"]) as foreign:
            self.source.guest("one").files.pid.write_text(f"{foreign.pid}\n")
            self.assertEqual(self.source.server_state("one"), ServerState.STOPPED)
            self.source.delete_server("one")
            self.assertIsNone(foreign.poll())
            foreign.kill()

    def test_a_cloud_as_a_tenant_sees_it_has_no_hypervisor(self) -> None:
        cloud = LabCloud(self.source.place, frozenset({Ability.COLD}))
        self.assertEqual(cloud.about().abilities, {Ability.COLD})
        for ask in (lambda: cloud.monitor("one"), lambda: cloud.receive_server(self.cluster, self.one)):
            with self.assertRaisesRegex(CloudError, "lab-a gives no access to its hypervisor"):
                ask()
        cloud.adopt_server("one")

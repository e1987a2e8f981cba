"""A cluster of a tenant moves between two real OpenStack clouds, as a user moves it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

from relay import relaying
from tenant import TIERS, Tenant
from testbed import user
from testbed.host import enter
from testbed.layout import CONTROL, HOSTS, LAB, OTHER_KIND, PORTS
from tests import needs

from intercloud.clouds.lab.provider import LabCloud
from intercloud.clouds.port import ServerState
from intercloud.clouds.run import run
from intercloud.control import process
from intercloud.control.client import ControlClient

PROGRAM = Path(__file__).parents[2] / "migrate.py"
NAMES = tuple(server.name for server in TIERS)


class Moves(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.config = user.write(Path(folder.name))
        self.addCleanup(self.forget)

    def forget(self) -> None:
        with ControlClient(CONTROL / process.SOCKET_FILE) as control:
            control.drop(endpoints=[nic.mac for server in TIERS for nic in server.nics])

    def migration(self, source: str, target: str, strategy: str) -> subprocess.Popen[str]:
        """Begin to move the cluster; the report comes by the standard output."""
        command = [sys.executable, str(PROGRAM), "--config", str(self.config), "--source", source, "--target", target]
        command += ["--cluster", "shop", "--output", "json", "--strategy", strategy]
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.config.with_name("clouds.yaml"))}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def names(self, tenant: Tenant) -> list[str]:
        return sorted(server.name for server in tenant.compute.servers())

    def assert_nothing_left(self, tenant: Tenant) -> None:
        self.assertEqual(self.names(tenant), [])
        owners = [port.device_owner for port in tenant.network.ports() if port.device_owner != "network:dhcp"]
        self.assertEqual(owners, [])
        images = [image.name for image in tenant.cloud.image.images()]
        self.assertEqual([name for name in images if "mov" in name or "changed" in name], [])

    def test_a_cluster_moves_live(self) -> None:
        source, target = self.booted()
        self.goes("live", source, target)

    def test_one_server_moves_cold_and_comes_back_warm(self) -> None:
        source, target = self.booted("db")
        self.goes("cold", source, target)
        self.goes("warm", target, source)

    @needs.long
    def test_a_cluster_moves_live_there_and_back_then_cold_then_warm(self) -> None:
        source, target = self.booted()
        for strategy, here, there in (
            ("live", source, target), ("live", target, source), ("cold", source, target), ("warm", target, source)
        ):  # fmt: skip
            with self.subTest(f"{strategy} to {there.host.name}"):
                self.goes(strategy, here, there)

    def goes(self, strategy: str, here: Tenant, there: Tenant) -> None:
        """Let what was booted move; nothing is left of it where it was, and all is in order where it is."""
        names = self.names(here)
        self.moved(strategy, here.host.name, there.host.name)
        self.assertEqual(self.names(there), names)
        self.assert_nothing_left(here)
        self.assert_consistent(there)

    def booted(self, *names: str) -> tuple[Tenant, Tenant]:
        """Boot the cluster, or these of it, at the first cloud; what moves have made of it is swept away at both."""
        settings = json.loads(self.config.read_text())
        shop = {"names": names or NAMES, "health": None if names else "http://10.50.0.11/health"}
        for host in HOSTS:
            settings["clouds"][host.name]["clusters"] = {"shop": shop}
        self.config.write_text(json.dumps(settings))
        source, target = (Tenant(self, host) for host in HOSTS)
        servers = source.boot(*(names or NAMES))
        for tenant in (source, target):
            self.addCleanup(tenant.sweep)
        for server in servers:
            source.wait_up(server)
        return source, target

    def assert_consistent(self, tenant: Tenant) -> None:
        """Nova, Neutron and libvirt agree on what is there."""
        for server in tenant.compute.servers():
            self.assertEqual((server.status, server.power_state, server.is_locked), ("ACTIVE", 1, False), server.name)
            (port,) = tenant.network.ports(device_id=server.id)
            self.assertEqual(port.status, "ACTIVE", server.name)
        running = run(enter(tenant.host, ["virsh", "-q", "list", "--uuid"])).split()
        self.assertEqual(sorted(running), sorted(server.id for server in tenant.compute.servers()))

    @needs.long
    def test_nova_does_all_with_a_server_that_came_live(self) -> None:
        source, target = self.booted()
        self.moved("live", source.host.name, target.host.name)
        server = next(each for each in target.compute.servers() if each.name == "web")
        target.goes_on(server)
        target.compute.delete_server(server)
        target.compute.wait_for_delete(server, interval=1, wait=60)

    @needs.long
    def test_a_server_moves_to_a_cloud_of_another_kind_and_back(self) -> None:
        source, target = self.booted("db")
        lab = LabCloud(LAB.place(OTHER_KIND))
        self.addCleanup(lab.delete_server, "db")
        self.moved("cold", source.host.name, OTHER_KIND)
        self.assert_nothing_left(source)
        self.assertIs(lab.server_state("db"), ServerState.RUNNING)
        for strategy, there in (("cold", target), ("warm", source)):
            with self.subTest(strategy):
                if strategy == "warm":
                    self.moved("cold", target.host.name, OTHER_KIND)
                self.moved(strategy, OTHER_KIND, there.host.name)
                self.assertIs(lab.server_state("db"), ServerState.ABSENT)
                self.assert_consistent(there)

    @needs.long
    def test_a_target_that_does_not_answer_any_more_leaves_the_source_as_it_was(self) -> None:
        source, target = self.booted("db")
        away = threading.Event()
        with relaying(target.host.address, PORTS["nova"], lambda _: not away.is_set()) as url:
            clouds = json.loads((path := self.config.with_name("clouds.yaml")).read_text())
            for name in (target.host.name, f"{target.host.name}-operator"):
                clouds["clouds"][name]["compute_endpoint_override"] = f"{url}/v2.1"
            path.write_text(json.dumps(clouds))
            process = self.migration(source.host.name, target.host.name, "cold")
            said = ""
            assert process.stderr is not None
            for line in process.stderr:
                said += line
                if " last delta" in line:
                    away.set()
                    threading.Timer(10, away.clear).start()
            output = process.communicate(timeout=300)[0]
        found = json.loads(output)
        self.assertEqual((process.returncode != 0, found["status"]), (True, "rolled-back"), said)
        self.assertIn(f"{target.host.name} does not answer", found["message"])
        self.assertEqual(self.names(source), ["db"])
        self.assert_consistent(source)
        self.assert_nothing_left(target)

    def moved(self, strategy: str, source: str, target: str) -> dict[str, Any]:
        """Move the cluster from one cloud to another."""
        process = self.migration(source, target, strategy)
        output, said = process.communicate(timeout=400)
        self.assertEqual(process.returncode, 0, said)
        found: dict[str, Any] = json.loads(output)
        self.assertEqual(found["status"], "completed", found["message"])
        self.assertEqual({server["strategy"] for server in found["servers"]}, {strategy})
        self.assertTrue(all(server["disk_digest_equal"] for server in found["servers"]))
        if len(found["servers"]) == len(NAMES):
            self.assertEqual(found["probe"]["writes"]["lost"], 0)
        if strategy == "live":
            self.assertEqual(found["probe"]["tcp"]["broken"], 0)
        return found


if __name__ == "__main__":
    unittest.main()

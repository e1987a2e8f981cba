"""A cluster of a tenant moves between two real OpenStack clouds, as a user moves it."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from tenant import TIERS, Tenant
from testbed import user
from testbed.host import enter
from testbed.layout import CONTROL, HOSTS, Host

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
        settings = json.loads(self.config.read_text())
        for cloud in settings["clouds"].values():
            cloud["clusters"] = {"shop": {"names": list(NAMES), "health": "http://10.50.0.11/health"}}
        self.config.write_text(json.dumps(settings))
        self.addCleanup(self.forget)

    def forget(self) -> None:
        with ControlClient(CONTROL / process.SOCKET_FILE) as control:
            control.drop(endpoints=[nic.mac for server in TIERS for nic in server.nics])

    def migrate(self, source: Host, target: Host, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), "--config", str(self.config), "--source", source.name]
        command += ["--target", target.name, "--cluster", "shop", "--output", "json", *words]
        environment = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.config.with_name("clouds.yaml"))}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)

    def names(self, tenant: Tenant) -> list[str]:
        return sorted(server.name for server in tenant.compute.servers())

    def assert_nothing_left(self, tenant: Tenant) -> None:
        self.assertEqual(self.names(tenant), [])
        owners = [port.device_owner for port in tenant.network.ports() if port.device_owner != "network:dhcp"]
        self.assertEqual(owners, [])
        moved = [image.name for image in tenant.cloud.image.images() if "mov" in image.name]
        self.assertEqual(moved, [])

    def test_live_there_and_back_and_cold_there_and_back(self) -> None:
        source, target = self.booted()
        for strategy in ("live", "cold"):
            for here, there in ((source, target), (target, source)):
                with self.subTest(f"{strategy} to {there.host.name}"):
                    self.moved(strategy, self.migrate(here.host, there.host, "--strategy", strategy))
                    self.assertEqual(self.names(there), sorted(NAMES))
                    self.assert_nothing_left(here)
                    self.assert_consistent(there)

    def booted(self) -> tuple[Tenant, Tenant]:
        """Boot the cluster at the first cloud; what moves have made of it is swept away at both, before its parts."""
        source, target = (Tenant(self, host) for host in HOSTS)
        servers = source.boot(*NAMES)
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

    def test_nova_does_all_with_a_server_that_came_live(self) -> None:
        source, target = self.booted()
        self.moved("live", self.migrate(source.host, target.host, "--strategy", "live"))
        server = next(each for each in target.compute.servers() if each.name == "web")
        target.goes_on(server)
        target.compute.delete_server(server)
        target.compute.wait_for_delete(server, interval=1, wait=60)

    def moved(self, strategy: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        self.assertEqual(done.returncode, 0, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        self.assertEqual(found["status"], "completed", found["message"])
        self.assertEqual({server["strategy"] for server in found["servers"]}, {strategy})
        self.assertTrue(all(server["disk_digest_equal"] for server in found["servers"]))
        self.assertEqual(found["probe"]["writes"]["lost"], 0)
        if strategy == "live":
            self.assertEqual(found["probe"]["tcp"]["broken"], 0)
        return found


if __name__ == "__main__":
    unittest.main()

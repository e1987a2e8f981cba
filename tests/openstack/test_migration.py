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
from testbed.layout import CONTROL, HOSTS, Host

from intercloud.control import process
from intercloud.control.client import ControlClient

PROGRAM = Path(__file__).parents[2] / "migrate.py"
NAMES = tuple(server.name for server in TIERS)


class Cold(unittest.TestCase):
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

    def test_there_and_back(self) -> None:
        here, there = HOSTS
        source, target = Tenant(self, here), Tenant(self, there)
        for tenant in (source, target):
            self.addCleanup(tenant.sweep)
        servers = source.boot(*NAMES)
        for server in servers:
            source.wait_up(server)
        self.moved(self.migrate(here, there))
        self.assertEqual(self.names(target), sorted(NAMES))
        self.assert_nothing_left(source)
        self.moved(self.migrate(there, here))
        self.assertEqual(self.names(source), sorted(NAMES))
        self.assert_nothing_left(target)

    def moved(self, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        self.assertEqual(done.returncode, 0, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        self.assertEqual(found["status"], "completed", found["message"])
        self.assertEqual({server["strategy"] for server in found["servers"]}, {"cold"})
        self.assertTrue(all(server["disk_digest_equal"] for server in found["servers"]))
        return found


if __name__ == "__main__":
    unittest.main()

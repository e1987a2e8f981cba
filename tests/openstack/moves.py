"""What the tests of whole moves between the two clouds have in common."""

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
from testbed.layout import CONTROL, HOSTS

from intercloud.clouds.run import run
from intercloud.control import process
from intercloud.control.client import ControlClient

PROGRAM = Path(__file__).parents[2] / "migrate.py"
NAMES = tuple(server.name for server in TIERS)


class MovesCase(unittest.TestCase):
    """Tests that move servers, as a user moves them."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.config = user.write(Path(folder.name))
        self.addCleanup(self.forget)

    @property
    def environment(self) -> dict[str, str]:
        """Where the clouds' names are looked up."""
        return {"OS_CLIENT_CONFIG_FILE": str(self.config.with_name("clouds.yaml"))}

    def forget(self) -> None:
        with ControlClient(CONTROL / process.SOCKET_FILE) as control:
            control.drop(endpoints=[nic.mac for server in TIERS for nic in server.nics])

    def migration(self, source: str, target: str, strategy: str) -> subprocess.Popen[str]:
        """Begin to move the cluster; the report comes by the standard output."""
        command = [sys.executable, str(PROGRAM), "--config", str(self.config), "--source", source, "--target", target]
        command += ["--cluster", "shop", "--output", "json", "--strategy", strategy]
        environment = {**os.environ, **self.environment}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def names(self, tenant: Tenant) -> list[str]:
        return sorted(server.name for server in tenant.compute.servers())

    def assert_nothing_left(self, tenant: Tenant) -> None:
        self.assertEqual(self.names(tenant), [])
        owners = [port.device_owner for port in tenant.network.ports() if port.device_owner != "network:dhcp"]
        self.assertEqual(owners, [])
        self.assertEqual([*tenant.storage.volumes(), *tenant.storage.snapshots()], [])
        images = [image.name for image in tenant.cloud.image.images()]
        self.assertEqual([name for name in images if "mov" in name or "changed" in name], [])

    def goes(self, strategy: str, here: Tenant, there: Tenant) -> None:
        """Let what was booted move; nothing is left of it where it was, and all is in order where it is."""
        names = self.names(here)
        self.moved(strategy, here.host.name, there.host.name)
        self.assertEqual(self.names(there), names)
        self.assert_nothing_left(here)
        self.assert_consistent(there)

    def booted(self, *names: str, volumes: bool = False, gateway: str | None = None) -> tuple[Tenant, Tenant]:
        """Boot the cluster, or these of it, at the first cloud; what moves have made of it is swept away at both.

        volumes: from volumes; gateway: of their network's.
        """
        settings = json.loads(self.config.read_text())
        shop = {"names": names or NAMES, "health": None if names else "http://10.50.0.11/health"}
        for host in HOSTS:
            settings["clouds"][host.name]["clusters"] = {"shop": shop}
        self.config.write_text(json.dumps(settings))
        source, target = (Tenant(self, host) for host in HOSTS)
        servers = source.boot(*(names or NAMES), volumes=volumes, gateway=gateway)
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
            sent = sum(server["bytes_sent"] for server in found["servers"])
            self.assertLess(found["wan_bytes"], sent / 2, "it went through the channel")
        return found

"""Moves that are refused, or that something goes wrong in: the source is as it was, the target clean, one line why."""

import contextlib
import json
import threading
import unittest
from collections.abc import Iterator
from typing import Any

from moves import MovesCase
from relay import relaying
from tenant import Tenant
from testbed.layout import PORTS
from testbed.seed import PROJECT, connect, named
from tests import needs

AWAY = 10.0
"""Seconds that a service is gone for."""


@contextlib.contextmanager
def without_quota(tenant: Tenant) -> Iterator[None]:
    project = tenant.cloud.current_project_id
    with connect(tenant.host) as operator:
        compute: Any = operator.compute
        before = compute.get_quota_set(project).cores
        compute.update_quota_set(project, cores=0)
        try:
            yield
        finally:
            compute.update_quota_set(project, cores=before)


@contextlib.contextmanager
def another_group(tenant: Tenant) -> Iterator[None]:
    group = tenant.network.create_security_group(name="open")
    try:
        yield
    finally:
        tenant.network.delete_security_group(group)


@contextlib.contextmanager
def another_subnet(tenant: Tenant) -> Iterator[None]:
    shop = named(tenant.network.networks(), PROJECT)
    subnet = tenant.network.create_subnet(network_id=shop.id, ip_version=4, cidr="10.99.0.0/24")
    try:
        yield
    finally:
        tenant.network.delete_subnet(subnet)


@contextlib.contextmanager
def smaller_packets(tenant: Tenant) -> Iterator[None]:
    shop = named(tenant.network.networks(), PROJECT)
    before = shop.mtu
    tenant.network.update_network(shop.id, mtu=1280)
    try:
        yield
    finally:
        tenant.network.update_network(shop.id, mtu=before)


REFUSALS = {
    without_quota: "quota too small: 1 vCPUs needed, 0 free of 0; raise the quota",
    another_group: "its security group open lacks ingress IPv4 from any; make the rules",
    another_subnet: "its network shop has the subnet 10.99.0.0/24, 10.50.0.0/24 is wanted; ",
    smaller_packets: "its network shop has an MTU of 1280 bytes, ",
}


class Failing(MovesCase):
    def assert_unharmed(self, source: Tenant, target: Tenant, boot: str | None) -> None:
        """The source's db runs on, and nothing of it is at the target."""
        (db,) = source.compute.servers()
        self.assertEqual(source.boot_id(db), boot)
        self.assert_consistent(source)
        self.assert_nothing_left(target)

    def started(self) -> tuple[Tenant, Tenant, str | None]:
        source, target = self.booted("db")
        (db,) = source.compute.servers()
        return source, target, source.boot_id(db)

    @needs.long
    def test_what_is_in_the_way_is_told_before_anything_is_changed(self) -> None:
        source, target, boot = self.started()
        for in_the_way, words in REFUSALS.items():
            with self.subTest(in_the_way.__name__), in_the_way(target):
                process = self.migration(source.host.name, target.host.name, "cold")
                said = process.communicate(timeout=100)[1]
                self.assertEqual(process.returncode, 1, said)
                self.assertIn(f"intercloud: {target.host.name}: {words}", said)
        self.assert_unharmed(source, target, boot)

    @needs.long
    def test_a_place_that_nova_cannot_make_leaves_all_as_it_was(self) -> None:
        source, target, boot = self.started()
        with connect(target.host) as operator:
            compute: Any = operator.compute
            (service,) = compute.services(binary="nova-compute")
            compute.disable_service(service)
            self.addCleanup(lambda: connect(target.host).compute.enable_service(service))
        process = self.migration(source.host.name, target.host.name, "live")
        output, said = process.communicate(timeout=300)
        self.assertEqual(json.loads(output)["status"], "rolled-back", said)
        self.assertIn("server db failed: No valid host", json.loads(output)["message"])
        self.assert_unharmed(source, target, boot)

    @needs.long
    def test_a_target_whose_nova_is_gone_for_a_while_leaves_the_source_as_it_was(self) -> None:
        source, target, _ = self.started()
        away = threading.Event()
        with relaying(target.host.address, PORTS["nova"], lambda _: not away.is_set()) as url:
            clouds = json.loads((path := self.config.with_name("clouds.yaml")).read_text())
            for name in (target.host.name, f"{target.host.name}-operator"):
                clouds["clouds"][name]["compute_endpoint_override"] = f"{url}/v2.1"
            path.write_text(json.dumps(clouds))
            message = self.fails("cold", source, target, " last delta", away)
        self.assertIn(f"{target.host.name} does not answer", message)
        self.assertEqual(self.names(source), ["db"])
        self.assert_consistent(source)
        self.assert_nothing_left(target)

    @needs.long
    def test_a_target_whose_libvirt_is_gone_for_a_while_leaves_the_source_as_it_was(self) -> None:
        source, target, boot = self.started()
        away = threading.Event()
        with relaying(target.host.address, 16509, lambda _: not away.is_set()) as url:
            settings = json.loads(self.config.read_text())
            settings["clouds"][target.host.name]["hypervisors"]["libvirt"] = url.replace("http", "qemu+tcp") + "/system"
            self.config.write_text(json.dumps(settings))
            message = self.fails("live", source, target, " memory", away)
        self.assertIn("no answer from libvirt at qemu+tcp:", message)
        self.assert_unharmed(source, target, boot)

    def fails(self, strategy: str, source: Tenant, target: Tenant, at: str, away: threading.Event) -> str:
        """Let a service be away for a while as soon as a move says this; the move is rolled back, and says why."""
        process = self.migration(source.host.name, target.host.name, strategy)
        back = threading.Timer(AWAY, away.clear)
        said = ""
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if at in line and back.ident is None:
                away.set()
                back.start()
        output = process.communicate(timeout=300)[0]
        found = json.loads(output)
        self.assertEqual((process.returncode, found["status"]), (1, "rolled-back"), said)
        return str(found["message"])


if __name__ == "__main__":
    unittest.main()

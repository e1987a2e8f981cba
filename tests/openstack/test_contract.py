"""OpenStack keeps the contract of a cloud, with a tenant's rights."""

import contextlib
import os
import random
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from tenant import sweep
from testbed import user
from testbed.host import enter
from testbed.layout import HOSTS, PASSWORD, PROVIDER, Host
from testbed.seed import connect, named
from tests import needs
from tests.contract import cloud_contract

from intercloud.bootstrap.wiring import open_cloud
from intercloud.clouds.openstack.held_back import HALT, first_sector
from intercloud.clouds.openstack.images import describe
from intercloud.clouds.openstack.provider import OpenStackCloud
from intercloud.clouds.run import run
from intercloud.settings import load
from intercloud.units import GIB, MIB, Bytes

PROJECT = "contract"
CORES = 2
VLAN = 102


def prepare(host: Host) -> None:
    """Make a project with a small quota, a user, a network of its own and the flavors; safe to repeat.

    What tests that were killed have left in it goes: the clouds outlive them.
    """
    with connect(host) as operator:
        keystone: Any = operator.identity
        compute: Any = operator.compute
        network: Any = operator.network
        project = named(keystone.projects(), PROJECT) or keystone.create_project(name=PROJECT, domain_id="default")
        if named(keystone.users(), PROJECT) is None:
            user = keystone.create_user(name=PROJECT, password=PASSWORD, domain_id="default")
            keystone.assign_project_role_to_user(project, user, named(keystone.roles(), "member"))
        compute.update_quota_set(project.id, cores=CORES)
        for vcpus in (1, CORES // 2 + 1):
            name = f"contract-{vcpus}-128"
            if named(compute.flavors(), name) is None:
                compute.create_flavor(name=name, ram=128, vcpus=vcpus, disk=1)
        segment = {"provider_physical_network": PROVIDER, "provider_segmentation_id": VLAN}
        net1 = named(network.networks(), "net1") or network.create_network(
            name="net1", project_id=project.id, provider_network_type="vlan", mtu=1400, **segment
        )
        with connect(host, PROJECT, PROJECT) as tenant:
            sweep(tenant)
        network.create_subnet(
            network_id=net1.id, project_id=project.id, ip_version=4, cidr="10.60.0.0/24", gateway_ip=None,
            allocation_pools=[{"start": "10.60.0.200", "end": "10.60.0.250"}],
        )  # fmt: skip


@needs.long
class OpenStackContract(cloud_contract.CloudContract):
    _cleanup: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = load(user.write(directory, PROJECT, operator=False))
            stack.enter_context(mock.patch.dict(os.environ, OS_CLIENT_CONFIG_FILE=str(directory / "clouds.yaml")))
            for host in HOSTS:
                prepare(host)
            source, target = (open_cloud(settings, host.name) for host in HOSTS)
            assert isinstance(source, OpenStackCloud)
            raw, path = directory / "raw", directory / "qcow2"
            raw.write_bytes(first_sector(HALT) + random.Random(1).randbytes(4 << 20))
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True, timeout=30)
            image: Any = source.door.image
            with path.open("rb") as content:
                noise = image.create_image("noise", data=content, disk_format="qcow2", container_format="bare")
            stack.callback(image.delete_image, noise.id)
            found = describe(image.get_image(noise.id))
            assert found is not None
            cls.clouds = cloud_contract.Clouds(
                source, target, found, cls.write, Bytes(GIB), Bytes(128 * MIB), notes=False, refills=False
            )
            cls._cleanup = stack.pop_all()

    @classmethod
    def write(cls, server: str, offset: int, size: int, pattern: int) -> None:
        """Write as the guest would: by its hypervisor's monitor."""
        cloud = cls.clouds.source
        assert isinstance(cloud, OpenStackCloud)
        number = cloud.servers.get(server).id
        act = f'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P {pattern} {offset} {size}"'
        command = ["virsh", "-q", "qemu-monitor-command", "--hmp", number, act]
        said = run(enter(HOSTS[0], command))
        if "rror" in said:
            raise AssertionError(said)

    @classmethod
    def tearDownClass(cls) -> None:
        cls._cleanup.close()


if __name__ == "__main__":
    unittest.main()

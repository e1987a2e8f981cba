"""Bring two OpenStack clouds up and down on this computer: `python -m testbed up|down|status`. Needs root."""

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from intercloud.clouds.lab import emulator, lab, net
from intercloud.clouds.lab.accel import accelerator
from intercloud.clouds.lab.qemu import Accelerator
from intercloud.clouds.openstack.receiver.build import receiver
from intercloud.clouds.run import inside, run
from intercloud.errors import IntercloudError
from testbed import files, host, hub, network, services, user
from testbed.layout import HOSTS, LAB, OPERATOR, ROOT, VENV, Host

BEGAN = time.monotonic()


def say(what: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{time.monotonic() - BEGAN:6.1f} s  {what}\n")
    sys.stderr.flush()


def seed(cloud: Host, *steps: str) -> None:
    """Take steps through a cloud's APIs, from where they are reached."""
    run(inside(OPERATOR, [sys.executable, "-m", "testbed.seed", cloud.name, *steps]), timeout=300)


def up_cloud(cloud: Host) -> None:
    """Bring one cloud up, from whatever there is of it."""
    mounts = emulator.places(LAB.cache)
    new = not services.prepared(cloud)
    host.connect(cloud)
    network.connect(cloud)
    host.switch_on(cloud, mounts)
    services.start_ground(cloud)
    if new:
        services.make_schemas(cloud)
        say(f"{cloud.name}: schemas made")
    services.start_apis(cloud)
    if new:
        seed(cloud, "identity")
        say(f"{cloud.name}: users and catalog made")
    services.start_services(cloud)
    say(f"{cloud.name}: services started")
    seed(cloud, "wait", "resources")
    say(f"{cloud.name}: ready")


def each(act: Callable[[Host], None]) -> None:
    """Do it for both clouds at the same time."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(act, cloud) for cloud in HOSTS]:
            done.result()


def up() -> None:
    """Bring both clouds up, with the WAN between them."""
    if not (VENV / "bin" / "nova-compute").exists():
        raise SystemExit("testbed: the services are not installed; run: make openstack-up")
    lab.up(LAB)
    hub.connect()
    kind = "kvm" if accelerator(LAB.cache) is Accelerator.KVM else "qemu"
    for cloud in HOSTS:
        files.write(files.of_host(cloud, kind))
    hub.up()
    say("MariaDB and RabbitMQ answer")
    receiver(LAB.cache)  # whoever uses the clouds does so where no Debian is to be reached
    each(up_cloud)
    network.up()
    say(f"to use them: OS_CLIENT_CONFIG_FILE={user.FOLDER}/clouds.yaml, --config {user.write()}")


def down(*, forget: bool) -> None:
    """End everything. forget: the databases, too, so that the next start begins with nothing."""
    each(host.switch_off)
    hub.down()
    network.down()
    lab.down(LAB)  # and with it every namespace whose name begins like the lab's
    if forget:
        shutil.rmtree(ROOT, ignore_errors=True)


def status() -> None:
    """Print which clouds are on."""
    there = net.namespaces()
    for cloud in HOSTS:
        on = cloud.namespace in there and host.first(cloud) is not None
        sys.stdout.write(f"{cloud.name}: {'on' if on else 'off'}, {len(net.processes(cloud.namespace))} processes\n")


def main() -> None:
    """Obey the command line."""
    parser = argparse.ArgumentParser(prog="testbed", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("verb", choices=("up", "down", "status"))
    parser.add_argument("--forget", action="store_true", help="with down: remove the prepared databases, too")
    options = parser.parse_args()
    try:
        if options.verb == "up":
            up()
        elif options.verb == "down":
            down(forget=options.forget)
        else:
            status()
    except IntercloudError as error:
        raise SystemExit(f"testbed: {error}") from None


if __name__ == "__main__":
    main()

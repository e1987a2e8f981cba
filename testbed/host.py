"""One computer: a process that is the first of its own process, mount and host-name namespaces, and what runs in it."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from intercloud.clouds.lab import net
from intercloud.clouds.run import command_line, inside, kill, run, wait_until
from testbed.layout import VENV, Host

INIT = Path(__file__).with_name("init.py")
SHIMS = Path(__file__).with_name("bin")
"""Programs that stand in for some that make no sense here; see there."""


FOLDERS = (
    "log", "run/tmp", "libvirt/lib", "libvirt/log", "libvirt/cache", "state/nova/instances", "state/neutron",
    "state/glance/images", "state/glance/staging", "state/glance/tasks", "state/cinder/share",
)  # fmt: skip
"""What programs expect to be there."""


def connect(host: Host) -> None:
    """Give a computer its card to the provider network, and its way to the WAN; safe to repeat."""
    site = host.place.namespace
    there = net.links(site)
    for outside, card in (("provider", "eth1"), ("host", "eth2")):
        if outside not in there:
            net.batch(site, [("link", "add", outside, "type", "veth", "peer", "name", card, "netns", host.namespace)])
        net.batch(site, [("link", "set", outside, "up")])
        net.batch(host.namespace, [("link", "set", card, "up")])
        for where, name in ((site, outside), (host.namespace, card)):
            # the userspace datapath does not complete partial checksums
            run(inside(where, ["ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off", "gro", "off"]))
    net.batch(site, [("link", "set", "host", "master", "wan")])
    net.batch(
        host.namespace,
        [
            ("addr", "replace", f"{host.wan_address}/24", "dev", "eth2"),
            ("route", "replace", net.WAN_NETWORK, "dev", "eth2", "src", host.wan_address, "congctl", "cubic"),
        ],
    )


def first(host: Host) -> int | None:
    """The process that is the computer's first, as this computer numbers it; None when it is off."""
    for pid in net.processes(host.namespace):
        words = command_line(pid)
        if str(INIT) in words and "unshare" not in words[0]:
            return pid
    return None


def switch_on(host: Host, mounts: Mapping[Path, Path]) -> None:
    """Let a computer run, with nothing on it yet; one that runs is left alone. mounts: what it shall see → instead."""
    if first(host) is not None:
        return
    for folder in FOLDERS:
        (host.path / folder).mkdir(parents=True, exist_ok=True)
    binds = [f"{seen}={other}" for seen, other in mounts.items()]
    unshare = ("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc")
    with (host.log / "init.out").open("ab") as output:
        subprocess.Popen(
            inside(host.namespace, [*unshare, sys.executable, str(INIT), host.name, str(host.path), *binds]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    wait_until(lambda: first(host) is not None and run_on(host, ["test", "-e", "/run/ready"]), host.name, 20, 0.05)


def switch_off(host: Host) -> None:
    """End everything on a computer, at once, as when it loses its power."""
    kill(net.processes(host.namespace), 20)


def enter(host: Host, words: Sequence[str]) -> tuple[str, ...]:
    """The same command, run on a computer. Raises RuntimeError when that is off."""
    pid = first(host)
    if pid is None:
        raise RuntimeError(f"{host.name} is off")
    return ("nsenter", "-t", str(pid), "-m", "-u", "-i", "-p", "-n", "--", *words)


def environment(host: Host) -> Mapping[str, str]:
    """What every service of a cloud finds in its environment: where its configuration is."""
    etc = host.etc
    return {
        "PATH": f"{SHIMS}:{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(host.path),
        "LANG": "C.UTF-8",
        # Neutron's API elects its first worker by a file in /tmp that has a pid in its name; the clouds' pids repeat
        "TMPDIR": str(host.run / "tmp"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "OS_KEYSTONE_CONFIG_DIR": f"{etc}/keystone",
        "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        "OS_PLACEMENT_CONFIG_DIR": f"{etc}/placement",
        "OS_GLANCE_CONFIG_DIR": f"{etc}/glance",
        "OS_GLANCE_CONFIG_FILES": "glance-api.conf",
        "OS_NEUTRON_CONFIG_DIR": f"{etc}/neutron",
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini",
        "OS_NOVA_CONFIG_DIR": f"{etc}/nova",
    }


def run_on(host: Host, words: Sequence[str], timeout: float = 60) -> bool:
    """Run a command on a computer; whether it succeeded."""
    done = subprocess.run(
        enter(host, words), env=dict(environment(host)), capture_output=True, check=False, timeout=timeout
    )
    return done.returncode == 0


def start_on(host: Host, name: str, words: Sequence[str]) -> None:
    """Start a service on a computer. What it says goes to its log; it lives until the computer is switched off."""
    with (host.log / f"{name}.out").open("ab") as output:
        subprocess.Popen(
            enter(host, ["setsid", *words]),
            env=dict(environment(host)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def runs_on(host: Host, mark: str) -> bool:
    """Whether a process runs on a computer that has this word in its command line."""
    return any(any(mark in word for word in command_line(pid)) for pid in net.processes(host.namespace))

"""Sites made of real switches: each in its network namespace with its own Open vSwitch, on one underlay."""

import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from intercloud.control.registry import Endpoint
from intercloud.model.server import Network
from intercloud.model.site import Site

PREFIX = "icc"
NETWORK = Network("blue", 7, "192.168.7.0/24", 1400)
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def inside(namespace: str, *command: str, check: bool = True) -> str:
    return run("ip", "netns", "exec", namespace, *command, check=check)


def plain(namespace: str, device: str) -> None:
    """Turn off what the userspace datapath does not do for a device."""
    inside(namespace, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off")


def until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; returns the seconds that took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - started


class OvsSite:
    """One site: namespace, Open vSwitch, underlay address 10.99.0.<number> on a bridge of its own."""

    def __init__(self, fabric: "OvsSites", name: str, number: int) -> None:
        self.fabric = fabric
        self.name = name
        self.number = number
        self.namespace = f"{PREFIX}-{name}"
        self.directory = fabric.directory / name
        self.directory.mkdir()
        self.address = f"10.99.0.{number}"

    def start(self) -> None:
        self.fabric.namespace(self.namespace)
        run("ovsdb-tool", "create", str(self.directory / "conf.db"), SCHEMA)
        (self.directory / "controller.sock").symlink_to(self.fabric.directory / "openflow.sock")
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.start_switch()
        uplink = f"up-{self.name}"
        run(
            "ip",
            "link",
            "add",
            uplink,
            "netns",
            self.namespace,
            "type",
            "veth",
            "peer",
            uplink,
            "netns",
            self.fabric.wan,
        )
        inside(self.fabric.wan, "ip", "link", "set", uplink, "master", "wan", "up")
        inside(self.namespace, "ip", "link", "set", uplink, "up")
        plain(self.namespace, uplink)
        self.vsctl(
            "add-br", "br-up", "--", "set", "bridge", "br-up", "datapath_type=netdev", "--", "add-port", "br-up", uplink
        )
        inside(self.namespace, "ip", "address", "add", f"{self.address}/24", "dev", "br-up")
        inside(self.namespace, "ip", "link", "set", "br-up", "up")

    def start_database(self) -> None:
        path = self.directory / "db.sock"
        self._daemon("ovsdb-server", str(self.directory / "conf.db"), f"--remote=punix:{path}")

    def start_switch(self) -> None:
        self._daemon("ovs-vswitchd", f"unix:{self.directory}/db.sock")

    def kill(self, program: str) -> None:
        pid = int((self.directory / f"{program}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), 5, f"{program} gone")

    def _daemon(self, program: str, *arguments: str) -> None:
        files = {kind: self.directory / f"{program}.{kind}" for kind in ("pid", "log", "ctl")}
        environment = {**os.environ, "OVS_RUNDIR": str(self.directory), "OVS_LOGDIR": str(self.directory)}
        # The priority is what Debian's service gives them.
        command = [
            "nice",
            "-n",
            "-10",
            "ip",
            "netns",
            "exec",
            self.namespace,
            program,
            *arguments,
            "--detach",
            "--no-chdir",
        ]
        command += [f"--pidfile={files['pid']}", f"--log-file={files['log']}", f"--unixctl={files['ctl']}"]
        subprocess.run(
            command, env=environment, timeout=30, check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def vsctl(self, *arguments: str) -> str:
        return run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", "--timeout=10", *arguments)

    def ofctl(self, verb: str, *arguments: str) -> str:
        return run("ovs-ofctl", "-OOpenFlow14", verb, f"unix:{self.directory}/br-int.mgmt", *arguments)

    def appctl(self, *arguments: str) -> str:
        return run("ovs-appctl", f"--target={self.directory}/ovs-vswitchd.ctl", "--timeout=10", *arguments)

    def listen_in(self) -> None:
        """Let the switch log each OpenFlow message."""
        self.appctl("vlog/set", "vconn:file:dbg")
        self.appctl("vlog/disable-rate-limit", "vconn")

    def heard(self, what: str) -> int:
        """How often that is in its log."""
        return (self.directory / "ovs-vswitchd.log").read_text().count(what)

    def layout(self) -> tuple[list[str], ...]:
        """Everything on the border bridge that the control layer keeps, comparable; empty when there is no bridge."""
        if "br-int" not in self.vsctl("list-br").split():
            return ()
        flows = re.findall(
            r"table=.*", re.sub(r"(n_packets|n_bytes|duration)=[^,]*, ", "", self.ofctl("dump-flows", "--names"))
        )
        interfaces = self.vsctl("--columns=name,type,options", "--format=csv", "list", "interface").splitlines()
        controllers = self.vsctl("--columns=target,max_backoff", "--format=csv", "list", "controller").splitlines()
        return sorted(flows), sorted(interfaces), controllers

    def model(self) -> Site:
        peers = [other for other in self.fabric.sites.values() if other is not self]
        return Site(
            name=self.name,
            ovsdb=f"unix:{self.directory}/db.sock",
            bridge="br-int",
            datapath_id=f"{self.number:016x}",
            underlay={peer.name: (self.address, peer.address) for peer in peers},
            controller=f"unix:{self.directory}/controller.sock",
        )

    def attach(self, endpoint: Endpoint) -> str:
        """Make a namespace that is this endpoint at this site; returns the device to plug."""
        device, namespace = f"v-{endpoint.name}", self.host(endpoint)
        self.fabric.namespace(namespace)
        run("ip", "link", "add", device, "netns", self.namespace, "type", "veth", "peer", "eth0", "netns", namespace)
        inside(namespace, "ip", "link", "set", "eth0", "address", endpoint.mac, "mtu", str(NETWORK.mtu), "up")
        inside(namespace, "ip", "address", "add", f"{endpoint.ip}/24", "dev", "eth0")
        inside(self.namespace, "ip", "link", "set", device, "up")
        plain(self.namespace, device)
        plain(namespace, "eth0")
        return device

    def host(self, endpoint: Endpoint) -> str:
        return f"{PREFIX}-{self.name}-{endpoint.name}"


class OvsSites:
    """Sites on one underlay; `close` leaves nothing behind."""

    def __init__(self, *names: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
        self.wan = f"{PREFIX}-wan"
        self._namespaces: list[str] = []
        self.sites = {name: OvsSite(self, name, number) for number, name in enumerate(names, 1)}

    def start(self) -> None:
        self.namespace(self.wan)
        inside(self.wan, "ip", "link", "add", "wan", "type", "bridge")
        inside(self.wan, "ip", "link", "set", "wan", "up")
        for site in self.sites.values():
            site.start()

    def namespace(self, name: str) -> None:
        run("ip", "netns", "delete", name, check=False)
        run("ip", "netns", "add", name)
        self._namespaces.append(name)
        inside(name, "ip", "link", "set", "lo", "up")

    def close(self) -> None:
        for pid_file in self.directory.glob("*/*.pid"):
            with suppress(ProcessLookupError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
        for name in self._namespaces:
            run("ip", "netns", "delete", name, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


class Stream:
    """Numbered UDP packets at a steady rate from one namespace to an address; receivers in any number of namespaces."""

    _ports = itertools.count(5001)

    def __init__(self, sender: str, target: str, receivers: dict[str, str], rate: int = 1000) -> None:
        port = next(self._ports)
        self._target = (target, port)
        self._rate = rate
        self._stopped = threading.Event()
        self.sent: list[float] = []
        self.received: dict[str, list[tuple[int, float]]] = {name: [] for name in receivers}
        self._sockets = {name: udp_socket(namespace, port) for name, namespace in receivers.items()}
        self._sender = udp_socket(sender, 0)
        self._threads = [threading.Thread(target=self._receive, args=(name,)) for name in receivers]
        self._threads.append(threading.Thread(target=self._send))

    def __enter__(self) -> "Stream":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for opened in (*self._sockets.values(), self._sender):
            opened.close()

    def numbers(self) -> list[int]:
        return sorted(number for packets in self.received.values() for number, _ in packets)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            self._sender.sendto(b"%d" % len(self.sent), self._target)
            self.sent.append(time.monotonic())
            due += 1 / self._rate
            time.sleep(max(0.0, due - time.monotonic()))

    def _receive(self, name: str) -> None:
        # Go on for a moment after the last was sent: what is under way is not lost.
        end = None
        while end is None or time.monotonic() < end:
            if self._stopped.is_set() and end is None:
                end = time.monotonic() + 0.5
            try:
                data = self._sockets[name].recv(100)
            except TimeoutError:
                continue
            self.received[name].append((int(data), time.monotonic()))


def udp_socket(namespace: str, port: int) -> socket.socket:
    """Open a UDP socket that lives in another namespace."""
    result: list[socket.socket] = []

    def open_there() -> None:
        with Path(f"/run/netns/{namespace}").open() as file:
            setns(file.fileno())
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.settimeout(0.1)
        opened.bind(("0.0.0.0", port))
        result.append(opened)

    thread = threading.Thread(target=open_there)  # setns is for one thread, and this one ends
    thread.start()
    thread.join()
    return result[0]


def setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "setns")

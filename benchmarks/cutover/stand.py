"""What the benchmark stands on: three sites of the lab with a receiver at two of them, the controller, n endpoints.

One endpoint, WEB, has a device and carries traffic. The others are flows only: they are behind one device of each site
that stands for a cloud's own fabric, as many servers are behind a border bridge.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

from benchmarks.cutover.traffic import Hosts
from intercloud.bootstrap.lab import controller_up
from intercloud.clouds.lab import lab, net
from intercloud.clouds.lab.spec import BORDER, LabSpec
from intercloud.clouds.run import wait_until
from intercloud.control import fabric, process
from intercloud.control.client import ControlClient, Cutover
from intercloud.control.openflow_app import Switch
from intercloud.control.registry import Endpoint, Registry
from intercloud.errors import ControlError
from intercloud.model.server import Network, Nic
from intercloud.model.site import Tunnel

LAB = "cutbench"
OLD, NEW, THIRD = "lab-a", "lab-b", "office"
NETWORK = Network("traffic", 7, "192.168.7.0/24", 1400)
OTHERS = Network("others", 8, "10.8.0.0/16", 1400)
WEB = Nic("traffic", "52:54:00:00:07:01", "192.168.7.1")
CLIENT = Nic("traffic", "52:54:00:00:07:02", "192.168.7.2")
FABRIC = "fabric"

HELD = 1000
"""Of more endpoints the controller is not told: to write and read the flows of 10000 takes it most of a minute, and
meanwhile it mostly refuses a cutover. The switches then have only those of the others' flows that the act changes.
"""

_SETTLE_S = 60.0
_ANSWER_S = 10.0


@dataclass
class Stand:
    """One lab, as it is held for a scenario. before, after: what is wanted of the switches.

    switches: connections of our own to the border bridges, beside the controller's.
    """

    spec: LabSpec
    control: ControlClient
    before: Registry
    after: Registry
    moves: Mapping[str, str]
    hosts: Hosts
    switches: Mapping[str, Switch] = field(default_factory=dict)

    @property
    def ports(self) -> Mapping[str, fabric.Ports]:
        """The ports of every border bridge, by site."""
        return {site: switch.ports for site, switch in self.switches.items()}

    @property
    def held(self) -> bool:
        """Whether the controller has all endpoints."""
        return len(self.moves) <= HELD

    def wake(self) -> None:
        """Let the controller run, wait until all is as it wants, and let it get ready as before a move's approach.

        Raises ControlError, and it sleeps on.
        """
        _signal(self.spec, signal.SIGCONT)
        try:
            self.control.put(sites=self.before.sites.values())  # none is left out, were it even lost meanwhile
            self.control.prepare(self.moves)
        except ControlError:
            self.sleep()
            raise

    def sleep(self) -> None:
        """Stop the controller where it is: it would look at the switches while others change them, and repair."""
        _signal(self.spec, signal.SIGSTOP)

    def cutover(self) -> Cutover:
        """Move all endpoints as Intercloud does."""
        return self.control.cutover(self.moves)

    def cut_back(self) -> None:
        """Move all back, and let the controller sleep."""
        try:
            self.control.cutover(dict.fromkeys(self.moves, OLD))
        finally:
            self.sleep()


@contextmanager
def stand(tunnel: Tunnel, count: int) -> Iterator[Stand]:
    """Bring all of it up, the controller asleep; nothing is left in the end. Raises IntercloudError."""
    with ExitStack() as undo:
        spec = LabSpec(LAB)
        undo.callback(_down, spec)
        _down(spec)  # what a run that was killed has left
        lab.up(spec)
        controller_up(spec, _control(spec))
        control = undo.enter_context(ControlClient(_control(spec) / process.SOCKET_FILE))
        hosts, ports = hosts_of(spec, "web", "client")
        before = _wanted(spec, tunnel, ports, count)
        moves = dict.fromkeys((mac for mac, each in before.endpoints.items() if each.site == OLD), NEW)
        held = Stand(spec, control, before, before.move(moves), moves, hosts)
        _tell(held)
        held.switches = {place.name: _connect(place.ovs / f"{BORDER}.mgmt") for place in spec.places()}
        for switch in held.switches.values():
            undo.callback(switch.close)
        if held.held:
            _hold(held)
        held.sleep()
        yield held


def hosts_of(spec: LabSpec, server: str, client: str) -> tuple[Hosts, Mapping[str, str]]:
    """Make a client at the third site and its server at both others; returns them, and the device at each site."""
    made = {site: lab.client(spec.place(site), server, WEB, NETWORK) for site in (OLD, NEW)}
    asks = lab.client(spec.place(THIRD), client, CLIENT, NETWORK)
    net.batch(asks.namespace, [("neigh", "replace", WEB.ip, "lladdr", WEB.mac, "dev", "eth0")])
    devices = {site: device for each in (*made.values(), asks) for site, device in _device(each)}
    return Hosts(asks.namespace, WEB.ip, {site: each.namespace for site, each in made.items()}), devices


def _device(client: lab.Client) -> list[tuple[str, str]]:
    return [(client.placement.site, device) for device in client.placement.ports.values()]


def _wanted(spec: LabSpec, tunnel: Tunnel, ports: Mapping[str, str], count: int) -> Registry:
    """Say what the controller shall want: WEB in the middle of all, so that it is neither first nor last."""
    sites = [place.site() for place in spec.places()]
    if count > 1:
        sites = [replace(each, fabrics={OTHERS.name: FABRIC}) if each.name != THIRD else each for each in sites]
    web = Endpoint("web", NETWORK.name, WEB.mac, WEB.ip, OLD, {site: ports[site] for site in (OLD, NEW)})
    client = Endpoint("client", NETWORK.name, CLIENT.mac, CLIENT.ip, THIRD, {THIRD: ports[THIRD]})
    others = [_other(number) for number in range(1, count)]
    endpoints = [*others[: count // 2], web, *others[count // 2 :], client]
    return Registry(tunnel).put(sites=sites, networks=[NETWORK, OTHERS], endpoints=endpoints)


def _other(number: int) -> Endpoint:
    ip = IPv4Address("10.8.0.0") + number
    mac = f"52:54:01:{number.to_bytes(3).hex(':')}"
    return Endpoint(f"s{number}", OTHERS.name, mac, str(ip), OLD, {OLD: FABRIC, NEW: FABRIC})


def _tell(held: Stand) -> None:
    """Give the controller all but the others, and make their device."""
    if len(held.moves) > 1:
        for site in (OLD, NEW):
            net.add_tap(held.spec.place(site).namespace, FABRIC, OTHERS.mtu)
    wanted = held.before
    held.control.put(
        sites=wanted.sites.values(),
        networks=wanted.networks.values(),
        endpoints=_of(wanted, NETWORK),
        tunnel=wanted.tunnel,
    )


def _hold(held: Stand) -> None:
    """Give it the others, too, and wait until every switch has all flows."""
    flows = {site: len(fabric.flows(held.before, site, ports)) for site, ports in held.ports.items()}
    with suppress(ControlError):  # so many may be more than it confirms in time, but it goes on
        held.control.put(endpoints=_of(held.before, OTHERS))
    wait_until(
        lambda: {site: switch.flows for site, switch in held.control.status().items()} == flows,
        f"the flows of {len(held.moves)} endpoints on every switch",
        _SETTLE_S,
    )


def _of(registry: Registry, network: Network) -> list[Endpoint]:
    return [each for each in registry.endpoints.values() if each.network == network.name]


def _connect(path: Path) -> Switch:
    """Connect to a bridge as ovs-ofctl does, to stay. Raises ControlError, CloudError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError as error:
        raise ControlError(f"cannot connect to the bridge at {path}: {error.strerror}") from error
    switch = Switch(connection, lambda _: None)

    def serve() -> None:
        with suppress(OSError, ControlError):  # whoever waits for a reply is told
            switch.serve()

    threading.Thread(target=serve, name="openflow", daemon=True).start()
    wait_until(lambda: bool(switch.ports), f"the ports of the bridge at {path}", _ANSWER_S)
    return switch


def _control(spec: LabSpec) -> Path:
    return spec.path / "control"


def _signal(spec: LabSpec, number: signal.Signals) -> None:
    pid = process.running(_control(spec))
    if pid is None:
        raise ControlError(f"the controller has ended; see {_control(spec) / process.LOG_FILE}")
    os.kill(pid, number)


def _down(spec: LabSpec) -> None:
    with suppress(ControlError):  # it has ended, or was never started
        _signal(spec, signal.SIGCONT)
    if _control(spec).exists():
        process.stop(_control(spec))
    lab.down(spec)
